"""The lag that a gateway tells: what it watches, and on which answers it stands."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.dialects.table import DIALECTS
from headrace.http.lag import Lagging
from headrace.model.event import first_position
from headrace.pipeline.lag import LagWatch


class Log:
    """Two partitions: where each ends, and what of it is visible."""

    def __init__(self) -> None:
        self.ends, self.visible, self.now_ms = {0: 0, 1: 0}, {0: 0, 1: 0}, 0

    async def tails(self) -> dict[int, int]:
        return dict(self.ends)


_DEEDS = st.lists(st.tuples(st.sampled_from(["append", "ask", "store"]), st.sampled_from([0, 1]), st.integers(0, 500)))


@given(_DEEDS)
def test_it_is_the_age_of_the_oldest_tail_seen_that_is_not_visible(deeds: list[tuple[str, int, int]]) -> None:
    log = Log()
    watch = LagWatch(log.tails, log.visible.__getitem__, lambda: log.now_ms)
    seen: list[tuple[int, int]] = []  # (partition, position)
    for deed, partition, ms in deeds:
        log.now_ms += ms
        if deed == "append":
            log.ends[partition] = max(log.ends[partition] + 64, first_position(log.now_ms))
        elif deed == "store":
            log.visible[partition] = log.ends[partition]
        else:
            assert asyncio.run(watch.tails()) == log.ends
            seen += log.ends.items()
        waiting = [position >> 20 for each, position in seen if position > log.visible[each]]
        assert watch.lag_ms() == max((log.now_ms - ms for ms in waiting), default=0)


def test_a_clock_that_is_behind_tells_no_negative_age() -> None:
    log = Log()
    watch = LagWatch(log.tails, log.visible.__getitem__, lambda: 0)
    log.ends[0] = first_position(600_000)
    asyncio.run(watch.tails())
    assert watch.lag_ms() == 0


def test_it_remembers_a_bounded_number_of_tails_and_the_oldest_of_them() -> None:
    log = Log()
    watch = LagWatch(log.tails, log.visible.__getitem__, lambda: 10_000)
    for ms in range(1, 3000):
        log.ends[0] = first_position(ms)
        asyncio.run(watch.tails())
    assert watch.lag_ms() == 10_000 - 1
    log.visible[0] = log.ends[0]
    assert watch.lag_ms() == 0


def headers_of(method: str, path: str) -> list[tuple[bytes, bytes]]:
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode()}
    asyncio.run(Lagging(app, DIALECTS, lambda: 12)(scope, None, send))
    return sent[0]["headers"]


def test_it_stands_on_answers_to_queries_and_on_no_others() -> None:
    queries = ["/api/v1/events/count", "/api/v1/participants/u%2F1"]
    for path in queries:
        assert headers_of("GET", path) == [(b"a", b"b"), (b"headrace-lag-ms", b"12")]
    others = [("POST", "/api/v1/events"), ("GET", "/health"), ("GET", "/api/v1/rules"), ("GET", "/api/v1/live")]
    for method, path in others:
        assert headers_of(method, path) == [(b"a", b"b")], path
