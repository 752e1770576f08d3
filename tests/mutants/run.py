"""Makes small changes to a copy of the source, one at a time, and looks whether a test fails: `make mutants ARGS="reactions"`.

ARGS are folders and files below src/headrace, and the options below. A change that no test notices is either a missing test or
belongs in accepted.py, with the reason.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.mutants.accepted import ACCEPTED
from tests.mutants.changes import Change, sample
from tests.mutants.near import near
from tests.mutants.reach import ROOT, Reach

LEAST = 0.9  # of the changes that are not accepted, so many are noticed
KEPT = ROOT / ".venv" / "mutants"  # not in .cache, which building the docs empties
_TOO_LATE = 2  # the exit code where --minutes left some untried
_USAGE, _NO_TESTS_RAN = 4, 5  # of pytest's
_LONG_S = 15  # a test that takes longer is run where the shorter ones did not notice the change
_WIDE_S, _WIDE_EACH_S = 900, 180
_LONGEST_NAME = 200


class Ended(NamedTuple):
    """How pytest ended: None when it, or one test, did not come to an end in its time. `by`: the test that failed."""

    code: int | None
    by: str = ""


class Copy:
    """A copy of the source that tests run over, with at most one file changed."""

    _writes = iter(range(10**9, 10**10))

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.said = folder.with_suffix(".said")  # what pytest printed last
        shutil.copytree(ROOT / "src", folder / "src")

    def test(self, tests: Sequence[str], all_s: float, each_s: float) -> Ended:
        named = self._folder / "tests"
        named.write_text("\n".join(tests))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        command += [f"--timeout={each_s:.0f}", "--session-timeout=9999", "--tb=line", f"@{named}"]
        environ = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(self._folder / "src"), str(ROOT))),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / "hypothesis"),
        }
        with (
            self.said.open("wb") as said,
            subprocess.Popen(command, cwd=ROOT, env=environ, stdout=said, stderr=said, start_new_session=True) as run,
        ):
            try:
                code = run.wait(all_s)
            except subprocess.TimeoutExpired:
                return Ended(None)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(run.pid, signal.SIGKILL)  # and the servers of tests that did not come to their end
        text = self.said.read_text(errors="replace")
        by = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
        return Ended(None if "+ Timeout +" in text else code, by[1] if by else "")

    def write(self, file: str, source: str) -> None:
        path = self._folder / "src" / "headrace" / file
        path.write_text(source)
        # Python takes a .pyc for current if its source has the same size and the same second of change.
        when = next(self._writes)
        os.utime(path, (when, when))


class Results:
    """What became of changes, in a file, so that a run can go on where another stopped. A change is known by its whole source."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        self._file = file
        self._known = {each["of"]: each["result"] for each in map(json.loads, file.read_text().splitlines())}

    def of(self, file: str, change: Change) -> str | None:
        return self._known.get(_digest(file, change))

    def add(self, file: str, change: Change, result: str, by: str) -> None:
        self._known[_digest(file, change)] = result
        said = {
            "of": _digest(file, change),
            "at": f"{file}:{change.line}",
            "was": change.was,
            "becomes": change.becomes,
        }
        with self._file.open("a") as out:
            out.write(json.dumps(said | {"result": result, "by": by}) + "\n")


def _digest(file: str, change: Change) -> str:
    return hashlib.sha256(f"{file}\0{change.source}".encode()).hexdigest()[:16]


def is_accepted(file: str, change: Change) -> bool:
    return any((each.file, each.was, each.becomes) == (file, change.was, change.becomes) for each in ACCEPTED)


def outdated(originals: dict[str, str]) -> list[str]:
    """The lines of accepted changes to these files that are not there any more."""
    lines = {file: {line.strip() for line in source.splitlines()} for file, source in originals.items()}
    return [f"{each.file}: {each.was}" for each in ACCEPTED if each.file in lines and each.was not in lines[each.file]]


class Attempts:
    """Tries changes, each in a copy of the source that nobody else uses meanwhile."""

    def __init__(self, copies: SimpleQueue[Copy], originals: dict[str, str], reach: Reach, *, wide: bool) -> None:
        self._copies = copies
        self._originals = originals
        self._reach = reach
        self._wide = wide

    def attempt(self, file: str, change: Change) -> tuple[str, str]:
        """What became of it, and by which test: noticed, slow (which is noticed too), accepted or SURVIVED."""
        if is_accepted(file, change):
            return "accepted", ""
        copy = self._copies.get()
        copy.write(file, change.source)
        try:
            tests = self._reach.tests(near(file).quick, file, self._originals[file], change.line)
            ended = _quick(copy, [test for test in tests if test[1] <= _LONG_S])
            if ended.code == 0 and self._wide:
                ended = _quick(copy, [test for test in tests if test[1] > _LONG_S])
            if ended.code == 0 and self._wide:
                ended = _run(copy, near(file).wide, _WIDE_S, _WIDE_EACH_S)
        finally:
            copy.write(file, self._originals[file])
            self._copies.put(copy)
        return "slow" if ended.code is None else "noticed" if ended.code else "SURVIVED", ended.by


