"""The lag of the store is the age of the oldest acknowledged event that queries do not see yet."""

import sys
from pathlib import Path

from headrace.assembly.figures import store_lag_s
from headrace.model.entries import Entry, Kind
from tests.crash.test_disk import send, stored
from tests.fakes import MemoryLog
from tests.quarantine.test_over_a_server import metric
from tests.server import Server
from tests.waiting import until

NOW_MS, HOUR_MS = 1_736_899_200_000, 3_600_000


def test_the_first_event_after_an_idle_hour_is_as_old_as_it_is() -> None:
    now_ms = NOW_MS
    log = MemoryLog(clock_ms=lambda: now_ms)
    assert store_lag_s(log, 0, now_ms) == 0.0, "nothing was ever acknowledged"
    visible = log.append([Entry(b"a")])[0].position
    now_ms += HOUR_MS
    assert store_lag_s(log, visible, now_ms) == 0.0, "an idle hour is no lag"
    log.append([Entry(b"b")])
    assert store_lag_s(log, visible, now_ms) == 0.0
    assert store_lag_s(log, visible, now_ms + 250) == 0.25
    assert store_lag_s(log, log.last(), now_ms + 250) == 0.0


def test_a_dead_store_lags_ever_more_whether_or_not_events_arrive() -> None:
    now_ms = NOW_MS
    log = MemoryLog(clock_ms=lambda: now_ms)
    visible = log.append([Entry(b"seen")])[0].position
    now_ms += 1000
    log.append([Entry(b"a"), Entry(b"command", kind=Kind.ERASURE)])
    assert store_lag_s(log, visible, now_ms + HOUR_MS) == 3600
    now_ms += HOUR_MS
    log.append([Entry(b"b")])
    assert store_lag_s(log, visible, now_ms + HOUR_MS) == 7200
    assert store_lag_s(log, visible, NOW_MS - HOUR_MS) == 0.0, "a clock that went back"


def test_positions_that_nothing_will_come_of_are_no_lag() -> None:
    log = MemoryLog(clock_ms=lambda: NOW_MS, floor=(NOW_MS + 5) << 20)
    assert store_lag_s(log, NOW_MS << 20, NOW_MS + HOUR_MS) == 0.0


def test_a_server_whose_store_takes_nothing_says_so(tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.write_text("ok")
    command = ["-m", "tests.guarantees.serve_on_bad_store", str(told)]
    server = Server(tmp_path / "data", command=[sys.executable, *command]).start()
    with server.client(server.key()) as client:
        sent = send(client, 1)
        assert stored(client) == sent
        assert metric(client, "store_lag_seconds") == 0
        told.write_text("fail")
        send(client, 1, 1)
        first = until(lambda: metric(client, "store_lag_seconds"))
        until(lambda: metric(client, "store_lag_seconds") > first)
        told.write_text("ok")
        until(lambda: not metric(client, "store_lag_seconds"))
        assert len(stored(client)) == 2
    assert server.stop() == 0
