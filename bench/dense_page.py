"""How long a page of 1,000 takes where a quarter of an hour, the unit in which a page is looked for, holds all events.

python -m bench.dense_page [--events 10M] [--rounds 15]     without and with windows that widen (decision 179), by turns

Each round asks for the newest page, and for one from another place within. The figures go to bench/RESULTS.md.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from bench.events_sql import PROJECT, START_MS
from bench.queries import build, count_of, label_of
from bench.query_rivals import figure, timed

QUARTER_MS = 900_000
EVERYTHING_AT_ONCE, LIMIT = 1 << 60, 1000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--events", default="10M")
    arguments.add_argument("--rounds", type=int, default=15)
    given = arguments.parse_args()
    label = label_of(given.events)
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), label, count_of(label), span_ms=QUARTER_MS)
        rows = asked(Path(folder) / label, given.rounds)
    heads = ["page of 1,000", "windows that widen, ms", "p95", "without, ms", "p95", "ratio"]
    lines = ["### Pages within one quarter of an hour", "", report.machine(), "", f"{label} events.", ""]
    report.record("bench/dense_page.py", "\n".join([*lines, report.table(heads, rows)]))
    report.say(report.table(heads, rows))


def asked(folder: Path, rounds: int) -> list[list[str]]:
    from headrace.model.event import Tenant
    from headrace.model.filters import Cursor, Filters, Page
    from headrace.store import events
    from headrace.store.clickhouse import ClickHouseStore

    store = ClickHouseStore(f"chdb://{folder.resolve()}")
    tenant, widening = Tenant(PROJECT, "live"), events._MANY

    def page(after: Cursor | None) -> Any:
        found = store.events(tenant, Filters(), Page(limit=LIMIT, after=after))
        assert len(found.events) == LIMIT
        return found

    rows: list[list[str]] = []
    for name in ("the newest", "further back"):
        took: dict[int, list[float]] = {widening: [], EVERYTHING_AT_ONCE: []}
        for turn in range(rounds + 1):
            back_ms = QUARTER_MS * (turn + 1) // (rounds + 2)
            after = None if name == "the newest" else Cursor(START_MS + back_ms, EVERYTHING_AT_ONCE)
            for many, times in took.items():
                events._MANY = many
                (ms,), _ = timed(lambda after=after: page(after), 1)
                if turn:
                    times.append(ms)
        now, before = (figure(times, None) for times in took.values())
        ratio = f"{before['median'] / now['median']:.1f}"
        rows.append([name, *(str(each[what]) for each in (now, before) for what in ("median", "p95")), ratio])
    store.close()
    return rows


if __name__ == "__main__":
    main()
