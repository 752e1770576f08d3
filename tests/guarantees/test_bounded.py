"""Queries are bounded: in number, in time, and by the patience of those who asked."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headrace.assembly.admission import Admission, Shown
from headrace.assembly.rate_limits import RateLimits
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from headrace.control.keyring import Keyring
from headrace.pipeline.freshness import Waiters
from tests.http.raw import Connection, request
from tests.http.routes import assert_refused
from tests.server import Server
from tests.waiting import until

FLUX = "/api/v1/events"
ENDLESS = request("GET", f"{FLUX}/stats", "secret")
QUICK = request("GET", f"{FLUX}/count", "secret")


def serve(folder: Path, **settings: str) -> Server:
    command = [sys.executable, "-m", "tests.guarantees.serve_endless"]
    return Server(folder, {"HEADRACE_ADMIN_KEY": "secret"} | settings, command).start()


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that answers one query at a time, lets one more wait, and whose statistics never end."""
    limits = {"HEADRACE_QUERY_READERS": "1", "HEADRACE_QUERY_QUEUE": "1", "HEADRACE_QUERY_TIMEOUT_S": "3600"}
    server = serve(tmp_path_factory.mktemp("endless"), **limits)
    yield server
    server.kill()


def full(server: Server) -> bool:
    with Connection(server.url) as one_more:
        one_more.send(QUICK)
        answer = one_more.answer()
    if answer.status_code == 200:
        return False
    assert_refused(answer, "flux", 503)
    assert "Too many queries are waiting." in answer.text
    assert int(answer.headers["retry-after"]) >= 1
    return True


def test_more_queries_than_may_wait_are_refused_and_those_of_clients_that_hang_up_end(endless: Server) -> None:
    """The reader's own limit is an hour here: nothing but the cancelling frees it."""
    with ExitStack() as clients:
        waiting = [clients.enter_context(Connection(endless.url)) for _ in range(2)]
        for connection in waiting:
            connection.send(ENDLESS)
        until(lambda: full(endless))
        with endless.client("secret") as other:
            assert other.post(FLUX, json={"name": "n"}).status_code == 201, "events are taken all the same"
    while full(endless):  # both have hung up: the one that ran, and the one that waited
        pass
    with Connection(endless.url) as patient:
        patient.send(QUICK)
        assert patient.answer().json() == {"data": {"total": 1}}


def test_a_query_past_its_time_is_refused_with_what_to_do_and_its_place_is_free_again(tmp_path: Path) -> None:
    server = serve(tmp_path, HEADRACE_QUERY_READERS="1", HEADRACE_QUERY_TIMEOUT_S="0.5")
    with Connection(server.url) as connection:
        connection.send(ENDLESS)
        answer = connection.answer()
        assert_refused(answer, "flux", 503)
        assert "longer than 0.5 s: narrow the time range" in answer.text

        def ask() -> int:
            connection.send(QUICK)
            return connection.answer().status_code

        until(ask, lambda status: status == 200)  # which may take as long on a busy machine
    assert server.stop() == 0


def test_those_who_gave_up_waiting_take_no_room_while_nothing_moves() -> None:
    async def scenario() -> None:
        waiters = Waiters(lambda: 0)
        patient = asyncio.create_task(waiters.wait(1, 3600))
        for _ in range(100):
            assert not any(await asyncio.gather(*(waiters.wait(2, 0) for _ in range(10))))
        assert len(waiters._heap) < 10, "a thousand have waited"
        waiters.reached = lambda: 2
        waiters.wake()
        assert await patient

    asyncio.run(scenario())


def test_keys_are_looked_up_whatever_else_waits_for_threads(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "control.sqlite")
    keys = Keys(engine)
    key, secret = keys.create("shop", "live", "flux", None, 0)
    free = threading.Event()

    async def scenario() -> None:
        others = [asyncio.create_task(asyncio.to_thread(free.wait)) for _ in range(100)]
        await asyncio.sleep(0)
        admission = Admission(Keyring(keys, "", lambda: 1), RateLimits({}), "local")
        try:
            admitted = await asyncio.wait_for(admission.admit(Shown(api_key=secret), "ingest", "any"), 30)
        finally:
            free.set()
        assert admitted.tenant == key.tenant
        await asyncio.gather(*others)

    asyncio.run(scenario())
    engine.dispose()
