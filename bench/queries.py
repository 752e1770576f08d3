"""How fast questions are answered, and beside PostgreSQL and DuckDB over the same events.

python -m bench.queries all [--events 10M]         everything below, and the folder removed at the end: `make bench-queries EVENTS=…`
python -m bench.queries build [--events 10M]       events made inside the engine, into the store's own schema
python -m bench.queries ask [--rounds 9]           each kind of question, warm, through the store's own code
python -m bench.queries recompress                 what is old compressed harder (HEADRACE_RECOMPRESS_AFTER_S), and each asked again, warm
python -m bench.queries cold                       each of them as the first one of a process, the kernel's page cache dropped (as root)
python -m bench.queries rivals [--which duckdb]    PostgreSQL 18 and DuckDB, loaded with the same rows
python -m bench.queries report                     tables into bench/RESULTS.md, and bench/queries.png if several sizes were asked

Figures are milliseconds; each step adds its own to FOLDER/queries.json, so `report` shows all sizes that were asked in that folder,
each as a section of its own, so that it leaves those of other sizes as they are. `all` asks the rivals up to 10M events.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.events_sql import DAYS, NAMES, PLANS, PROJECT, START_MS, rows
from bench.query_rivals import CHANNEL, FUNNEL, NAME, ORDER, SECOND_TAG, SIGN_UP, TAG, figure, rivals, timed
from bench.query_tables import AFTER, report
from bench.report import say

HERE = Path(__file__).parent
BATCH = 500_000
# What analysts write by hand: no durations, and events of one time in whatever order they were read.
BY_HAND = "funnel of three steps, windowFunnel"
WINDOW_FUNNEL = (
    "SELECT countIf(level >= 3) FROM (SELECT windowFunnel(604800000)(toUInt64(toUnixTimestamp64Milli(timestamp)), "
    + ", ".join(f"name = '{name}'" for name in FUNNEL)
    + f") AS level FROM events WHERE project = '{PROJECT}' AND mode = 'live' AND name IN {FUNNEL} GROUP BY user_id)"
)


def count_of(text: str) -> int:
    units = {"K": 1_000, "M": 1_000_000}
    return int(float(text[:-1]) * units[text[-1].upper()]) if text[-1].upper() in units else int(float(text))


def label_of(text: str) -> str:
    """A number of events as the folder and the aims call it: 1M for 1000000."""
    count = count_of(text)
    for unit, size in (("M", 1_000_000), ("K", 1_000)):
        if count >= size and count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


def rss_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def build(work: Path, label: str, at_most: int, span_ms: int = DAYS * 86_400_000) -> bool:
    """Go on where it was cut off; say whether all events are there."""
    from headrace.store.clickhouse import ClickHouseStore

    folder, events = work / label, count_of(label)
    columns = (
        *("position", "tail", "project", "mode", "source", "name", "timestamp_ms", "user_id", "value", "properties"),
        *("context", "tags", "labels", "numbers"),
    )
    store = ClickHouseStore(f"chdb://{folder.resolve()}")
    started = time.time()
    with store.engine.writers.lend() as client:
        # A batch is as large as what merges make of many inserts, and so has what they make: projections and statistics.
        client.command("ALTER TABLE events MODIFY SETTING materialize_projections_on_insert = 1")
        begun = int(client.command("SELECT count() FROM events"))  # pyright: ignore
        upto = min(events, begun + at_most)
        for first in range(begun, upto, BATCH):
            count = min(BATCH, upto - first)
            client.command(
                f"INSERT INTO events ({', '.join(columns)}) SELECT {', '.join('event_' + each for each in columns)} "
                f"FROM ({rows(first, count, events, span_ms=span_ms)}) SETTINGS max_threads = 2, materialize_statistics_on_insert = 1"
            )
            if first // BATCH % 20 == 19:
                say(f"{first + count:,} events, {time.time() - started:.0f} s")
        settled = time.time() + (600 if upto == events else 30)
        wait_while(client, "SELECT count() FROM system.merges", settled)
        client.command("ALTER TABLE events MODIFY SETTING materialize_projections_on_insert = 0")
    say(f"{upto - begun:,} of {events:,} events in {time.time() - started:.0f} s")
    store.close()
    if upto < events:
        return False
    keep(work, label, {"size": {"peak_rss_building_mb": round(rss_mb())}})
    return True


def wait_while(client: Any, counting: str, until: float = float("inf")) -> None:
    """Until a count is 0, or a time comes."""
    while int(client.command(counting)) and time.time() < until:
        time.sleep(1)


def sizes(store: Any) -> dict[str, Any]:
    """Bytes an event on disk: all files of the active parts, and which columns they are."""
    with store.engine.writers.lend() as client:

        def ask(sql: str) -> list[list[str]]:
            return [line.split("\t") for line in client.raw_query(sql, fmt="TabSeparated").decode().splitlines()]

        part = "FROM system.parts WHERE table = 'events' AND active"
        count, parts, disk, skip = map(
            float,
            ask(f"SELECT sum(rows), count(), sum(bytes_on_disk), sum(secondary_indices_compressed_bytes) {part}")[0],
        )
        columns = ask(
            "SELECT column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns "
            "WHERE table = 'events' AND active GROUP BY column ORDER BY bytes DESC"
        )
        projections = ask(
            "SELECT name, sum(bytes_on_disk) FROM system.projection_parts WHERE table = 'events' AND active GROUP BY name"
        )
    by_column = {name: round(int(size) / count, 2) for name, size in columns if int(size) / count >= 0.05}
    return {
        "events": int(count), "parts": int(parts), "bytes_per_event": round(disk / count, 1),
        "columns": by_column | {f"({name})": round(int(size) / count, 2) for name, size in projections},
        "skip_indexes": round(skip / count, 2),
    }  # fmt: skip


def questions() -> dict[str, Callable[[Any], Any]]:
    """Every kind of question, as one call of the store; the labels are those of the aims.

    What is looked for is another one each time (a user, an id, a bound, a list's name or tag): the engine remembers which
    granules a condition matched, and the same user's list again takes a fraction of the time.
    """
    from headrace.model.conditions import Condition, Field
    from headrace.model.event import Tenant
    from headrace.model.event_queries import EventQuery
    from headrace.model.filters import Dimension, Filters, Page
    from headrace.model.funnels import FunnelQuery, RetentionQuery
    from headrace.model.zones import DAY_MS, zone_of
    from headrace.store.queries.conditions import Query

    tenant = Tenant(PROJECT, "live")
    berlin = zone_of("Europe/Berlin")
    page = Page(limit=50, brief=True)
    all_of, one = Filters(), Filters(name=NAME)
    turn = itertools.count()

    def within() -> Filters:
        return Filters(from_ms=1_787_700_000_123 + 777_777 * next(turn), to_ms=1_795_000_000_456 - 333_333 * next(turn))

    def page_of(store: Any, **filters: Any) -> int:
        return store.events(tenant, Filters(**filters), page).total

    def measured(store: Any, measure: str, filters: Filters, *fields: Field, **more: Any) -> Any:
        query = EventQuery(filters=filters, measure=measure, breakdown=fields, **more)
        found = store.measure_events(tenant, query)
        return found.value if found.groups is None else len(found.groups)

    def where(path: str, op: str, value: Any) -> Filters:
        return Filters(conditions=[Condition(Field("property", (path,)), op, [value])])

    def named(name: str) -> list[Condition]:
        return [Condition(Field("column", ("name",)), "=", [name])]

    funnel = FunnelQuery(filters=all_of, steps=[named(each) for each in FUNNEL], window_ms=7 * DAY_MS)
    retention = RetentionQuery(
        filters=all_of, first=named(SIGN_UP), returning=named(ORDER), period="week", periods=8, zone=berlin
    )
    plan, region = Field("tag", (TAG,)), Field("tag", (SECOND_TAG,))

    return {
        "count, all": lambda store: store.count(tenant, all_of).total,
        "count, one name": lambda store: store.count(tenant, one).total,
        "count, all, odd bounds": lambda store: store.count(tenant, within()).total,
        "series by hour, all": lambda store: len(store.count(tenant, all_of, "1h").series),
        "series by hour, one name": lambda store: len(store.count(tenant, one, "1h").series),
        "series by day, all, Berlin": lambda store: len(store.count(tenant, all_of, "1d", zone=berlin).series),
        "series by day, one name": lambda store: len(store.count(tenant, one, "1d").series),
        "group by a tag, one name": lambda store: len(store.count(tenant, one, None, Dimension("tag", TAG)).groups),
        "group by name, all": lambda store: len(store.count(tenant, all_of, None, Dimension("name")).groups),
        "stats of value, one name": lambda store: store.stats(tenant, one, Dimension("value")).count,
        "stats of a property, one name": lambda store: store.stats(tenant, one, Dimension("property", "amount")).count,
        "list 50, all": lambda store: store.events(tenant, all_of, page).total,
        "list 50, one name": lambda store: page_of(store, name=NAMES[next(turn) % 9]),
        "list 50, one user": lambda store: page_of(store, user_id=f"user_{700 + next(turn)}"),
        "list 50, one tag": lambda store: page_of(store, tags=((TAG, PLANS[next(turn) % 4]),)),
        "get by id": lambda store: len(store.get(tenant, [an_id(store, next(turn))])),
        "names seen": lambda store: len(store.observed(tenant, "name", 100)),
        "filter by a number": lambda store: measured(store, "count", where("amount", ">", 100.0 + next(turn))),
        "filter by a string property": lambda store: measured(store, "count", where("channel", "=", CHANNEL)),
        "group by two tags, one name": lambda store: measured(store, "count", one, plan, region),
        "p95 of a property by a tag": lambda store: measured(
            store, "p95", one, plan, number=Field("property", ("took_ms",))
        ),
        "people, one name": lambda store: measured(store, "users", one),
        "people by week, all": lambda store: measured(store, "users", all_of, interval="1w", zone=berlin),
        "funnel of three steps": lambda store: store.funnel(tenant, funnel).steps[-1].count,
        BY_HAND: lambda store: store.engine.rows(Query(WINDOW_FUNNEL, {}))[0][0],
        "retention of 8 weeks": lambda store: len(store.retention(tenant, retention).cohorts),
    }


_ids: dict[int, list[str]] = {}


def an_id(store: Any, turn: int) -> str:
    """An event's id from somewhere in the ninety days; looked up once."""
    if id(store) not in _ids:
        from headrace.model.event import Tenant
        from headrace.model.filters import Filters, Page

        days = (Filters(to_ms=START_MS + day * 86_400_000) for day in range(10, 80, 2))
        _ids[id(store)] = [store.events(Tenant(PROJECT, "live"), each, Page(limit=1)).events[0].id for each in days]
    return _ids[id(store)][turn % 35]


def drop_caches() -> bool:
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def ask(work: Path, label: str, rounds: int) -> None:
    """Warm figures, in one process; those of tags and properties again once the store has learnt what was asked for."""
    store = _without_columns(work / label)
    found = {name: _asked(name, question, store, rounds) for name, question in questions().items()}
    size = sizes(store)
    size["seconds_to_learn"] = learn(store)
    for name, question in questions().items():
        if any(word in name for word in LEARNT) and name != BY_HAND:
            found[name + AFTER] = _asked(name + AFTER, question, store, rounds)
    size["bytes_of_own_columns"] = round(sizes(store)["bytes_per_event"] - size["bytes_per_event"], 2)
    size["peak_rss_mb"] = round(rss_mb())
    store.close()
    keep(work, label, {"questions": found})
    keep(work, label, {"size": size})


def ask_recompressed(work: Path, label: str, rounds: int) -> None:
    """Warm figures once every part is compressed as old ones are, one after the other; how long that took, and the bytes."""
    from headrace.store.old_parts import recompress
    from headrace.store.queries.old_parts import CODEC

    store = _without_columns(work / label)
    started, processor_s = time.time(), time.process_time()
    others = (
        f"SELECT count() FROM system.parts WHERE table = 'events' AND active AND default_compression_codec != '{CODEC}'"
    )
    with store.engine.writers.lend() as client:
        # Otherwise the engine waits for four hours between two such merges of a month.
        client.command("ALTER TABLE events MODIFY SETTING merge_with_recompression_ttl_timeout = 0")
        recompress(store.engine, 86_400)
        wait_while(client, others)
        client.command("ALTER TABLE events RESET SETTING merge_with_recompression_ttl_timeout")
    took = {"seconds_to_recompress": round(time.time() - started)}
    took["processor_s_to_recompress"] = round(time.process_time() - processor_s)
    size = sizes(store)
    kept = {
        "size": size | took,
        "questions": {name: _asked(name, each, store, rounds) for name, each in questions().items()},
    }
    store.close()
    keep(work, label, {"recompressed": kept})


def _without_columns(folder: Path) -> Any:
    """A store that has learnt nothing yet."""
    store = _opened(folder)
    for column in store.own.own_columns():
        store.own.drop(column)
    store.own.own_columns()
    return store


LEARNT = ("tag", "property", "filter by", "funnel of three steps", "retention")


def learn(store: Any) -> float:
    """Give each tag and property that the questions have asked for a column; how many seconds that took.

    With room for all of them and no threshold: which ones a server gives columns, and when, is not what is measured.
    """
    from headrace.model.own_columns import Budget
    from headrace.upkeep.own_columns import ColumnKeeper

    budget = Budget(columns=40.0, bytes=1 << 50, after_s=1e-9, keep_ms=30 * 86_400_000)
    keeper = ColumnKeeper(store.own, budget, query_timeout_s=1.0, clock_ms=lambda: time.time_ns() // 1_000_000)
    started = time.time()
    while keeper.step():
        pass
    for each in keeper.listed():
        say(f"  {each.kind} {'.'.join(each.path)}: {each.state}, {each.bytes:,} bytes, {each.uses} uses")
    return round(time.time() - started, 1)


def _opened(folder: Path) -> Any:
    from headrace.store.clickhouse import ClickHouseStore

    store = ClickHouseStore(f"chdb://{folder.resolve()}")
    with store.engine.writers.lend() as client:
        wait_while(client, "SELECT count() FROM system.mutations WHERE NOT is_done")
    return store


def _asked(name: str, question: Callable[[Any], Any], store: Any, rounds: int) -> dict[str, Any]:
    try:
        once, _ = timed(lambda: question(store), 2)
        found = figure(*timed(lambda: question(store), 3 if once[1] > 3000 else rounds))
    except Exception as error:
        found = {"error": str(error)}
    say(f"{name:32s} {found}")
    return found


def ask_cold(work: Path, label: str) -> None:
    """The first question of a process whose files the kernel has forgotten."""
    if not drop_caches():
        say("The page cache cannot be dropped here: no cold figures.")
        return
    found: dict[str, float] = {}
    for name in questions():
        drop_caches()
        command = [sys.executable, "-m", "bench.queries", "first", "--folder", str(work), "--events", label]
        done = subprocess.run([*command, "--only", name], capture_output=True, text=True, cwd=HERE.parent)
        if done.returncode == 0:
            found[name] = round(float(done.stdout.split()[-1]), 1)
        say(f"{name:32s} cold {found.get(name)}")
    keep(work, label, {"cold": found})


def ask_first(work: Path, label: str, name: str) -> None:
    store = _opened(work / label)
    if name == "get by id":
        an_id(store, 0)
    (cold,), _ = timed(lambda: questions()[name](store), 1)
    print(cold)


def keep(work: Path, label: str, figures: dict[str, Any]) -> None:
    path = work / "queries.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    of_size = known.setdefault(label, {})
    for name, each in figures.items():
        of_size[name] = of_size.get(name, {}) | each
    path.write_text(json.dumps(known, indent=1))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=("all", "build", "ask", "recompress", "cold", "first", "rivals", "report"))
    arguments.add_argument("--folder", type=Path, default=Path("bench-data"))
    arguments.add_argument("--events", default=os.environ.get("EVENTS") or "10M")
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument(
        "--at-most", help="build no more than this now, and go on at the next call; then exit with 3"
    )
    arguments.add_argument("--only", default="")
    arguments.add_argument("--which", default="duckdb,postgres")
    arguments.add_argument("--keep", action="store_true", help="leave the folder of `all` as it is")
    given = arguments.parse_args()
    work, label = given.folder, label_of(given.events)
    work.mkdir(parents=True, exist_ok=True)
    if given.what == "all":
        steps = ["build", "ask", "cold", "recompress", *(["rivals"] if count_of(label) <= 10_000_000 else []), "report"]
        for step in steps:
            command = [sys.executable, "-m", "bench.queries", step, "--folder", str(work), "--events", label]
            say(f"{step}: {label} events")
            subprocess.run([*command, "--rounds", str(given.rounds)], check=True, cwd=HERE.parent)
        if not given.keep:
            shutil.rmtree(work)
    elif given.what == "build":
        built = build(work, label, count_of(given.at_most or label))
        raise SystemExit(0 if built else 3)
    elif given.what == "ask":
        ask(work, label, given.rounds)
    elif given.what == "recompress":
        ask_recompressed(work, label, given.rounds)
    elif given.what == "cold":
        ask_cold(work, label)
    elif given.what == "first":
        ask_first(work, label, given.only)
    elif given.what == "rivals":
        rivals(work / label, given.rounds, given.which, lambda figures: keep(work, label, figures))
    else:
        report(work)


if __name__ == "__main__":
    main()
