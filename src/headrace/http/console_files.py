"""The console's files as the build wrote them, read into memory once. Serves only what the build listed.

`console_dist` lies in the package: `index.html`, `assets/…` with hashed names, each with its gzip beside it, and `built.json`,
which lists them with a hash of the sources. A checkout has the sources beside it, and can tell whether what was built is stale.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

State = Literal["built", "stale", "missing"]
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")


class File(msgspec.Struct, frozen=True):
    content: bytes
    gzipped: bytes
    media_type: str


class _Built(msgspec.Struct, frozen=True):
    sources: str
    files: list[str]


class Dist(msgspec.Struct, frozen=True):
    """`page`: index.html. `assets`: the others by name."""

    page: File
    assets: Mapping[str, File]
    sources: str


@cache
def dist() -> Dist | None:
    """What was built; None if nothing was, or not all of it is there."""
    folder = Path(str(files("headrace").joinpath("console_dist")))
    try:
        built = msgspec.json.decode((folder / "built.json").read_bytes(), type=_Built)
        read = {name: _read(folder, name) for name in built.files}
        page = read.pop("index.html")
    except (OSError, msgspec.DecodeError, KeyError):
        return None
    return Dist(page, {name.removeprefix("assets/"): file for name, file in read.items()}, built.sources)


def _read(folder: Path, name: str) -> File:
    path = folder / name
    return File(path.read_bytes(), (folder / f"{name}.gz").read_bytes(), _MEDIA_TYPES[path.suffix])


@cache
def state() -> State:
    """Whether there is a console and, in a checkout, whether it was built from the sources that are there."""
    found = dist()
    if found is None:
        return "missing"
    sources = Path(__file__).parents[3] / "console"
    if not (sources / "src").is_dir():
        return "built"
    return "built" if sources_hash(sources) == found.sources else "stale"


def sources_hash(folder: Path, /) -> str:
    """A hash of all that the build depends on, names included. The build hook computes the same: see console/build_hook.py."""
    found = hashlib.sha256()
    every = [folder / name for name in _SOURCES] + sorted(
        (path for path in (folder / "src").rglob("*") if path.is_file()), key=lambda path: path.as_posix()
    )
    for path in every:
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
