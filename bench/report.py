"""Progress to stderr, figures as tables to stdout, and tables into RESULTS.md: each a section that its program's next run replaces."""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

_RESULTS = Path(__file__).parent / "RESULTS.md"


def say(text: str, /) -> None:
    """What a program is at."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """When, where and of what: the line under a section's heading."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_kb = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    load = f"{os.getloadavg()[2]:.1f}"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}; {platform.machine()}, "
        f"{model[1] if model else 'unknown'}, {os.cpu_count()} cores, {int(memory_kb[1]) >> 20 if memory_kb else '?'} GiB, "
        f"load average of the last quarter of an hour {load}"
    )


def commit() -> str:
    """The commit's short name; with `+` when files differ from it."""
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, cwd=_RESULTS.parent
    )
    return run.stdout.strip() or "unknown"


def table(heads: list[str], rows: list[list[str]], /) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def record(section: str, text: str, /, file: Path = _RESULTS) -> None:
    """Put a section into RESULTS.md, in the place of the one with the same name."""
    begin, end = f"<!-- made by {section} -->", f"<!-- end of {section} -->"
    block = f"{begin}\n{text.strip()}\n{end}\n"
    old = file.read_text()
    start, stop = old.find(begin), old.find(end)
    if start < 0:
        new = f"{old.rstrip()}\n\n{block}"
    else:
        new = old[:start] + block + old[stop + len(end) + 1 :]
    file.write_text(new)
