"""`python -m tools book [--scale smoke|small|large]`: executes every chapter and builds the static site in `_build/SCALE/html`.

The site appears whole or not at all: it is built beside the last good one, and takes its place only when every chapter ran
and Sphinx had nothing to warn of. How chapters are executed, and when not, is in `tools.executor`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from tools import executor
from wmlib.storage import write_atomic

ROOT = Path(__file__).resolve().parent.parent
SCALES = ("smoke", "small", "large")
LARGEST = 8_000_000
"""Bytes of a chapter with its outputs, at most: the largest of ours has a tenth of it, and a browser takes long to open more."""
MODEL = re.compile(r'<script class=\\"wm-model\\" data-key=\\"(\w+)\\">(.*?)</script>')
"""In the JSON of a notebook."""
PAGES = ("_config.yml", "_toc.yml", "book", "LICENSE", "LICENSE-TEXT", "CITATION.cff")


class BuildError(Exception):
    """What is wrong, in the words that the reader sees."""


def contents(root: Path) -> list[str]:
    """The documents that `_toc.yml` names, in order, as paths without suffix."""

    def files(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (
                str(value).removesuffix(".md").removesuffix(".ipynb")
                for key, value in node.items()
                if key in ("root", "file")
            )
        for child in (
            node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        ):
            yield from files(child)

    return list(files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def chapters(root: Path) -> list[Path]:
    """The notebooks of the book, in the order of `_toc.yml`."""
    named = [
        root / f"{document}.ipynb"
        for document in contents(root)
        if document.startswith("chapters/")
    ]
    for path in named:
        if not path.is_file():
            raise BuildError(
                f"_toc.yml names {path.relative_to(root).with_suffix('')}, but there is no {path.relative_to(root)}."
            )
    return named


def files_in(folder: Path) -> Iterator[Path]:
    """Every file below a folder, less caches and hidden ones, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(
            part == "__pycache__" or part.startswith(".") for part in parts
        ):
            yield path


def execute(root: Path, scale: str) -> dict[str, bytes]:
    """Every chapter with its outputs, executed now where it is not up to date, and what they took: {path in the book: content}.

    Raises:
        BuildError: if a chapter fails, or shows too much.
    """
    paths = chapters(root)
    if executor.execute(paths, scale):
        raise BuildError("A chapter failed (above). Those that ended well are kept.")
    took = {
        path.stem: {key: executor.record(path, scale)[key] for key in ("seconds", "megabytes")}
        for path in paths
    }
    executed = {path.relative_to(root).as_posix(): executor.merged(path, scale) for path in paths}
    for name, data in executed.items():
        if len(data) > LARGEST:
            raise BuildError(
                f"{name} has {len(data) / 1e6:.0f} MB with its outputs; expected {LARGEST / 1e6:.0f} at most. Print less there, or draw smaller pictures."
            )
    return {
        **executed,
        "book/_ext/took.json": json.dumps({"scale": scale, "chapters": took}, indent=1).encode(),
    }


def without_models(notebook: bytes) -> tuple[bytes, dict[str, bytes]]:
    """A chapter without the models that its plays carry, and these as {file: content}: pages that play with the same model share a script."""
    text, models = notebook.decode(), {}
    for key, script in MODEL.findall(text):
        models[f"book/_static/play-{key}.js"] = json.loads(f'"{script}"').encode()
    return MODEL.sub("", text).encode(), models


def stage(root: Path, source: Path, executed: dict[str, bytes]) -> str:
    """Brings the folder that Sphinx reads up to date, touching only files that differ.

    Returns a hash of all that Sphinx does not notice by itself when it changes: every file but the documents, which documents
    there are, the docstrings, the versions. Where it differs from the last build's, that build's pages are no use.
    """
    wanted = {}
    for name, data in executed.items():
        wanted[name], models = without_models(data)
        wanted |= models
    for name in PAGES:
        for path in files_in(root / name) if (root / name).is_dir() else [root / name]:
            if not path.is_file():
                raise BuildError(f"{name} is missing.")
            wanted[path.relative_to(root).as_posix()] = path.read_bytes()
    wanted |= {
        f"book/_static/{path.name}": path.read_bytes()
        for path in files_in(root / "wmlib" / "show" / "web")
    }
    sha = hashlib.sha256(sys.version.encode() + (root / "requirements.lock").read_bytes())
    for path in files_in(root / "wmlib"):
        sha.update(path.read_bytes())
    for name, data in sorted(wanted.items()):
        sha.update(name.encode() + (b"" if name.endswith((".md", ".ipynb", "took.json")) else data))
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != data:
            write_atomic(path, data)
    for path in source.rglob("*"):
        if path.is_file() and path.relative_to(source).as_posix() not in wanted:
            path.unlink()
    return sha.hexdigest()


