"""`python -m tools vendor`: makes the vendored browser files again from npm packages, and checks them against pinned hashes.

MathJax and axe-core (the judge of accessibility; tests use it, no page has it) are copied; of three.js, what the viewer uses is bundled into one classic script by esbuild, both at the versions
of `tools/three/package-lock.json`; MuJoCo for the browser becomes one script with its WebAssembly inside (`tools/mujoco`). The files are committed, so that building and reading the book need no network. `--check` only compares what is committed.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB, MUJOCO = ROOT / "wmlib" / "show" / "web", "node_modules/@mujoco/mujoco/mujoco.wasm"
# Folder of tools = name of the script: (its sha256, what esbuild is told besides).
BUNDLES = {
    "three": (
        "cda85d7f688dda5c597cb1e3b4e44b70ca23eb909aa91810ffa170452d38019f",
        "--global-name=WMThree",
    ),
    "mujoco": (
        "389435262c7d78adf99684676cb1894f166808f297a3fab7fa0519175fdc17ad",
        "--loader:.gz=base64 --define:import.meta.url=self.location.href --external:module",
    ),
}
ESBUILD = "entry.js --bundle --minify --format=iife --legal-comments=inline --target=es2022 --log-level=warning"


@dataclass(frozen=True)
class Package:
    """One npm package at one version, the hash of its archive, and which of its files go where."""

    name: str
    sha256: str
    files: dict[str, tuple[str, str]]  # path in the archive -> (path in the repository, sha256)


# SVG output needs no font files, so it works from file://. The full build, because the small one fetches
# extensions such as \boldsymbol when a page first uses them.
PACKAGES = (
    Package(
        "mathjax@3.2.2",
        "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
        {
            "package/es5/tex-svg-full.js": (
                "book/_static/mathjax/tex-svg-full.js",
                "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6",
            ),
            "package/LICENSE": (
                "book/_static/mathjax/LICENSE",
                "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
            ),
        },
    ),
    Package(
        "axe-core@4.14.1",
        "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
        {
            "package/axe.min.js": (
                "tools/axe/axe.min.js",
                "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
            ),
            "package/LICENSE": (
                "tools/axe/LICENSE",
                "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e",
            ),
        },
    ),
)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def altered() -> list[str]:
    """The vendored files that are missing or differ from what was pinned."""
    pinned = [
        (ROOT / name, sha256) for package in PACKAGES for name, sha256 in package.files.values()
    ] + [(WEB / f"{name}.js", sha256) for name, (sha256, _) in BUNDLES.items()]
    return [
        path.relative_to(ROOT).as_posix()
        for path, sha256 in pinned
        if not path.is_file() or digest(path.read_bytes()) != sha256
    ]


def npm() -> str:
    """The npm command, or one line that says what it is for."""
    found = shutil.which("npm")
    if found is None:
        sys.exit(
            "Fetching needs npm (it comes with Node.js); building and reading the book do not."
        )
    return found


def bundle(name: str) -> None:
    """Makes one script again from its locked packages."""
    sha256, options = BUNDLES[name]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for path in (ROOT / "tools" / name).iterdir():
            shutil.copy(path, folder)
        failed = subprocess.run(
            [npm(), "ci", "--silent", "--ignore-scripts"], cwd=folder
        ).returncode
        if (folder / MUJOCO).is_file():
            packed = gzip.compress((folder / MUJOCO).read_bytes(), 9, mtime=0)
            (folder / "mujoco.wasm.gz").write_bytes(packed)
        esbuild = [str(folder / "node_modules" / ".bin" / "esbuild"), *ESBUILD.split()]
        if (
            failed
            or subprocess.run(
                [*esbuild, *options.split(), f"--outfile={name}.js"], cwd=folder
            ).returncode
        ):
            sys.exit(f"{name} could not be fetched and bundled. Nothing was changed.")
        data = (folder / f"{name}.js").read_bytes()
    if digest(data) != sha256:
        sys.exit(
            f"The bundle of {name} has sha256 {digest(data)}, not the pinned one. Nothing was changed."
        )
    (WEB / f"{name}.js").write_bytes(data)
    print(f"wmlib/show/web/{name}.js: {len(data):,} bytes")


def fetch(package: Package) -> None:
    """Replaces the committed files of one package by those of its archive, all or none."""
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(
            [npm(), "pack", package.name, "--silent"], cwd=folder, stdout=subprocess.DEVNULL
        ).returncode:
            sys.exit(f"npm could not fetch {package.name}. Nothing was changed.")
        archive = next(Path(folder).glob("*.tgz"))
        if digest(archive.read_bytes()) != package.sha256:
            sys.exit(f"The archive of {package.name} is not the pinned one. Nothing was changed.")
        contents: dict[str, bytes] = {}
        with tarfile.open(archive) as tar:
            for member, (name, sha256) in package.files.items():
                file = tar.extractfile(member)
                contents[name] = file.read() if file else b""
                if digest(contents[name]) != sha256:
                    sys.exit(
                        f"{member} of {package.name} is not the pinned one. Nothing was changed."
                    )
    for name, data in contents.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_bytes(data)
        print(f"{name}: {len(data):,} bytes of {package.name}")


def main(argv: list[str]) -> int:
    """Fetches every package, or with --check only says which committed files differ from the pinned ones."""
    if set(argv) - {"--check"}:
        print("usage: python -m tools vendor [--check]", file=sys.stderr)
        return 2
    if "--check" not in argv:
        for package in PACKAGES:
            fetch(package)
        for name in BUNDLES:
            bundle(name)
    for name in altered():
        print(
            f"{name} is missing or is not the pinned file: run python -m tools vendor",
            file=sys.stderr,
        )
    return int(bool(altered()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
