"""One ClickHouse database, in this process (`chdb://`) or over HTTP: lends handles, and runs queries within their limits.

Two properties of chDB shape this file. A handle that has raised may still hold rows of the failed query and return them to the
next one, so it is dropped. And a handle runs one query at a time, so there is a pool.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import Event, StoredEvent, event_id
from headrace.ports.store import NotRemembered, RunningQuery, StoreFailed
from headrace.store.answers import Answers, Scope
from headrace.store.cluster import Shape, placed, shape_of
from headrace.store.queries.conditions import Query
from headrace.store.queries.place import WHOLE_ANSWERS, WHOLE_CHANGES

ERROR_CODE = re.compile(r"Code: (\d+)")
# Source: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_TIMED_OUT = {"159", "160"}
_OUT_OF_MEMORY = {"241"}
_TOO_LARGE = {"396"}
_CANCELLED = {"394", "734"}
_BAD_VALUE = {"457"}  # a number that does not fit its placeholder's type, such as a cursor below zero


class _Row(Event, frozen=True, kw_only=True, gc=False):
    """A row as the store returns it."""

    position: int
    tail: int


Row = TypeVar("Row")
_KILL_EVERY_S = 0.05
_REMOTE: dict[str, Any] = {
    "connect_timeout": 5,
    "send_receive_timeout": 60,
    "autogenerate_session_id": False,  # a session would be locked by a query whose connection broke
    "form_encode_query_params": True,  # thousands of ids make a URL that is too long
}
# The engine's defaults. Without a file it would take a config.xml out of the folder that the server is started in.
_EMBEDDED: dict[str, Any] = {"chdb_options": {"config-file": str(Path(__file__).with_name("engine.xml"))}}
# Of queries in this process. A pool of threads costs more than looking at the keys of a few parts takes, and the engine compiles
# what is asked for the third time, which makes that question wait for 30 to 120 ms.
_EMBEDDED_READING: dict[str, object] = {
    "max_threads_for_indexes": 1,
    "compile_expressions": 0,
    "compile_aggregate_expressions": 0,
    "compile_sort_description": 0,
}
_MERGING_THREAD, _MERGING_NICENESS = "MergeMutate", 10
_rows_decoder = msgspec.json.Decoder(list[Any])
_row_decoder = msgspec.json.Decoder(_Row)


class NeedsMoreMemory(InvalidRequest):
    """The query needs more memory than allowed."""


class ResultTooLarge(InvalidRequest):
    """The result has more bytes than the query's own setting `max_result_bytes` allows."""


class Handles:
    """Clients of one database, lent to one user at a time, and dropped once they have raised."""

    def __init__(self, dsn: str, settings: dict[str, object]) -> None:
        self._dsn = dsn
        self._options = _EMBEDDED if dsn.startswith("chdb:") else _REMOTE
        self._settings = settings  # once per handle: with chDB, passing them with a query makes it four times slower
        self._idle: list[Client] = []
        self._closed = False
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Generator[Client]:
        with self._lock:
            client = self._idle.pop() if self._idle else None
        client = client or clickhouse_connect.get_client(dsn=self._dsn, settings=dict(self._settings), **self._options)
        try:
            yield client
        except BaseException:
            client.close()  # not back to the pool: it may hold rows of the failed query
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(client)
                return
        client.close()

    def close(self) -> None:
        """Close idle handles at once, and the others when they are returned."""
        with self._lock:
            self._closed = True
            for client in self._idle:
                client.close()
            self._idle.clear()


def problem_of(dsn: str, /) -> str:
    """Why a database does not answer; "" if it does."""
    try:
        dsn, place = placed(dsn)
    except StoreFailed as error:
        return str(error)
    handles = Handles(dsn, {})
    try:
        with handles.lend() as client:
            client.command("SELECT 1")
            if place.cluster:
                shape_of(client, place)
    except (ClickHouseError, OSError, StoreFailed) as error:
        return " ".join(str(error).split()) or type(error).__name__
    finally:
        handles.close()
    return ""