def _quick(copy: Copy, tests: Sequence[tuple[str, float]]) -> Ended:
    if not tests:
        return Ended(0)
    # On a machine that others use too, and a change that makes something slow is noticed by its time.
    all_s, each_s = 30 + 6 * sum(took_s for _, took_s in tests), 15 + 6 * max(took_s for _, took_s in tests)
    ended = _run(copy, [test for test, _ in tests], all_s, each_s)
    if ended.code == _USAGE:  # the change renames tests, whose names are of the source's values: by file then
        ended = _run(copy, list(dict.fromkeys(test.partition("::")[0] for test, _ in tests)), all_s, each_s)
    return ended


def _run(copy: Copy, tests: Sequence[str], all_s: float, each_s: float) -> Ended:
    ended = copy.test(tests, all_s, each_s)
    if ended.code == _NO_TESTS_RAN:
        raise SystemExit(f"no tests ran: {tests[:9]}")
    return ended


def run(
    changes: Sequence[tuple[str, Change]], attempts: Attempts, results: Results, jobs: int, ends: float
) -> Counter[str]:
    """Try the changes that nothing is known of, until the time is over, and print what no test noticed."""
    counts: Counter[str] = Counter()

    def attempt(file: str, change: Change) -> None:
        if (result := results.of(file, change)) is None:
            if time.monotonic() > ends:
                counts["not tried"] += 1
                return
            result, by = attempts.attempt(file, change)
            results.add(file, change, result, by)
            print(f"{result:9} {file}:{change.line}  {by}", flush=True)
            if result in ("SURVIVED", "accepted"):
                print(f"    - {change.was}\n    + {change.becomes}", flush=True)
        counts[result] += 1

    with ThreadPoolExecutor(jobs) as pool:
        tried = [pool.submit(attempt, file, change) for file, change in changes]
        try:
            for each in tried:
                each.result()
        finally:
            pool.shutdown(cancel_futures=True)  # on Ctrl-C too: what runs comes to its end, and no more begins
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("modules", nargs="+", help="folders and files below src/headrace: reactions log/known_keys.py")
    parser.add_argument("--sample", type=int, default=100, help="so many changes at most (100)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--minutes", type=float, default=60, help="begin no further change after so many (60)")
    parser.add_argument("--jobs", type=int, default=2, help="so many at once (2)")
    parser.add_argument("--go-on", action="store_true", help="go on where the last run of these stopped")
    parser.add_argument("--again", action="store_true", help="go on, and try what survived again: there are new tests")
    parser.add_argument("--quick", action="store_true", help="only with the tests that start no server")
    parser.add_argument("--list", action="store_true", help="print the changes, and try none")
    options = parser.parse_args()
    ends = time.monotonic() + 60 * options.minutes
    package = ROOT / "src" / "headrace"
    paths = [path for each in options.modules for path in (sorted((package / each).rglob("*.py")) or [package / each])]
    originals = {str(path.relative_to(package)): path.read_text() for path in paths}
    changes = sample(originals, options.sample, options.seed)
    if options.list:
        for file, change in changes:
            known = "  (accepted)" if is_accepted(file, change) else ""
            print(f"{file}:{change.line}{known}\n    - {change.was}\n    + {change.becomes}")
        return 0
    modules = "+".join(options.modules).replace("/", ".")
    if len(modules) > _LONGEST_NAME:
        modules = hashlib.sha256(modules.encode()).hexdigest()[:16]
    kept = KEPT / f"{modules}.{options.seed}.jsonl"
    if not (options.go_on or options.again):
        kept.unlink(missing_ok=True)
    elif options.again and kept.exists():
        lines = [
            line for line in kept.read_text().splitlines() if json.loads(line)["result"] not in ("SURVIVED", "slow")
        ]
        kept.write_text("".join(f"{line}\n" for line in lines))
    reach = Reach(KEPT / "reach")
    if not reach.measure([path for file, _ in changes for path in near(file).quick], ends):
        return _TOO_LATE
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(options.jobs):
            copies.put(Copy(Path(folder) / str(number)))
        attempts = Attempts(copies, originals, reach, wide=not options.quick)
        counts = run(changes, attempts, Results(kept), options.jobs, ends)
    noticed = counts["noticed"] + counts["slow"]
    judged = noticed + counts["SURVIVED"]
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())) + f"; seed {options.seed}")
    for line in outdated(originals):
        print(f"accepted.py names a line that is gone: {line}")
    print(f"{noticed} of {judged} that are not accepted were noticed: {100 * noticed / max(1, judged):.0f} %")
    if counts["not tried"]:
        return _TOO_LATE
    return 0 if judged and noticed >= LEAST * judged else 1


if __name__ == "__main__":
    sys.exit(main())
