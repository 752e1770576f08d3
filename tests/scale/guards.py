"""Runs the soak over copies of the source from which one guard was taken: python -m tests.scale.guards view waiting

First over a copy from which nothing was taken, with the same deeds: that has to pass. Each guard has to be caught, or, if another one
covers it, the two of them together. Deeds are done until something is wrong, or until there were so many as the whole copy passed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.guarantees.removals import ROOT, change_copy, environ_of
from tests.scale.deeds import USUAL
from tests.scale.soak import WRONG

Change = tuple[str, str, str]  # file, what is there, what is put in its place

_VIEW: Change = (
    "store/queries/fence.py",
    "WHERE NOT throwIf(fence < (SELECT max(fence) FROM {fences} WHERE partition = {number}), 'another worker has taken over')",
    "",
)
_COMMIT: Change = (
    "control/leases.py",
    "    if connection.scalar(held) is None:",
    "    if connection.scalar(held) == -1:",
)
_WAITING: Change = ("store/fence.py", "        while self._count(running):", "        while False:")
_RAISING: Change = (
    "pipeline/recovery.py",
    "        self._settle()  # before",
    "        if self._is_retaken or not self._repaired:\n            self._settle()  # before",
)
# A worker has the name of its folder, which is the last argument of its command.
_OWNERS: tuple[Change, ...] = (
    (
        "control/leases.py",
        "self.process = secrets.token_hex(8)",
        'self.process = __import__("sys").argv[-1].rpartition("/")[2]',
    ),
    (
        "assembly/roles.py",
        "ControlLeases(self._control), secrets.token_hex(8)",
        'ControlLeases(self._control), "worker"',
    ),
)
_NUMBER: Change = (
    "control/leases.py",
    "return sa.and_(leases.c.name == lease.name, leases.c.owner == lease.owner, leases.c.fence == lease.fence)",
    "return sa.and_(leases.c.name == lease.name, leases.c.owner == lease.owner)",
)
_FILE_OBJECT: Change = ("store/writer.py", "block = rows if self._fence is None else BytesIO(rows)", "block = rows")
_FRESHNESS: Change = ("pipeline/freshness.py", "        if not behind:\n", "        if True:\n")


@dataclass(frozen=True)
class Guard:
    """what: the guard, in words. changes: what takes it out. covered_by: the guard that covers all the same faults; "" for none."""

    what: str
    changes: tuple[Change, ...]
    covered_by: str = ""


GUARDS = {
    "view": Guard("the store's view refuses an insert with an old fence", (_VIEW,)),
    "commit": Guard("a transaction of a worker that was taken over from is undone", (_COMMIT,)),
    "waiting": Guard("running inserts are waited for once the fence is raised", (_WAITING,)),
    "raising": Guard("the fence is raised after an insert of unknown outcome", (_RAISING,)),
    "owners": Guard("each process has a name of its own as an owner of leases", _OWNERS, covered_by="number"),
    "number": Guard("a lease is known by its fence, not by its owner alone", (_NUMBER,), covered_by="owners"),
    "file": Guard("rows are sent as a file object, which nobody can send twice", (_FILE_OBJECT,)),
    "freshness": Guard("a count waits for what was acknowledged before it", (_FRESHNESS,)),
}
# What the guards are for, each once in a round.
_DEEDS = ["stalled_insert", "late_part", "cut_insert", "lost_reply", "late_commits", "replace_worker"]


@dataclass(frozen=True)
class Run:
    """problem: why it shows nothing, or "". wrong: what the soak found, the first of each kind. said: all that it printed."""

    problem: str
    wrong: list[str]
    deeds: int
    minutes: float
    said: str


def soak(changes: tuple[Change, ...], deeds: int, seed: int, *, until_wrong: bool) -> Run:
    """The soak over a copy of the source with these changes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if problem := change_copy(Path(folder), changes):
            return Run(problem, [], 0, 0, "")
        command = [sys.executable, "-m", "tests.scale.soak", "--minutes", "30", "--deeds", str(deeds)]
        command += ["--seed", str(seed), "--only", *_DEEDS, *(["--until-wrong"] if until_wrong else [])]
        done = subprocess.run(
            command, cwd=ROOT, env=environ_of(Path(folder)), capture_output=True, text=True, check=False
        )
    wrong: dict[str, str] = {}
    for line in done.stdout.splitlines():
        if line.startswith(WRONG):
            found = line.removeprefix(WRONG)
            wrong.setdefault(found.partition(":")[0], found)
    count = sum(line.partition(" ")[2] in USUAL for line in done.stderr.splitlines())
    said = done.stderr + done.stdout
    problem = "" if done.returncode == bool(wrong) else f"the soak ended with {done.returncode}: {said[-500:]}"
    return Run(problem, list(wrong.values()), count, (time.monotonic() - began) / 60, said)


def rows_of(names: list[str]) -> list[tuple[str, tuple[Change, ...], bool]]:
    """What to run: a name, what is taken out, and whether that has to be caught. With a covered guard, both of the two."""
    rows: list[tuple[str, tuple[Change, ...], bool]] = []
    pairs: set[frozenset[str]] = set()
    for name in names:
        guard = GUARDS[name]
        rows.append((name, guard.changes, not guard.covered_by))
        pair = frozenset((name, guard.covered_by))
        if guard.covered_by and pair not in pairs:
            pairs.add(pair)
            rows.append((f"{name} and {guard.covered_by}", (*guard.changes, *GUARDS[guard.covered_by].changes), True))
    return rows


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("guards", nargs="*", choices=[*GUARDS, []], help="all, if none is named")
    arguments.add_argument("--deeds", type=int, default=2 * len(_DEEDS), help="the most for each")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--logs", type=Path, help="a folder for what each run says")
    given = arguments.parse_args()
    failed = 0
    rows = [("nothing", (), False), *rows_of(given.guards or list(GUARDS))]
    for name, changes, has_to_be_caught in rows:
        run = soak(changes, given.deeds, given.seed, until_wrong=bool(changes))
        if given.logs:
            (given.logs / f"{name.replace(' ', '-')}.log").write_text(run.said)
        is_good = not run.problem and bool(run.wrong) == has_to_be_caught
        failed += not is_good
        found = run.problem or "; ".join(run.wrong) or "all is well"
        verdict = "as it should be" if is_good else "NOT AS IT SHOULD BE"
        print(f"without {name}: {found} ({run.deeds} deeds, {run.minutes:.1f} minutes): {verdict}", flush=True)
        if not changes and not is_good:
            return 1  # the others would show nothing
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
