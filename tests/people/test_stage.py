"""What is said of people on its way through the reactor: read when there is something, in order, and not once it was erased."""

import asyncio

import msgspec
import pytest

from headrace.assembly.capabilities.events import EventIntake
from headrace.control.erasures import ControlErasedEvents
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.dialects.statements import statement_of
from headrace.model.batch import Item
from headrace.model.entries import ErasedEvent, Receipt
from headrace.model.errors import Unavailable
from headrace.model.event import Event, StoredEvent, tail_of
from headrace.pipeline.people import PeopleStage, Saying
from headrace.pipeline.statement_watch import StatementWatch
from tests.reactions.given import TENANT, Machine, event, record_of


def identified(user: str, anonymous: str = "") -> StoredEvent:
    plain = event("user.identified", user)
    return msgspec.structs.replace(plain, type="identify", anonymous_id=anonymous, source="segment")


def ids(machine: Machine, user: str) -> list[str]:
    return list(ControlPeople(machine.engine).ids_of(TENANT, user))


def test_an_event_that_was_erased_while_it_waited_says_nothing(machine: Machine) -> None:
    first, second = identified("u", "a"), identified("u", "b")
    machine.log.append([record_of(first), record_of(second)])
    ControlErasedEvents(machine.engine).add([ErasedEvent(first.position, tail_of(first.id))])
    machine.drain()
    assert ids(machine, "u") == ["u", "b"]


def test_an_erased_event_among_others_costs_none_of_them_its_say(machine: Machine) -> None:
    erased = ControlErasedEvents(machine.engine)
    stage = PeopleStage(ControlPeopleStates(machine.engine), erased, statement_of, placeholders="")
    said = [identified("u", "a"), identified("u", "b"), identified("v", "c")]
    erased.add([ErasedEvent(said[1].position, tail_of(said[1].id))])
    state = stage.judge(TENANT, [Saying(each.position, each.id, each) for each in said])
    assert sorted(state.ids) == ["a", "c", "u", "v"]
    assert [merge.ids for merge in state.merges] == [("u", "a"), ("v", "c")]


def test_a_replay_says_nothing_again(machine: Machine) -> None:
    said = identified("u", "a")
    machine.react(said)
    machine.replay(msgspec.structs.replace(said, anonymous_id="b"), force=True)
    assert ids(machine, "u") == ["u", "a"]


def test_what_does_not_fit_into_memory_is_said_in_order_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.pipeline.reaction_queue._QUEUE_EVENTS", 1)
    said = [identified("u", "a"), identified("v", "a"), identified("v", "b")]
    machine.store.insert([record_of(each) for each in said])
    machine.react(*said)
    assert (ids(machine, "u"), ids(machine, "v")) == (["u", "a"], ["v", "b"])


def test_the_log_is_read_while_an_append_is_under_way_and_until_what_it_holds_was_read() -> None:
    watch = StatementWatch(5)
    assert not watch.is_quiet(4)
    assert watch.is_quiet(5)
    watch.begin()
    assert not watch.is_quiet(5)
    watch.end(TENANT, 9)
    assert not watch.is_quiet(8)
    assert watch.is_quiet(9)
    assert watch.latest(TENANT) == 9


class GivenIntake:
    """Appends when it is told to."""

    def __init__(self) -> None:
        self.appended: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()

    async def accept(self, _items: object) -> list[Receipt]:
        return await self.appended

    accept_history = None


def intake_of(given: GivenIntake, watch: StatementWatch) -> EventIntake:
    anything = object()
    return EventIntake(given, anything, anything, _FirstEvents(), watch, lambda: 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class _FirstEvents:
    in_place_of_repeats = None


def items(event_type: str) -> list[Item]:
    return [Item(0, Event("p", "live", "segment", "n", 0, event_type, user_id="u"))]  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_where_events_that_say_something_stand_is_known_even_if_their_sender_hangs_up() -> None:
    async def send() -> StatementWatch:
        watch, given = StatementWatch(0), GivenIntake()
        sending = asyncio.ensure_future(intake_of(given, watch).accept_about_people(items("identify")))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.sleep(0)
        assert not watch.is_quiet(100)
        given.appended.set_result([Receipt(9, 0)])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return watch

    watch = asyncio.run(send())
    assert (watch.is_quiet(8), watch.is_quiet(9)) == (False, True)


def test_an_append_that_failed_may_have_left_something_up_to_the_logs_end() -> None:
    async def send() -> StatementWatch:
        watch, given = StatementWatch(0), GivenIntake()
        given.appended.set_exception(Unavailable())
        with pytest.raises(Unavailable):
            await intake_of(given, watch).accept_about_people(items("identify"))
        await asyncio.sleep(0)
        return watch

    watch = asyncio.run(send())
    assert (watch.is_quiet(6), watch.is_quiet(7)) == (False, True)


def test_events_that_say_nothing_are_not_reported() -> None:
    async def send() -> StatementWatch:
        watch, given = StatementWatch(0), GivenIntake()
        given.appended.set_result([Receipt(9, 0)])
        assert await intake_of(given, watch).accept_about_people(items("track")) == [Receipt(9, 0)]
        return watch

    assert asyncio.run(send()).is_quiet(0)
