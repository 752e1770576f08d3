"""One run: what each kind of step does, and what happens to a run that waits."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headrace.model.journeys import Person
from headrace.model.zones import zone_of
from headrace.reactions.journeys.program import next_time_of_day
from headrace.reactions.journeys.transitions import broken, cancel
from tests.journeys.given import DAY_MS, HOUR_MS, START_MS, Alone, journey, seen

EMIT: dict[str, Any] = {"id": "e", "emit": {"event": "sent", "properties": {"n": 1}}}


def branch(when: str) -> dict[str, Any]:
    then, other = ({"id": name, "emit": {"event": name}} for name in ("yes", "no"))
    return {"id": "b", "branch": {"when": when, "then": [then], "else": [other]}}


def test_a_wait_ends_when_its_timer_fires_as_of_the_moment_it_was_set_for() -> None:
    alone = Alone(journey({"id": "w", "wait": "1h"}, {"id": "v", "wait": "30m"}, EMIT)).start(seen("start"))
    assert (alone.run.status, alone.run.step, alone.run.due_ms) == ("active", "w", START_MS + HOUR_MS)
    alone.fire()
    assert (alone.run.step, alone.run.due_ms) == ("v", START_MS + HOUR_MS * 3 // 2)
    alone.fire()
    assert (alone.run.status, alone.run.due_ms, alone.emitted) == ("done", None, ["sent"])
    assert alone.outcomes() == [("w", "waited"), ("v", "waited"), ("e", "emitted")]


def test_a_wait_for_an_event_ends_by_the_first_that_fits_or_by_its_timeout() -> None:
    wait = {"id": "w", "wait_for": {"event": "order.*", "when": "event.properties.amount > 10", "timeout": "2d"}}
    made = journey(wait, branch("steps.w.happened && steps.w.event.properties.amount > 100"))
    alone = Alone(made).start(seen("start"))
    assert alone.run.due_ms == START_MS + 2 * DAY_MS
    assert not alone.happen(seen("other", START_MS + 1, amount=50))
    assert not alone.happen(seen("order.placed", START_MS + 2, amount=5))
    assert not alone.happen(seen("order.placed", START_MS + 3))  # its condition has no truth value
    assert alone.happen(seen("order.placed", START_MS + 4, amount=500))
    assert (alone.run.status, alone.emitted) == ("done", ["yes"])

    alone = Alone(made).start(seen("start")).fire()
    assert alone.outcomes()[0] == ("w", "timed_out")
    assert alone.emitted == ["no"]


def test_an_event_that_is_not_past_a_runs_position_does_not_move_it() -> None:
    steps = [{"id": name, "wait_for": {"event": "start", "timeout": "1d"}} for name in "ab"]
    first, second = seen("start"), seen("start", START_MS + 1)
    alone = Alone(journey(*steps)).start(first)
    assert not alone.happen(first)
    assert alone.happen(second)
    assert not alone.happen(second)
    assert alone.run.step == "b"


def test_an_exit_event_ends_a_run_whatever_it_waits_for() -> None:
    alone = Alone(journey({"id": "w", "wait": "1h"}, EMIT, exit=["gone.*"])).start(seen("start"))
    assert alone.happen(seen("gone.away", START_MS + 1))
    assert (alone.run.status, alone.run.due_ms, alone.emitted) == ("exited", None, [])
    assert alone.run.visits[-1].why == "by 'gone.away'"
    assert not alone.happen(seen("gone.away", START_MS + 2))


def test_a_branch_reads_the_event_that_started_the_run_the_person_and_earlier_steps() -> None:
    def taken(when: str, **person: Any) -> str:
        traits = msgspec.json.encode(person).decode()
        alone = Alone(journey(branch(when)), Person("u", ("u",), traits, {"company": "acme"}))
        return alone.start(seen("start", plan="pro")).emitted[0]

    assert taken("event.properties.plan == 'pro'") == "yes"
    assert taken("person.id == 'u' && person.groups.company == 'acme'") == "yes"
    assert taken("person.traits.vip", vip=True) == "yes"
    assert taken("person.traits.age >= 18", age=17) == "no"
    assert taken("has(person.traits.age)") == "no"
    assert taken("person.traits['home town'] == 'Ulm'", **{"home town": "Ulm"}) == "yes"


def test_a_condition_without_a_truth_value_counts_as_false_and_says_why() -> None:
    alone = Alone(journey(branch("person.traits.age >= 18"))).start(seen("start"))
    assert alone.emitted == ["no"]
    assert alone.run.visits[0].why == "there is no person.traits.age"


def test_a_call_waits_for_its_reply_and_later_steps_read_it() -> None:
    call = {"id": "ask-crm", "call": {"webhook": "crm", "body": {"hello": 1}}}
    alone = Alone(journey(call, branch('steps["ask-crm"].reply.ok == true')), Person("u", ("u",), '{"a":1}'))
    alone.start(seen("start", plan="pro"))
    assert (alone.run.waiting, alone.run.due_ms) == ("reply", None)
    [called] = alone.called
    sent = msgspec.json.decode(called.data)
    assert (called.key, called.webhook) == ("run_1.ask-crm.1", "crm")
    assert (sent["journey"], sent["step"], sent["body"]) == ("j", "ask-crm", {"hello": 1})
    assert (sent["person"]["traits"], sent["event"]["properties"]) == ({"a": 1}, {"plan": "pro"})
    assert not alone.reply(b"{}", attempt=2)
    assert alone.reply(b'{"ok":true}', at_ms=START_MS + 5)
    assert (alone.run.status, alone.emitted, alone.run.visits[0].until_ms) == ("done", ["yes"], START_MS + 5)
    assert not alone.reply(b'{"ok":true}')


def test_a_call_that_fails_for_good_fails_the_run_which_can_be_retried() -> None:
    alone = Alone(journey({"id": "c", "call": {"webhook": "crm"}}, EMIT)).start(seen("start"))
    assert alone.reply(None)
    assert (alone.run.status, alone.run.visits[-1].why) == ("failed", "410 Gone")
    moved = alone.machine().retry(alone.journey, alone.run, START_MS + 9)
    assert (moved.run.status, moved.run.waiting, moved.called[0].key) == ("active", "reply", "run_1.c.2")
    alone.run = moved.run
    assert not alone.reply(b"", attempt=1)
    assert alone.reply(b"", attempt=2)
    assert alone.outcomes() == [("c", "failed"), ("c", "replied"), ("e", "emitted")]


def test_the_reply_to_a_call_that_was_sent_again_lets_the_run_go_on_that_had_failed_because_of_it() -> None:
    alone = Alone(journey({"id": "c", "call": {"webhook": "crm"}}, EMIT)).start(seen("start"))
    assert alone.reply(None)
    assert not alone.reply(None), "it has failed already"
    assert not alone.reply(b"{}", attempt=2)
    assert alone.reply(b"{}", at_ms=START_MS + 7)
    assert (alone.run.status, alone.emitted) == ("done", ["sent"])
    assert alone.outcomes() == [("c", "failed"), ("c", "replied"), ("e", "emitted")]
    again = alone.run.visits[1]
    assert (again.why, again.at_ms, again.until_ms) == ("it was sent again", START_MS + 7, START_MS + 7)


def test_a_late_reply_moves_no_run_that_an_operator_has_ended_or_that_has_failed_elsewhere() -> None:
    alone = Alone(journey({"id": "c", "call": {"webhook": "crm"}}, {"id": "w", "wait": "1h"})).start(seen("start"))
    waiting = alone.run
    alone.run = cancel(waiting, START_MS + 1)
    assert not alone.reply(b"{}")
    alone.run = waiting
    assert alone.reply(b"{}")
    alone.run = broken(alone.run, "why", START_MS + 2)
    assert not alone.reply(b"{}")
    assert (alone.run.status, alone.run.step) == ("failed", "w")


def test_a_run_keeps_so_much_of_its_events_in_all_and_goes_on_without_the_rest() -> None:
    steps = [{"id": name, "wait_for": {"event": "x", "timeout": "1d"}} for name in "vw"]
    alone = Alone(journey(*steps, branch("steps.w.event.properties.n == 2"), EMIT)).start(seen("start"))
    for number in (1, 2):
        assert alone.happen(seen("x", START_MS + number, n=number, text="x" * 40_000))
    assert [(visit.outcome, bool(visit.event)) for visit in alone.run.visits[:2]] == [
        ("happened", True),
        ("happened", False),
    ]
    assert alone.run.visits[2].why == "the event of step 'w' is too large to be kept"
    assert alone.emitted == ["no", "sent"]


def test_what_a_run_keeps_is_measured_in_bytes() -> None:
    steps = [{"id": name, "wait_for": {"event": "x", "timeout": "1d"}} for name in "vw"]
    alone = Alone(journey(*steps)).start(seen("start"))
    for number in (1, 2):
        assert alone.happen(seen("x", START_MS + number, text="\u20ac" * 12_000))
    assert [bool(visit.event) for visit in alone.run.visits] == [True, False], (
        "36,000 bytes each, and 12,000 characters"
    )


def test_a_call_that_would_be_too_large_names_the_person_and_the_event_and_says_so() -> None:
    call = {"id": "c", "call": {"webhook": "crm", "body": {"hello": 1}}}
    for size, is_cut in ((300_000, False), (400_000, True)):
        person = Person("u", ("u", "v"), msgspec.json.encode({"text": "x" * size}).decode())
        start = seen("start", plan="pro")
        [called] = Alone(journey(call), person).start(start).called
        sent = msgspec.json.decode(called.data)
        assert (sent.get("truncated", False), sent["body"]) == (is_cut, {"hello": 1})
        assert sent["person"]["id"] == "u"
        assert sent["event"]["id"] == f"evt_{start.id}"
        assert ("traits" in sent["person"], "properties" in sent["event"]) == (not is_cut, not is_cut)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"wait": "1h"}, "yes"),
        ({"emit": {"event": "x"}}, "yes"),
        ({"wait_for": {"event": "x", "timeout": "1h"}}, "no"),
        ({"branch": {"when": "event.properties.n == 2", "then": [EMIT]}}, "yes"),
        ({"branch": {"when": "event.properties.n == 3", "then": [EMIT]}}, "no"),
    ],
)
def test_a_step_has_happened_if_it_did_what_it_is_for(step: dict[str, Any], expected: str) -> None:
    alone = Alone(journey({"id": "s"} | step, branch("steps.s.happened"))).start(seen("start", n=2))
    if alone.run.status == "active":
        alone.fire()
    assert alone.emitted[-1] == expected


def test_what_is_too_large_to_keep_is_left_out_and_said() -> None:
    alone = Alone(journey({"id": "w", "wait": "1h"}, branch("event.properties.a == 'x'"), EMIT))
    alone.start(seen("start", a="x" * 70_000)).fire()
    assert alone.run.visits[1].why == "the event that started the run is too large to be kept"
    call = {"id": "c", "call": {"webhook": "crm"}}
    alone = Alone(journey(call, branch("steps.c.reply.ok == true"))).start(seen("start"))
    assert alone.reply(msgspec.json.encode({"ok": True, "more": "x" * 70_000}))
    assert "too large to be kept" in alone.run.visits[0].why
    assert alone.emitted == ["no"]


def test_an_emitted_event_says_where_it_is_from_and_its_chain_ends() -> None:
    made = journey({"id": "e", "emit": {"event": "start"}}, entry={"at_most": 1})
    found: list[int] = []
    by = seen("start")
    for number in range(8):
        moved = Alone(made).machine().start(made, by, f"run_{number}", "u")
        if not moved.emitted:
            assert moved.run.visits[-1].outcome == "too_deep"
            break
        [emitted] = moved.emitted
        origin = msgspec.json.decode(emitted.context)["journey"]
        assert (origin["id"], origin["run"], origin["step"]) == ("j", f"run_{number}", "e")
        found.append(origin["depth"])
        by = seen("start", source="journey", context=emitted.context)
    assert found == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("context", ["", "{}", '{"journey":{}}', '{"journey":{"depth":"1"}}'])
def test_an_emitted_event_that_does_not_say_how_deep_it_is_leads_no_further(context: str) -> None:
    alone = Alone(journey(EMIT)).start(seen("start", source="journey", context=context))
    assert (alone.emitted, alone.outcomes()) == ([], [("e", "too_deep")])


def test_a_client_cannot_say_how_deep_its_event_is() -> None:
    alone = Alone(journey(EMIT)).start(seen("start", context='{"journey":{"depth":5}}'))
    assert alone.emitted == ["sent"]


@pytest.mark.parametrize("end", [lambda run: cancel(run, START_MS + 1), lambda run: broken(run, "why", START_MS + 1)])
def test_a_run_that_is_ended_waits_for_nothing(end: Callable[[Any], Any]) -> None:
    alone = Alone(journey({"id": "w", "wait_for": {"event": "x", "timeout": "1d"}})).start(seen("start"))
    alone.run = end(alone.run)
    assert (alone.run.waiting, alone.run.due_ms, alone.run.visits[-1].until_ms) == ("", None, START_MS + 1)
    assert not alone.happen(seen("x", START_MS + 2))


def test_a_time_of_day_is_the_next_one_in_its_zone() -> None:
    berlin = zone_of("Europe/Berlin")
    assert next_time_of_day(START_MS, "09:00", berlin) == START_MS + 8 * HOUR_MS
    assert next_time_of_day(START_MS + 8 * HOUR_MS, "09:00", berlin) == START_MS + 32 * HOUR_MS
    spring = 1_743_285_600_000  # 2025-03-29T22:00Z; at 01:00Z clocks go from 02:00 to 03:00
    assert next_time_of_day(spring, "02:30", berlin) == spring + 3 * HOUR_MS
    autumn = 1_761_429_600_000  # 2025-10-25T22:00Z; at 01:00Z clocks go from 03:00 back to 02:00
    assert next_time_of_day(autumn, "02:30", berlin) == autumn + 5 * HOUR_MS // 2
    assert next_time_of_day(autumn + 5 * HOUR_MS // 2, "02:30", berlin) == autumn + 55 * HOUR_MS // 2


def test_a_wait_in_the_persons_zone_follows_the_trait() -> None:
    made = journey({"id": "w", "wait": {"until": "09:00", "time_zone": "person"}})
    traits = '{"time_zone":"Asia/Tokyo"}'
    alone = Alone(made, Person("u", ("u",), traits)).start(seen("start", START_MS + HOUR_MS))
    assert (alone.run.due_ms, alone.run.visits[-1].why) == (START_MS + DAY_MS, "in Asia/Tokyo")
    unreadable = ('{"time_zone":"\\ud800"}', '{"time_zone":"Mars/X"}', '{"time_zone":9}')
    for person in (None, *(Person("u", ("u",), each) for each in unreadable)):
        alone = Alone(made, person).start(seen("start"))
        assert (alone.run.due_ms, alone.run.visits[-1].why) == (START_MS + 9 * HOUR_MS, "in UTC")
