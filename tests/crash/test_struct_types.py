"""Threads that meet the same type of data for the first time, all at once. Without care, a null pointer ends the process."""

import subprocess
import sys
from pathlib import Path

THREADS = """
import sys, threading
import msgspec
import headrace.http.serve
from headrace.assembly.struct_types import resolve_struct_types
from headrace.reactions.rules import parse_rules

RULES = msgspec.json.decode(b'{"journeys": [{"id": "j", "trigger": {"event": "e"}, "steps": [{"id": "w", "wait": "1s"}]}]}')
resolve_struct_types()
sys.setswitchinterval(1e-6)
all_at_once, parsed = threading.Barrier(8), []

def parse():
    all_at_once.wait()
    parsed.append(parse_rules(RULES))

threads = [threading.Thread(target=parse) for _ in range(8)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(len(parsed))
"""
START = """
import asyncio, sys, threading
import headrace.assembly.runtime as assembly
from pathlib import Path
from headrace.model.settings import Settings

assembly.resolve_struct_types = lambda: print(sorted(each.name for each in threading.enumerate()))

async def main():
    runtime = assembly.open_runtime(Settings(data=Path(sys.argv[1])))
    await runtime.start()
    await runtime.stop()

asyncio.run(main())
"""


def said(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_threads_may_be_the_first_to_meet_a_type_all_at_once() -> None:
    assert said(THREADS) == "8"


def test_types_are_looked_at_before_a_server_has_threads_that_use_them(tmp_path: Path) -> None:
    assert "MainThread" in (known := said(START, str(tmp_path)))
    for loop in ("worker", "reactor", "timers"):
        assert loop not in known
