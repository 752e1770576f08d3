"""Makes small changes to a copy of the source, one at a time, and looks whether a test fails: `make mutants ARGS="reactions"`.

ARGS are folders and files below src/headrace, and the options below. A change that no test notices is either a missing test or
belongs in accepted.py, with the reason.
"""

import argparse
import os
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

from tests.mutants.accepted import ACCEPTED
from tests.mutants.changes import Change, sample
from tests.mutants.near import near

ROOT = Path(__file__).parents[2]
LEAST = 0.9  # of the changes that are not accepted, so many are noticed
_NO_TESTS_RAN = 5


class Copy:
    """A copy of the source that tests run over, with at most one file changed."""

    _writes = iter(range(10**9, 10**10))

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.said = folder.with_suffix(".said")  # what pytest printed last
        shutil.copytree(ROOT / "src", folder / "src")

    def test(self, tests: Sequence[str], all_s: float, each_s: float) -> int | None:
        """How pytest ended; None when it, or one test, did not come to an end in its time."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        command += [f"--timeout={each_s:.0f}", "--session-timeout=9999"]
        environ = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(self._folder / "src"), str(ROOT))),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / "hypothesis"),
        }
        with (
            self.said.open("wb") as said,
            subprocess.Popen(
                [*command, *tests], cwd=ROOT, env=environ, stdout=said, stderr=said, start_new_session=True
            ) as run,
        ):
            try:
                code = run.wait(all_s)
                return None if b"+ Timeout +" in self.said.read_bytes() else code
            except subprocess.TimeoutExpired:
                return None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(run.pid, signal.SIGKILL)  # and the servers of tests that did not come to their end

    def write(self, file: str, source: str) -> None:
        path = self._folder / "src" / "headrace" / file
        path.write_text(source)
        # Python takes a .pyc for current if its source has the same size and the same second of change.
        when = next(self._writes)
        os.utime(path, (when, when))


def judge(code: int | None, file: str, change: Change) -> str:
    """What became of a change: noticed, slow (which is noticed too), accepted or SURVIVED."""
    if code == _NO_TESTS_RAN:
        raise SystemExit(f"no tests ran for {file}: see near.py")
    if code is None:
        return "slow"
    if code:
        return "noticed"
    known = any((each.file, each.was, each.becomes) == (file, change.was, change.becomes) for each in ACCEPTED)
    return "accepted" if known else "SURVIVED"


def run(changes: Sequence[tuple[str, Change]], originals: dict[str, str], jobs: int, minutes: float) -> Counter[str]:
    """Try changes, as many as the time allows, and print what no test noticed."""
    ends = time.monotonic() + 60 * minutes
    counts: Counter[str] = Counter()
    copies: SimpleQueue[Copy] = SimpleQueue()

    def attempt(file: str, change: Change) -> None:
        if time.monotonic() > ends:
            counts["not tried"] += 1
            return
        copy = copies.get()
        copy.write(file, change.source)
        took_s = times_s[near(file)]
        result = judge(copy.test(near(file), 30 + jobs * took_s, 30 + took_s / 2), file, change)
        copy.write(file, originals[file])
        copies.put(copy)
        counts[result] += 1
        print(f"{result:9} {file}:{change.line}", flush=True)
        if result in ("SURVIVED", "accepted"):
            print(f"    - {change.was}\n    + {change.becomes}", flush=True)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for number in range(jobs):
            copies.put(Copy(Path(folder) / str(number)))
        times_s = {tests: _time_s(copies, tests) for tests in {near(file) for file, _ in changes}}
        with ThreadPoolExecutor(jobs) as pool:
            attempts = [pool.submit(attempt, file, change) for file, change in changes]
            try:
                for each in attempts:
                    each.result()
            finally:
                pool.shutdown(cancel_futures=True)  # on Ctrl-C too: what runs comes to its end, and no more begins
    return counts


def _time_s(copies: SimpleQueue[Copy], tests: tuple[str, ...]) -> float:
    """How long these tests take without any change. They pass, or the run means nothing."""
    copy = copies.get()
    began = time.monotonic()
    code = copy.test(tests, 3600, 600)
    copies.put(copy)
    if code:
        said = copy.said.read_text(errors="replace")[-2000:]
        raise SystemExit(f"{said}\nwithout any change pytest ended with {code}: {' '.join(tests)}")
    took_s = time.monotonic() - began
    print(f"{took_s:.0f} s without a change: {' '.join(tests)}", flush=True)
    return took_s


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("modules", nargs="+", help="folders and files below src/headrace: reactions log/known_keys.py")
    parser.add_argument("--sample", type=int, default=100, help="so many changes at most (100)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--minutes", type=float, default=60, help="begin no further change after so many (60)")
    parser.add_argument("--jobs", type=int, default=2, help="so many at once (2)")
    options = parser.parse_args()
    package = ROOT / "src" / "headrace"
    paths = [path for each in options.modules for path in (sorted((package / each).rglob("*.py")) or [package / each])]
    originals = {str(path.relative_to(package)): path.read_text() for path in paths}
    changes = sample(originals, options.sample, options.seed)
    counts = run(changes, originals, options.jobs, options.minutes)
    noticed = counts["noticed"] + counts["slow"]
    judged = noticed + counts["SURVIVED"]
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())) + f"; seed {options.seed}")
    print(f"{noticed} of {judged} that are not accepted were noticed: {100 * noticed / max(1, judged):.0f} %")
    return 0 if judged and noticed >= LEAST * judged else 1


if __name__ == "__main__":
    sys.exit(main())