def _readable(said: str, source: Path) -> str:
    """Sphinx's warnings with the names of our own files; in a notebook it counts line 7 of cell 3 as 30007."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said).replace(f"{source}{os.sep}", "")
    return re.sub(
        r"\.ipynb:(\d+)(\d{4}): ",
        lambda place: f".ipynb, cell {place[1]}, line {int(place[2])}: ",
        plain,
    )


def sphinx(source: Path, out: Path, doctrees: Path, **options: Any) -> tuple[Any, str]:
    """Runs Sphinx over a staged source: its exit code (or the interrupt that ended it), and what it said."""
    from jupyter_book.sphinx import build_sphinx  # type: ignore[import-untyped,unused-ignore]

    overrides = {"external_toc_path": str(source / "_toc.yml"), "latex_individualpages": False}
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        result = build_sphinx(
            source,
            out,
            path_config=source / "_config.yml",
            noconfig=True,
            confoverrides=overrides,
            doctreedir=doctrees,
            quiet=True,
            **options,
        )
    return result, said.getvalue()


def typeset(root: Path, folder: Path, now: str) -> None:
    """Runs Sphinx over the staged source and puts the result in `folder/html`.

    Raises:
        BuildError: if Sphinx warns or fails; the pages it had half made are removed, since a second, incremental run would pass.
    """
    source, work, doctrees, html = (
        folder / "source",
        folder / "work",
        folder / "doctrees",
        folder / "html",
    )
    stamp = folder / "made-with"
    if not stamp.exists() or stamp.read_text() != now:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(doctrees, ignore_errors=True)
    stamp.unlink(missing_ok=True)  # until this run has ended well
    result, said = sphinx(source, work, doctrees, warningiserror=True, keep_going=True)
    print(_readable(said, source), end="", file=sys.stderr, flush=True)
    if isinstance(result, KeyboardInterrupt):
        raise result
    if result:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(doctrees, ignore_errors=True)
        last = f" {html} still holds the last good site." if html.exists() else ""
        raise BuildError(
            f"Sphinx had something to say about the pages (above), and a warning fails the build.{last}"
        )
    home = f"{contents(root)[0]}.html"
    title = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["title"]
    (work / "index.html").write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="refresh" content="0; url={home}"></head>'
        f'<body><h1>{title}</h1><p><a href="{home}">Open the book</a></p></body></html>\n',
        encoding="utf-8",
    )
    new, old = folder / "html.new", folder / "html.old"
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(
        work, new, ignore=shutil.ignore_patterns(".buildinfo", ".doctrees", "objects.inv~")
    )
    if html.exists():
        html.rename(old)
    new.rename(html)
    shutil.rmtree(old, ignore_errors=True)
    stamp.write_text(now)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds a lock on a scale's folder, where the system has locks, so that two builds do not write into each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BuildError(
                    f"Another build is at work in {folder}. Wait for it, or end it."
                ) from None
        yield


def build(root: Path, scale: str) -> Path:
    """Executes, stages and typesets the book; returns its first page."""
    folder = root / "_build" / scale
    with alone(folder):
        executed = execute(root, scale)
        print("Typesetting the pages ...", flush=True)
        typeset(root, folder, stage(root, folder / "source", executed))
    return folder / "html" / "index.html"


def main(argv: list[str], root: Path = ROOT) -> int:
    """Builds the site; 0 if it is whole, 1 if a chapter or a page is at fault, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m tools book",
        description="Executes every chapter and builds the static site.",
    )
    parser.add_argument("--scale", default=os.environ.get("WM_SCALE") or "small")
    scale = parser.parse_args(argv).scale
    if scale not in SCALES:
        print(f"There is no scale '{scale}': expected one of {', '.join(SCALES)}.", file=sys.stderr)
        return 2
    started = time.monotonic()
    print(f"Building the book at scale {scale}.", flush=True)
    try:
        index = build(root, scale)
    except BuildError as error:
        print(f"\nThe book was not built.\n{error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print(
            "\nStopped. Nothing half-written is left; chapters that had ended are kept.",
            file=sys.stderr,
            flush=True,
        )
        return 130
    print(f"The book is built ({time.monotonic() - started:.0f} s). Open {index}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
