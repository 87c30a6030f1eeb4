"""Weights on disk: named arrays as safetensors, never pickle, with one JSON text about them; and their fingerprint.

safetensors is a header of names, types, shapes and places, then the plain numbers: nothing in it can run. The header is
read and compared with what is expected before any number is touched.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from wmlib.runs import InputError

Config = TypeVar("Config")
Arrays = dict[str, NDArray[Any]]
Entry = tuple[tuple[int, ...], str]
"""Shape and type (`F32`) of an array in a file."""
ABOUT = "about"
LARGEST = 65_536
"""No size in a configuration is larger: a damaged one is refused before anything of its size is allocated."""


def to_bytes(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any] | None = None) -> bytes:
    """Arrays, and a JSON object about them, as the bytes of a safetensors file. The same input gives the same bytes."""
    # One key only: safetensors keeps its metadata in no certain order.
    plain = {
        name: np.array(arrays[name], order="C") for name in sorted(arrays)
    }  # a copy: a view would be stored with its parent's order
    return save(plain, metadata={ABOUT: json.dumps(about or {})})


def header(data: bytes, name: str | Path) -> tuple[dict[str, Entry], dict[str, Any]]:
    """What the bytes of a safetensors file say of themselves: shape and type of each array, and the JSON object.

    Raises:
        InputError: if they are not safetensors, or the object is not one.
    """
    try:
        entries = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(entries.pop("__metadata__", {}).get(ABOUT, "{}"))
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
    except (SafetensorError, ValueError, KeyError) as error:
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
    for key, array in from_bytes(data, path).items():
        part, name = key.split("/", 1) if "/" in key else ("", key)
        parts.setdefault(part, {})[name] = array
    return header(data, path)[1], parts


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
