"""The console's sessions, on every control database."""

import msgspec
import pytest
from sqlalchemy import Engine

from headrace.control.api_keys import Keys
from headrace.control.sessions import ControlSessions
from headrace.model.console import IDLE_MS, LONGEST_MS, Session

NOW = 1_800_000_000_000


class Clock:
    now_ms = NOW

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(engine: Engine, clock: Clock) -> ControlSessions:
    return ControlSessions(engine, clock)


def session(name: str, *keys: str, engine: Engine | None = None, is_operator: bool = False) -> Session:
    made = [Keys(engine).create(key, "live", "admin", None, NOW)[0] for key in keys] if engine else []
    return Session(id=name, is_operator=is_operator, keys=tuple(made), address="::1", created_at_ms=NOW, used_at_ms=NOW)


def test_a_session_is_found_by_its_hash_with_its_keys_in_order(sessions: ControlSessions, engine: Engine) -> None:
    opened = session("a", "shop", "blog", engine=engine)
    sessions.open(opened, "hash a", "proof", "")
    assert sessions.find("hash a") == (opened, "proof")
    assert sessions.find("hash b") is None


def test_a_key_that_is_revoked_or_expired_is_no_longer_among_them(
    sessions: ControlSessions, engine: Engine, clock: Clock
) -> None:
    keys = Keys(engine)
    lasting, revoked = (keys.create(each, "live", "admin", None, NOW)[0] for each in ("lasting", "revoked"))
    expiring, _ = keys.create("expiring", "live", "admin", None, NOW, expires_at_ms=NOW + 10)
    opened = msgspec.structs.replace(session("a"), keys=(revoked, expiring, lasting))
    sessions.open(opened, "hash a", "", "")
    keys.revoke(revoked.id, now_ms=NOW)
    clock.now_ms += 10
    found = sessions.find("hash a")
    assert found
    assert [each.id for each in found[0].keys] == [lasting.id]


def test_a_new_session_takes_the_place_of_the_one_before(sessions: ControlSessions) -> None:
    sessions.open(session("a", is_operator=True), "hash a", "", "")
    sessions.open(session("b", is_operator=True), "hash b", "", "a")
    assert sessions.find("hash a") is None
    assert [each.id for each in sessions.listed()] == ["b"]


def test_a_session_that_was_ended_is_gone(sessions: ControlSessions) -> None:
    sessions.open(session("a", is_operator=True), "hash a", "", "")
    assert sessions.end("a")
    assert not sessions.end("a")
    assert sessions.find("hash a") is None


def test_those_used_last_are_listed_first_and_expired_ones_not(sessions: ControlSessions, clock: Clock) -> None:
    for name in "abc":
        sessions.open(session(name, is_operator=True), f"hash {name}", "", "")
    sessions.touch("b", NOW + 5)
    assert [each.id for each in sessions.listed()] == ["b", "a", "c"]
    clock.now_ms = NOW + IDLE_MS
    assert [each.id for each in sessions.listed()] == ["b"]
    sessions.touch("b", NOW + LONGEST_MS - 1)
    clock.now_ms = NOW + LONGEST_MS
    assert sessions.listed() == []
    sessions.open(session("d", is_operator=True), "hash d", "", "")
    assert sessions.find("hash b") is None  # forgotten


def test_any_session_is_found_by_its_id_until_it_expires(
    sessions: ControlSessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.control.sessions._MOST_LISTED", 1)
    for name in "ab":
        sessions.open(session(name, is_operator=True), f"hash {name}", "", "")
    assert [each.id for each in sessions.listed()] == ["a"]
    assert [each.id for each in sessions.listed("b")] == ["b"]
    assert sessions.listed("c") == []
    clock.now_ms = NOW + IDLE_MS
    assert sessions.listed("b") == []


def test_a_database_keeps_the_name_it_was_made_with_and_others_have_another(
    sessions: ControlSessions, engine: Engine, other: Engine, clock: Clock
) -> None:
    name = sessions.server_id()
    assert len(name) == 8
    assert ControlSessions(other, clock).server_id() == name
    Keys(engine).create("shop", "live", "admin", None, NOW)
    assert sessions.projects() == ["shop"]
