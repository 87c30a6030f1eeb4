"""What a run leaves on disk: artefacts that are whole or absent, each with a manifest that says where it came from.

An artefact is a folder with its files and a `manifest.json` (sha256 and size of each file; the command, seed, library
versions and seconds that made it). It is written beside its final place and renamed into it, so that a reader never
sees half of one, however the writer ended.

Weights are named arrays in one safetensors file, never pickle: a header of names, types, shapes and places, then the plain
numbers. Nothing in it can run, and the header is compared with what is expected before any number is touched.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import math
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from wmlib.errors import LARGEST as LARGEST
from wmlib.errors import InputError

LIBRARY = Path(__file__).resolve().parent  # in a clone of the book, the folder above it is the book
SCHEMA = 1
MANIFEST = "manifest.json"
FACTS = {
    **dict.fromkeys("kind body env_id command policy fingerprint world".split(), str),
    **dict.fromkeys("seed budget real_steps".split(), int),
    **dict.fromkeys("seconds cpu_seconds dreamed".split(), int | float),
    **dict.fromkeys("experience vae_made_by search evolve versions".split(), dict),
    "log": dict | list,
}
"""What a manifest may say, and as what."""
DISTRIBUTIONS = (
    "wmlib",
    "numpy",
    "gymnasium",
    "mujoco",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "safetensors",
    "cma",
)


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def dumps(value: Any, **how: Any) -> str:
    """Strict JSON of plain values: NaN and infinity, which JSON has no word for, are null."""
    return json.dumps(_strict(value), allow_nan=False, **how)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def loads(data: bytes | str) -> Any:
    """What JSON says; NaN and infinity, which older files have, are None.

    Raises:
        ValueError: if it is no JSON, or too deep.
    """
    try:
        return json.loads(data, parse_constant=lambda name: None)
    except RecursionError:
        raise ValueError("it is too deep") from None


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def data_folder() -> Path:
    """The book's `data/`: `WM_DATA` if set, else the one beside the library in a clone.

    Raises:
        InputError: if there is none, as in a `pip install` without the book.
    """
    folder = Path(os.environ.get("WM_DATA") or LIBRARY.parent / "data")
    if not folder.is_dir():
        raise InputError(
            f"The book's data folder is missing: {folder}. Work in a clone of the book, or set WM_DATA to its data folder."
        )
    return folder


def find(artefact: str | Path) -> Path:
    """The folder of an artefact: a path, or the bare name of one that the book ships in `data/`.

    Raises:
        InputError: if neither exists.
    """
    if Path(artefact).is_dir():
        return Path(artefact)
    if Path(artefact).name != str(artefact):
        raise InputError(
            f"There is no folder {artefact}. Expected an artefact's folder, or the name of one in data/."
        )
    folder = data_folder()
    if not (folder / artefact).is_dir():
        shipped = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
        raise InputError(
            f"There is no artefact '{artefact}' here or in data/, which has: {', '.join(shipped) or 'nothing'}."
        )
    return folder / artefact


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some systems cannot sync a folder
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all: a temporary file beside it, synced, then renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _fsync(path.parent)


def place(out: str | Path, ending: str = "") -> Path:
    """Where something new goes: `out`, or a name beside it that goes on with `ending`. Every --out comes by here before anything is made.

    Raises:
        InputError: if `out` names nothing new, as `..` and `/` do, is no name for a file, or is inside one.
    """
    path, bad = Path(out), re.search(r"[\0\ud800-\udc7f\udd00-\udfff]", str(out))
    if bad or path.name in ("", ".."):
        raise InputError(f"{str(out)!r} names no new file or folder. Give another --out.")
    if (above := next(filter(Path.exists, path.parents), path)).is_file():
        raise InputError(
            f"Cannot write in {above}: it is no folder. Give an --out in a folder that you may write."
        )
    return path.with_name(path.name + ending)


def refuse_taken(*places: str | Path) -> None:
    """Raises InputError if something is at one of these places already, or nothing can be."""
    for new in map(place, places):
        if new.exists() or new.is_symlink():
            raise InputError(
                f"{new} exists already. Nothing was overwritten: remove it, or give another --out."
            )


@contextlib.contextmanager
def new_artefact(out: str | Path) -> Iterator[Path]:
    """Gives a hidden folder to write into, and renames it to `out` when the block ends well; removes it when it does not.

    The folder is made at once, so that an unwritable place is found before the work, not after it.

    Raises:
        InputError: if `out` exists already, or cannot be made.
    """
    out = Path(out)
    refuse_taken(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(
            f"Cannot write in {out.parent}: {error.strerror}. Give an --out in a folder that you may write."
        ) from None
    try:
        yield hidden
        for path in hidden.iterdir():
            _fsync(path)
        hidden.chmod(0o755)
        try:
            hidden.rename(out)
        except OSError as error:
            raise InputError(
                f"{out} appeared while this ran ({error.strerror}). Nothing was overwritten."
            ) from None
        _fsync(out.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run folder, so that two processes do not train in it at once. The lock ends with its process, however it ends.

    Raises:
        InputError: if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"Another process is training in {folder}. Wait for it, or give another folder."
            ) from None
        yield


@contextlib.contextmanager
def run_folder(out: str | Path) -> Iterator[Path]:
    """`OUT.run/`, held so that no other process trains in it; removed once OUT is there.

    Raises:
        InputError: if OUT exists already, cannot be made, or is being made by another process.
    """
    refuse_taken(out)
    out, folder = place(out), place(out, ".run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            try:
                yield folder
            finally:
                if {path.name for path in folder.iterdir()} <= {".lock"}:  # nothing to go on with
                    shutil.rmtree(folder, ignore_errors=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"Cannot write in {folder}: {error.strerror}. Give an --out in a folder that you may write."
        ) from None
    if out.exists():
        shutil.rmtree(folder, ignore_errors=True)


SPENT = ("seconds", "cpu_seconds")
"""What a clock reads. Of all that a run leaves only this differs from one time to the next."""


class Clock:
    """Seconds, and seconds of processor time in all threads, that a piece of work has taken in all its sessions."""

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        """Begins where the last session ended, as `read` told then."""
        told = [(before or {}).get(name, 0.0) for name in SPENT]
        spent = [float(each) if isinstance(each, int | float) else 0.0 for each in told]
        self.started = time.monotonic() - spent[0], time.process_time() - spent[1]

    def read(self) -> dict[str, float]:
        """`seconds` and `cpu_seconds` until now."""
        return {
            "seconds": round(time.monotonic() - self.started[0], 2),
            "cpu_seconds": round(time.process_time() - self.started[1], 2),
        }

    @classmethod
    def of(cls, folder: Path) -> Clock:
        """Of a run, kept beside its checkpoints."""
        try:
            kept = loads((folder / "seconds").read_bytes())
        except (OSError, ValueError):
            kept = None
        return cls(kept if isinstance(kept, dict) else None)

    def say(self, through: Callable[[str], None], folder: Path) -> Callable[[str], None]:
        """Prints a line and keeps the time."""

        def say(line: str) -> None:
            write_atomic(folder / "seconds", dumps(self.read()).encode())
            through(line)

        return say


def difference(found: Any, wanted: Mapping[str, Any]) -> str:
    """The first setting in which two configurations differ, in words."""
    for key, value in wanted.items():
        if not isinstance(found, dict) or found.get(key) != value:
            return f"{key} {found.get(key) if isinstance(found, dict) else None}, not {value}"
    return "other settings"


def write_manifest(folder: Path, **facts: Any) -> None:
    """Writes `manifest.json`: the facts, the versions, and size and sha256 of every file now in the folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path.read_bytes())}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    manifest = {"schema": SCHEMA, **facts, "versions": versions(), "files": files}
    write_atomic(folder / MANIFEST, (dumps(manifest, indent=2) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads an artefact's manifest.

    Raises:
        InputError: if it is missing, is not JSON, has another schema, or says something in another type.
    """
    path = folder / MANIFEST
    try:
        manifest = loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no {MANIFEST}: it is not an artefact, or it is not whole. Make it again."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({error}). Make the artefact again, or restore it with git."
        ) from None
    if (
        not isinstance(manifest, dict)
        or manifest.get("schema") != SCHEMA
        or not isinstance(manifest.get("files"), dict)
    ):
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise InputError(
            f"{path} has schema {found}; this wmlib reads schema {SCHEMA}. Make the artefact again."
        )
    for key, kind in FACTS.items():
        if not isinstance(manifest.get(key), kind | None):
            raise InputError(
                f"'{key}' in {path} is {json.dumps(manifest[key]):.60}; expected another type of value. Make the artefact again, or restore it with git."
            )
    for name, listed in manifest["files"].items():
        if not isinstance(listed, dict):
            raise InputError(
                f"{path} says of '{name}' {json.dumps(listed):.60}; expected its size and sha256. Make the artefact again, or restore it with git."
            )
    return manifest


class Storable:
    """What is kept as an artefact. A class says its kind, what its manifest tells of it, and its files; `from_artefact` makes it again.

    Attributes:
        kind: in the manifest; `load` finds the class by it.
    """

    kind: ClassVar[str]

    def summary(self) -> dict[str, Any]:
        """What the manifest says of it beyond how it was made: body, sizes, fingerprints."""
        return {}

    def files(self) -> dict[str, bytes]:
        """Its files by name."""
        raise NotImplementedError

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> Self:
        """From its files, once they are checked.

        Raises:
            InputError: in one line, whatever is wrong with them.
        """
        raise NotImplementedError

    def save(self, out: str | Path, *, seconds: float, **facts: Any) -> None:
        """Writes it into a new folder, whole or not at all.

        Args:
            out: the folder to make; it must not exist.
            seconds: that it took to make.
            facts: more for the manifest: `command`, `seed`, `experience`, logs.

        Raises:
            InputError: if `out` exists, or cannot be made.
        """
        with new_artefact(out) as folder:
            self.write(folder, seconds=seconds, **facts)

    def write(self, folder: Path, *, seconds: float, **facts: Any) -> None:
        """Writes files and manifest into a folder that `new_artefact` gave."""
        for name, data in self.files().items():
            write_atomic(folder / name, data)
        about = {"kind": self.kind, **self.summary(), **facts, "seconds": round(seconds, 1)}
        write_manifest(folder, **about)


@dataclasses.dataclass(frozen=True)
class Artefact:
    """A folder and its manifest, whose files are checked as they are read."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def body(self) -> str:
        """Name of its body."""
        return str(self.manifest.get("body", ""))

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest says beyond the files."""
        return {key: value for key, value in self.manifest.items() if key != "files"}

    def read(self, name: str) -> tuple[bytes, str]:
        """The bytes of one file, after checking size and sha256, and its path for messages.

        Raises:
            InputError: if the file is missing, truncated or altered.
        """
        path, listed = self.folder / name, self.manifest["files"].get(name)
        if listed is None or not path.is_file():
            raise InputError(f"{path} is missing. Make the artefact again, or restore it with git.")
        size, data = path.stat().st_size, path.read_bytes()
        if size != listed.get("bytes"):
            raise InputError(
                f"{path} has {size} bytes; its manifest says {listed.get('bytes')}: it is truncated or altered. Restore it with git, or make it again."
            )
        if sha256(data) != listed.get("sha256"):
            raise InputError(
                f"{path} does not match the sha256 in its manifest: it was altered or damaged. Restore it with git, or make it again."
            )
        return data, str(path)


Read = Callable[[str], tuple[bytes, str]]
"""Name of a file -> its bytes, and its path for messages: `Artefact.read`, or a checkpoint's."""
ENDINGS = {"world": "world", "mdnrnn epochs": "epochs"}
"""`humanoid` also means `humanoid-world` in data/, where a world is asked for."""


def open_artefact(artefact: str | Path, *kinds: str) -> Artefact:
    """An artefact of one of these kinds (any by default), by its path or its name in `data/`.

    Raises:
        InputError: if there is none, it is not whole, or it is something else.
    """
    if Path(artefact).name == str(artefact) and not Path(artefact).is_dir():
        for ending in (ENDINGS[kind] for kind in kinds if kind in ENDINGS):
            if (data_folder() / f"{artefact}-{ending}").is_dir():
                artefact = f"{artefact}-{ending}"
    folder = find(artefact)
    manifest = read_manifest(folder)
    if kinds and manifest.get("kind") not in kinds:
        raise InputError(
            f"{folder} holds '{manifest.get('kind')}'; expected '{' or '.join(kinds)}'."
        )
    return Artefact(folder, manifest)


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Named arrays as the bytes of a plain `.npz`. The same arrays give the same bytes."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by their columns' names; none if there is no such file."""
    return list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.exists() else []


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a table as CSV, whole or not at all; None is an empty field."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_atomic(path, text.getvalue().encode())


def from_npz(data: bytes, name: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of a `.npz` file.

    Raises:
        InputError: if it is not one, or holds pickled objects.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("not every member is an array")
        return arrays
    except Exception as error:  # a damaged zip fails in many ways
        why = " ".join(str(error).split())
        raise InputError(
            f"{name} cannot be read as plain arrays ({why}). Pickled objects are refused: store numbers only."
        ) from None


# Weights: named arrays in one safetensors file, checked before they are read.

Config = TypeVar("Config")
Arrays = dict[str, NDArray[Any]]
Entry = tuple[tuple[int, ...], str]
"""Shape and type (`F32`) of an array in a file."""
ABOUT = "about"


def as_stored(values: Any) -> NDArray[np.float64]:
    """Values as they will come back from disk: through float32."""
    return np.asarray(values).astype(np.float32).astype(np.float64)


def to_bytes(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any] | None = None) -> bytes:
    """Arrays, and a JSON object about them, as the bytes of a safetensors file. The same input gives the same bytes."""
    # One key only: safetensors keeps its metadata in no certain order.
    plain = {
        name: np.array(arrays[name], order="C") for name in sorted(arrays)
    }  # a copy: a view would be stored with its parent's order
    return save(plain, metadata={ABOUT: dumps(about or {})})


def header(data: bytes, name: str | Path) -> tuple[dict[str, Entry], dict[str, Any]]:
    """What the bytes of a safetensors file say of themselves: shape and type of each array, and the JSON object.

    Raises:
        InputError: if they are not safetensors, or the object is not one.
    """
    try:
        entries = loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = loads(entries.pop("__metadata__", {}).get(ABOUT, "{}"))
        found = {key: (tuple(entry["shape"]), entry["dtype"]) for key, entry in entries.items()}
        if not isinstance(about, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InputError(
            f"{name} cannot be read as safetensors. Make it again, or restore it with git."
        ) from None
    return found, about


def from_bytes(data: bytes, name: str | Path) -> Arrays:
    """The arrays in the bytes of a safetensors file.

    Raises:
        InputError: if it is not safetensors, or holds NaN or infinity.
    """
    try:
        loaded = load(data)  # in no certain order
    except (SafetensorError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise InputError(
            f"{name} cannot be read as safetensors ({error}). Make it again, or restore it with git."
        ) from None
    arrays = {key: loaded[key] for key in sorted(loaded)}
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"'{key}' in {name} holds NaN or infinity; expected finite numbers. Make it again."
            )
    return arrays


SUM = "sum"
"""In a checkpoint: sha256 of all the rest."""


def sealed(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> Any:
    """A JSON object with the sum over itself and some arrays, as `unsealed` wants it."""
    plain = loads(dumps({key: value for key, value in about.items() if key != SUM}))
    return {**plain, SUM: fingerprint(arrays or {}, plain)}


def unsealed(about: Any, path: Path, arrays: Mapping[str, NDArray[Any]] | None = None) -> Any:
    """The JSON object of a checkpoint, once its sum is right.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(about, dict) or about.get(SUM) != sealed(about, arrays)[SUM]:
        raise InputError(
            f"{path} does not match the sum in it: it is damaged, or another version of wmlib made it. Remove {path.parent}, and begin again."
        )
    return about


def write_checkpoint(path: Path, arrays: Mapping[str, NDArray[Any]], about: Any) -> None:
    """Writes a run's checkpoint, with a sum over all of it, whole or not at all."""
    write_atomic(path, to_bytes(arrays, sealed(about, arrays)))


def checkpoint(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Arrays]] | None:
    """The JSON object and the arrays of a run's checkpoint, if its folder holds one; arrays named `part/name` come by part. Half-saves are removed.

    Raises:
        InputError: if it is damaged.
    """
    for half in folder.glob(f".{name}.*"):  # a save that was killed
        half.unlink()
    path = folder / name
    if not path.is_file():
        return None
    data, parts = path.read_bytes(), dict[str, Arrays]()
    arrays = from_bytes(data, path)
    about = unsealed(header(data, path)[1], path, arrays)
    for key, array in arrays.items():
        part, name = key.split("/", 1) if "/" in key else ("", key)
        parts.setdefault(part, {})[name] = array
    return about, parts


def check_shapes(
    found: Mapping[str, Entry], shapes: Mapping[str, tuple[int, ...]], name: str | Path
) -> None:
    """Compares names, shapes and types (`F32`) with the expected ones.

    Raises:
        InputError: at the first difference.
    """
    for key in sorted({*found, *shapes}):
        if key not in found:
            raise InputError(
                f"{name} has no array '{key}'; expected one of shape {shapes[key]}. These weights belong to another model."
            )
        if key not in shapes:
            raise InputError(
                f"{name} has an array '{key}' that this model does not. These weights belong to another model."
            )
        if found[key] != (tuple(shapes[key]), "F32"):
            raise InputError(
                f"'{key}' in {name} has shape {found[key][0]} and type {found[key][1]}; expected {tuple(shapes[key])} and F32."
            )


def fingerprint(arrays: Mapping[str, NDArray[Any]], about: Any = None) -> str:
    """sha256 over names, types, shapes and bytes of arrays, and over a JSON object: equal only for equal weights."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def config(kind: type[Config], about: Mapping[str, Any], name: str | Path) -> Config:
    """A configuration from plain values: every field there, of the type of its default, sizes from 1 to `LARGEST`.

    Raises:
        InputError: at the first field that does not fit.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        value, default = about.get(field.name), field.default
        value = tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value
        numbers = value if isinstance(value, tuple) else (value,)
        fits = type(value) is type(default) and all(
            type(n) is not int or 0 < n <= LARGEST for n in numbers
        )
        if not fits or (isinstance(default, tuple) and not all(type(n) is int for n in numbers)):
            raise InputError(
                f"'{field.name}' in {name} is {value!r}; expected something like {default!r}. Another version of wmlib made it: make it again."
            )
        values[field.name] = value
    if extra := sorted(set(about) - set(values)):
        raise InputError(
            f"{name} has the setting '{extra[0]}', which this wmlib does not know. Make it again."
        )
    return kind(**values)