class Engine:
    """One database: what every reader and writer of it is made with. Any thread may call it.

    writers: handles without limits, for the server's own work. readers: handles with the limits of clients' queries.
    """

    def __init__(
        self, dsn: str, *, query_timeout_s: float, query_max_memory_bytes: int, answers: Answers | None = None
    ) -> None:
        """dsn: with `cluster=`, a node of that cluster.

        answers: where results of queries `within` a scope are remembered; None for nowhere.
        """
        dsn, self.place = placed(dsn)
        self.query_max_memory_bytes = query_max_memory_bytes
        self._query_timeout_s = query_timeout_s
        self.answers = answers
        self._asking = threading.local()
        self.on_asked: Callable[[Query, float], None] = lambda _query, _seconds: None  # after each of `ask`
        self._shape: Shape | None = None
        self.writers = Handles(dsn, dict(WHOLE_CHANGES) if self.place.cluster else {})
        self.readers = Handles(
            dsn,
            {
                **(WHOLE_ANSWERS if self.place.cluster else {}),
                **(_EMBEDDED_READING if dsn.startswith("chdb:") else {}),
                "max_execution_time": query_timeout_s,
                "max_memory_usage": query_max_memory_bytes,
                "output_format_json_escape_forward_slashes": 0,
                "output_format_json_quote_64bit_integers": 0,
            },
        )

    def close(self) -> None:
        """Close every handle."""
        self.readers.close()
        self.writers.close()

    def shape(self) -> Shape:
        """The cluster's, as it was when it was first looked at. Raises StoreFailed, also for one that cannot be used."""
        shape = self._shape
        if shape is None:
            try:
                with self.writers.lend() as client:
                    self._shape = shape = shape_of(client, self.place)
            except (ClickHouseError, OSError) as error:
                raise StoreFailed(str(error)) from error
        return shape

    def look_again(self) -> None:
        """At the cluster's shape."""
        self._shape = None

    def inserting(self) -> dict[str, object]:
        """Settings of an insert: on a cluster, it returns once each replica has the rows. Raises StoreFailed."""
        return {"insert_quorum": self.shape().replicas} if self.place.cluster else {}

    def rows(self, query: Query, /) -> list[list[Any]]:
        """A query's rows, within the limits. Raises as `ask`."""
        return [_decode(_rows_decoder, line) for line in self.ask(query, "JSONCompactEachRow").splitlines()]

    def events(self, query: Query, /) -> list[StoredEvent]:
        """The events that a query returns, within the limits. Raises as `ask`."""
        return list(events_in(self.ask(query, "JSONEachRow")))

    @contextmanager
    def asking(self, running: RunningQuery, /) -> Generator[None]:
        """Within it, `cancel` can end this thread's queries."""
        self._asking.now = running
        try:
            yield
        finally:
            del self._asking.now
            running.ended.set()

    @contextmanager
    def within(self, scope: Scope, /) -> Generator[None]:
        """Within it, this thread's queries read nothing beyond the scope, and their answers are remembered."""
        self._asking.scope = scope
        try:
            yield
        finally:
            del self._asking.scope

    def cancel(self, running: RunningQuery, /) -> None:
        """End a question, which then raises Unavailable; return when it has ended. Raises nothing.

        The query is looked up by its mark repeatedly, because it may be just about to begin.
        """
        running.cancelled.set()
        while not running.ended.wait(_KILL_EVERY_S):
            try:
                with self.writers.lend() as client:
                    client.command(
                        f"KILL QUERY{self.place.on} WHERE Settings['log_comment'] = {{mark:String}} ASYNC FORMAT Null",
                        {"mark": running.mark},
                    )
            except ClickHouseError:
                running.ended.wait()  # its own time limit will end it

    def ask(self, query: Query, fmt: str, /) -> bytes:
        """A query's result in one of ClickHouse's formats, within the limits of clients' queries.

        Raises NeedsMoreMemory, InvalidRequest, and Unavailable if it took too long, was cancelled, or the store did not answer.
        """
        running: RunningQuery | None = getattr(self._asking, "now", None)
        scope: Scope | None = getattr(self._asking, "scope", None)
        only_remembered = running is not None and running.only_remembered
        if self.answers is None or scope is None:
            if only_remembered:
                raise NotRemembered
            return self._run(query, fmt, running)
        question = (query.sql, query.params, dict(query.settings), fmt)
        if only_remembered:
            return self.answers.kept(scope, question)
        return self.answers.of(
            scope,
            question,
            lambda: self._run(query, fmt, running),
            lambda: running is not None and running.cancelled.is_set(),
        )

    def _run(self, query: Query, fmt: str, running: RunningQuery | None) -> bytes:
        settings = list[str]()
        if running is not None:
            if running.cancelled.is_set():
                raise Unavailable("The query was cancelled.")
            if running.gentle and "max_threads" not in query.settings:
                settings.append("max_threads = 1")
            settings.append(f"log_comment = '{running.mark}'")  # with chDB one cannot set a query's id
        sql = query.with_settings(*settings)
        started = time.perf_counter()
        try:
            with self.readers.lend() as client:
                return client.raw_query(sql, query.params, fmt=fmt)
        except ClickHouseError as error:
            raise self._refused(error) from error
        finally:
            self.on_asked(query, time.perf_counter() - started)

    def tell(self, query: Query, fmt: str = "TabSeparated", /) -> bytes:
        """The result of one of the server's own queries, without limits. Raises StoreFailed."""
        try:
            with self.writers.lend() as client:
                return client.raw_query(query.sql, query.params, fmt=fmt)
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def command(self, command: Query, /) -> None:
        """Run a statement that returns nothing, without limits. Raises StoreFailed."""
        try:
            with self.writers.lend() as client:
                client.command(command.sql, command.params)
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def _refused(self, error: ClickHouseError) -> InvalidRequest | Unavailable:
        found = ERROR_CODE.search(str(error))
        code = found[1] if found else ""
        if code in _TIMED_OUT:
            return Unavailable(
                f"The query took longer than {self._query_timeout_s:g} s: narrow the time range or name an event.",
                retry_after_s=5,
            )
        if code in _OUT_OF_MEMORY:
            return NeedsMoreMemory(
                "The query needs more memory than allowed: narrow the time range, name an event, "
                "or use a smaller limit or offset."
            )
        if code in _TOO_LARGE:
            return ResultTooLarge("The result is too large.")
        if code in _CANCELLED:
            return Unavailable("The query was cancelled.")
        if code in _BAD_VALUE:
            return InvalidRequest("A number in the query is out of range.")
        return Unavailable("The store did not answer.")


