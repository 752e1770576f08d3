"""`headrace check` agrees with a sound folder, and names what is wrong with another."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.model.entries import Entry, ErasedEvent, Kind, Record
from headrace.model.event import Event, encode, event_id
from headrace.model.quarantine import Quarantined
from headrace.upkeep.check import Report, check
from tests.crash.test_disk import parts, send, stored
from tests.fakes import MemoryErasedEvents, MemoryLog, MemoryQuarantine, MemoryStore
from tests.forks import run as run_forked
from tests.server import Server


class At:
    def __init__(self, position: int) -> None:
        self._position = position

    def take_again(self) -> bool:
        raise AssertionError("a check takes nothing over")

    def position(self) -> int:
        return self._position

    def commit(self, position: int, /) -> None:
        raise AssertionError("a check commits nothing")


NONE, ASIDE = MemoryErasedEvents(), MemoryQuarantine()


def sound() -> tuple[MemoryLog, MemoryStore, list[Record]]:
    log, store = MemoryLog(clock_ms=lambda: 1_736_899_200_000), MemoryStore()
    event = Event(project="p", mode="live", source="flux", name="n", timestamp_ms=1)
    log.append([Entry(encode(event)) for _ in range(5)])
    records = log.read(0, 100, 10**6)
    store.insert(records)
    return log, store, records


def test_what_agrees_has_no_problems() -> None:
    log, store, _ = sound()
    assert check(log, store, At(log.last()), NONE, ASIDE) == Report(
        log.last(), held=5, stored=5, pending=0, problems=[]
    )


def test_entries_past_the_committed_position_may_wait() -> None:
    log, store, records = sound()
    del store._events[3:]
    report = check(log, store, At(records[2].position), NONE, ASIDE)
    assert (report.problems, report.pending) == ([], 2)


def test_a_committed_entry_that_the_store_lacks_is_a_problem() -> None:
    log, store, records = sound()
    del store._events[1]
    assert check(log, store, At(log.last()), NONE, ASIDE).problems == [
        f"1 committed events are not in the store, the first at {records[1].position}."
    ]


def test_an_event_stored_twice_is_a_problem() -> None:
    log, store, records = sound()
    store.insert(records[:2])
    assert [problem[:35] for problem in check(log, store, At(log.last()), NONE, ASIDE).problems] == [
        "2 events are stored more than once "
    ]


def test_what_is_stored_while_it_checks_is_no_problem() -> None:
    log, _, records = sound()
    offsets = At(records[1].position)

    class Growing(MemoryStore):
        def present(self, after: int, upto: int, /) -> set[str]:
            found = super().present(after, upto)
            self.insert(records[2:])  # a flush, right after the answer
            offsets.__init__(records[-1].position)
            return found

    growing = Growing()
    growing.insert(records[:2])
    report = check(log, growing, offsets, NONE, ASIDE)
    assert (report.problems, report.pending) == ([], 3)


def test_a_stranger_at_one_of_the_logs_positions_is_a_problem() -> None:
    log, store, records = sound()
    other = event_id(records[0].position, records[0].tail + 1)
    store._events[0] = msgspec.structs.replace(store._events[0], id=other)
    assert len(check(log, store, At(log.last()), NONE, ASIDE).problems) == 2


def test_parts_that_cannot_be_read_are_said_and_nothing_is_counted() -> None:
    log, store, _ = sound()
    store.broken = "a part is damaged"
    assert check(log, store, At(7), NONE, ASIDE, ["and the log"]) == Report(
        7, 0, 0, 0, ["and the log", "a part is damaged"]
    )


def test_a_position_past_the_logs_end_is_a_problem() -> None:
    log, store, _ = sound()
    assert check(log, store, At(log.last() + 1), NONE, ASIDE).problems


def test_what_was_erased_on_purpose_is_no_problem_unless_it_is_still_stored() -> None:
    log, store, records = sound()
    erased = MemoryErasedEvents()
    erased.add([ErasedEvent(record.position, record.tail) for record in records[1::3]])
    assert check(log, store, At(log.last()), erased, ASIDE).problems == ["2 erased events are still in the store."]
    store.erase([records[1].id, records[4].id])
    report = check(log, store, At(log.last()), erased, ASIDE)
    assert report == Report(log.last(), held=5, stored=3, pending=0, problems=[], erased=2)
    store.erase([records[0].id])
    assert check(log, store, At(log.last()), erased, ASIDE).problems == [
        f"1 committed events are not in the store, the first at {records[0].position}."
    ]


def test_what_is_erased_while_it_checks_is_no_problem() -> None:
    log, _, records = sound()
    erased = MemoryErasedEvents()
    erased.add([ErasedEvent(records[1].position, records[1].tail)])

    class Erasing(MemoryStore):
        def stored(self, ids: Sequence[str], /) -> set[str]:
            found = super().stored(ids)
            self.erase(ids)
            return found

    erasing = Erasing()
    erasing.insert(records)
    assert check(log, erasing, At(log.last()), erased, ASIDE).problems == []


def test_what_is_put_aside_is_a_problem_until_it_is_dropped_and_no_loss() -> None:
    log, store, records = sound()
    aside = MemoryQuarantine()
    del store._events[1]
    log.spoil(records[1].position)
    log.spoil(records[2].position)
    [problem] = check(log, store, At(log.last()), NONE, aside).problems
    assert problem == f"1 committed entries cannot be read, the first at {records[1].position}: spoilt."
    aside.add([Quarantined(records[1].position, records[1].tail, 0, "spoilt", b"", b"", 1)])
    report = check(log, store, At(log.last()), NONE, aside)
    assert (report.held, report.stored, report.pending, report.quarantined) == (5, 4, 0, 1)
    assert [problem[:40] for problem in report.problems] == ["1 acknowledged entries are put aside, be"]
    aside.drop([records[1].position], 2)
    assert check(log, store, At(log.last()), NONE, aside) == Report(log.last(), 5, 4, 0, [])
    assert check(log, store, At(records[0].position), NONE, MemoryQuarantine()).problems == [], (
        "the worker will see to it"
    )


def test_commands_are_no_events_that_the_store_lacks() -> None:
    log, store, _ = sound()
    for kind in (Kind.ERASURE, 200):
        log.append([Entry(b"no event", kind=kind)])
        report = check(log, store, At(log.last()), NONE, ASIDE)
        assert report == Report(log.last(), held=5, stored=5, pending=0, problems=[])
    log.trim(log.last())
    assert check(log, store, At(log.last()), NONE, ASIDE).problems == []
    store._events = store._events[:4]
    assert check(log, store, At(log.last()), NONE, ASIDE).problems


def run(data: Path) -> tuple[int, Report]:
    done = run_forked([sys.executable, "-m", "headrace.cli.main", "check", "--data", str(data)])
    return done.returncode, msgspec.json.decode(done.stdout, type=Report) if done.stdout else Report(
        0, 0, 0, 0, [done.stderr]
    )


def test_the_command_asks_a_running_server_and_opens_a_folder_that_none_holds(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    key = server.key()
    with server.client(key) as client:
        sent = send(client, 30)
        assert stored(client) == sent
        assert client.get("/internal/check").status_code == 401
        assert client.get("/internal/check", headers={"Authorization": "Bearer wrong"}).status_code == 401
    code, report = run(tmp_path)
    assert (code, report.held, report.stored, report.problems) == (0, 30, 30, [])
    assert json.loads((tmp_path / "server.json").read_text())["pid"] == server.pid
    assert (tmp_path / "server.json").stat().st_mode & 0o777 == 0o600
    server.kill()
    for part in parts(tmp_path):
        shutil.rmtree(part)
    code, report = run(tmp_path)
    assert code == 1
    assert report.problems[0].startswith("30 committed events are not in the store")


def test_a_part_whose_bytes_are_not_what_was_written_is_a_problem(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    with server.client(server.key()) as client:
        sent = send(client, 5)
        assert stored(client) == sent
        [*_, part] = parts(tmp_path)
        data = bytearray((part / "data.bin").read_bytes())
        data[len(data) // 2] ^= 1
        (part / "data.bin").write_bytes(data)
    code, report = run(tmp_path)
    assert code == 1
    assert any(f"part {part.name} cannot be read" in problem for problem in report.problems)
    server.kill()
