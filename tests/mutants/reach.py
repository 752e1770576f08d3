"""Which tests enter a function of the source, the shortest first: measured once for each file of tests, and kept."""

import ast
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Reach:
    """Keeps its findings in a folder. They hold as long as the file of tests is the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[Path, Path] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def measure(self, paths: Sequence[str], ends: float) -> bool:
        """Run those of these tests that nothing is known of, until a time; whether all are known then.

        All pass, or what changes would show means nothing.
        """
        for file in _files(paths):
            if self._kept(file).exists():
                continue
            if time.monotonic() > ends:
                return False
            print(f"once, which functions are entered: {file}", flush=True)
            said = self._kept(file).with_suffix(f".{os.getpid()}")  # another run may measure the same
            run = subprocess.run(
                [
                    *(
                        sys.executable,
                        "-m",
                        "pytest",
                        "-q",
                        "-n0",
                        "-p",
                        "tests.mutants.entered",
                        "-p",
                        "no:cacheprovider",
                    ),
                    *("--hypothesis-seed=0", "--timeout=600", str(file)),
                ],
                cwd=ROOT,
                env=os.environ | {"ENTERED": str(said)},
                capture_output=True,
                text=True,
            )
            if run.returncode not in (0, 5):  # 5: all of them start servers
                raise SystemExit(f"{run.stdout[-3000:]}\nwithout any change pytest ended with {run.returncode}: {file}")
            found = json.loads(said.read_text()) if said.exists() else {}
            said.unlink(missing_ok=True)
            self._kept(file).write_text(json.dumps(found.get(str(file), {"before": [], "tests": {}})))
        return True

    def tests(self, paths: Sequence[str], file: str, source: str, line: int) -> list[tuple[str, float]]:
        """Those of these tests that a change of this line can reach, with their seconds: the shortest first.

        Of a line in a function, those that enter it. Where results are kept in a cache, those that enter the file come after
        them, for only the first to ask enters the function. Of what runs when the module is imported, all.
        """
        found = [(test, took_s, set(entered)) for test, took_s, entered in self._read(paths)]
        found.sort(key=lambda each: each[1])
        function = function_at(source, line)
        enter = [each for each in found if f"{file}:{function}" in each[2]]
        if function and enter and "cache" not in source:
            return [each[:2] for each in enter]
        others = [each for each in found if each not in enter]
        if function:  # one that nobody enters may have come from another file since the tests were looked at
            in_file = [each for each in others if any(name.startswith(f"{file}:") for name in each[2])]
            others = in_file or others
        return [each[:2] for each in (*enter, *others)]

    def _read(self, paths: Sequence[str]) -> Iterator[tuple[str, float, list[str]]]:
        for file in _files(paths):
            if not self._kept(file).exists():
                continue  # written meanwhile
            kept: dict[str, Any] = json.loads(self._kept(file).read_text())
            for test, (took_s, entered) in kept["tests"].items():
                yield test, took_s, [*entered, *kept["before"]]

    def _kept(self, file: Path) -> Path:
        if file not in self._places:  # once a run: somebody may be writing more tests meanwhile
            digest = hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:12]
            self._places[file] = self._folder / f"{str(file).replace('/', '.')}.{digest}.json"
        return self._places[file]


def _files(paths: Iterable[str]) -> list[Path]:
    found = [each for path in paths for each in (sorted((ROOT / path).rglob("test_*.py")) or [ROOT / path])]
    return list(dict.fromkeys(each.relative_to(ROOT) for each in found))


def function_at(source: str, line: int) -> str | None:
    """The qualified name of the innermost `def` whose body holds a line; None for what runs when a module is imported."""
    return _within(ast.parse(source), line, "")


def _within(node: ast.AST, line: int, prefix: str) -> str | None:
    for each in ast.iter_child_nodes(node):
        if not getattr(each, "lineno", line) <= line <= (getattr(each, "end_lineno", None) or line):
            continue
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            if line < each.body[0].lineno:
                continue  # its decorators, defaults and annotations
            name = f"{prefix}{each.name}"
            return _within(each, line, f"{name}.<locals>.") or name
        found = _within(each, line, f"{prefix}{each.name}." if isinstance(each, ast.ClassDef) else prefix)
        if found:
            return found
    return None