def let_merges_give_way() -> None:
    """Let the embedded engine's merges use only idle processor time: a merge can wait, a request cannot.

    The engine's own setting, `os_threads_nice_value_merge_mutate`, does nothing without CAP_SYS_NICE.
    """
    for thread in Path("/proc/self/task").glob("*"):  # not on systems other than Linux
        with suppress(OSError):  # the thread has ended
            if (thread / "comm").read_text().strip() == _MERGING_THREAD:
                os.setpriority(os.PRIO_PROCESS, int(thread.name), _MERGING_NICENESS)


def events_in(body: bytes, /) -> Iterator[StoredEvent]:
    """The events of a result in the format JSONEachRow."""
    return (_stored(_decode(_row_decoder, line)) for line in body.splitlines())


def _decode(decoder: msgspec.json.Decoder[Row], line: bytes) -> Row:
    """A line of a result. Bytes that are not UTF-8 become U+FFFD; earlier versions stored some without noticing."""
    try:
        return decoder.decode(line)
    except msgspec.DecodeError:
        return decoder.decode(line.decode(errors="replace").encode())


def _stored(row: _Row) -> StoredEvent:
    values = [getattr(row, field) for field in Event.__struct_fields__]
    fields = dict(zip(Event.__struct_fields__, values, strict=True))
    return StoredEvent(**fields, id=event_id(row.position, row.tail), position=row.position)
