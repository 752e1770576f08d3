"""People under everything that can happen, against a small model: events in any order, repeats, undone joins, crashes, restarts."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.dialects.wire import encode_json
from headrace.model.errors import NotFound
from headrace.model.event import StoredEvent
from headrace.model.person import GroupKey
from headrace.pipeline.people import PeopleAdmin
from tests import in_memory
from tests.reactions.given import TENANT, Crash, Machine, event, record_of

IDS = ("u", "v", "w", "a", "b", "c", "null")
_ids = st.sampled_from(IDS)
_values = st.dictionaries(
    st.sampled_from(("plan", "email", "size")), st.integers(0, 3) | st.sampled_from("xyz"), max_size=2
)


class Model:
    """What ought to be, read from the whole history of what was said and undone."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.known: set[str] = set()
        self.joins: list[tuple[str, str, str]] = []  # kept, other, how
        self.undone: set[tuple[str, str]] = set()
        self.sets: dict[str, list[tuple[int, int, str, Any]]] = {}  # by id: (time, number, trait, value)
        self.first_sets: dict[str, list[tuple[int, str, Any]]] = {}  # by id: (number, trait, value)
        self.members: dict[str, set[str]] = {}  # by group: ids

    def meet(self, *ids: str) -> None:
        self.ids += [each for each in ids if each not in self.ids]

    def together(self, one: str) -> set[str]:
        found, grown = {one}, True
        while grown:
            more = {end for a, b, _ in self.joins if {a, b} & found for end in (a, b)}
            grown = not more <= found
            found |= more
        return found

    def goes_by(self, one: str) -> str:
        """The id that nobody it was joined with took over."""
        person = {each: {each} for each in self.ids}  # by name
        for kept, other, _ in self.joins:
            names = {each: name for name, members in person.items() for each in members}
            person[names[kept]] |= person.pop(names[other])
        return next(name for name, members in person.items() if one in members)

    def identify(self, user: str, anonymous: str) -> None:
        theirs = self.together(anonymous)
        if user not in theirs and not theirs & self.known and (user, anonymous) not in self.undone:
            self.joins.append((user, anonymous, "identify"))

    def alias(self, user: str, previous: str) -> None:
        if previous not in self.together(user):
            self.joins.append((user, previous, "alias"))
            self.undone.discard((user, previous))

    def undo(self, one: str, other: str) -> bool:
        if one == other or other not in self.together(one):
            return False
        # Those whose absence parts the two, that is, all on the way between them; of these the latest alias, else the latest.
        between: list[tuple[str, str, str]] = []
        for join in self.joins:
            rest = Model()
            rest.joins = [each for each in self.joins if each != join]
            if other not in rest.together(one):
                between.append(join)
        join = next((each for each in reversed(between) if each[2] == "alias"), between[-1])
        self.joins.remove(join)
        self.undone.add(join[:2])
        return True

    def traits(self, ids: set[str]) -> dict[str, Any]:
        once = sorted((each for id_ in ids for each in self.first_sets.get(id_, ())), reverse=True)
        latest = sorted((each for id_ in ids for each in self.sets.get(id_, ())), key=lambda each: each[:2])
        return {trait: value for _, trait, value in once} | {trait: value for _, _, trait, value in latest}

    def shown(self) -> dict[str, Any]:
        persons = {self.goes_by(each): self.together(each) for each in self.ids}
        return {
            name: (ids, self.traits(ids), {group for group, members in self.members.items() if members & ids})
            for name, ids in persons.items()
        }


class PeopleMachine(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = in_memory.folder()

    @initialize()
    def begin(self) -> None:
        self.machine = Machine(Path(self.folder.name), self.template)
        self.model = Model()
        self.waiting: list[tuple[StoredEvent, tuple[Any, ...]]] = []
        self.number = 0

    def teardown(self) -> None:
        self.machine.close()
        self.folder.cleanup()

    def _append(self, meaning: tuple[Any, ...], at_ms: int, **fields: Any) -> None:
        said = _stored(at_ms, **{"source": "segment"} | fields)
        self.machine.log.append([record_of(said)])
        self.waiting.append((said, (at_ms, *meaning)))

    @rule(user=_ids, values=_values, at_ms=st.integers(0, 5), anonymous=_ids | st.just(""))
    def identify(self, user: str, values: dict[str, Any], at_ms: int, anonymous: str) -> None:
        text = encode_json(values).decode() if values else ""
        fields = {"type": "identify", "user_id": user, "anonymous_id": anonymous, "traits": text}
        self._append(("identify", user, anonymous, values), at_ms, **fields)

    @rule(anonymous=_ids, values=_values, at_ms=st.integers(0, 5))
    def describe(self, anonymous: str, values: dict[str, Any], at_ms: int) -> None:
        text = encode_json(values).decode() if values else ""
        self._append(("describe", anonymous, values), at_ms, type="identify", anonymous_id=anonymous, traits=text)

    @rule(user=_ids, values=_values, at_ms=st.integers(0, 5))
    def set_once(self, user: str, values: dict[str, Any], at_ms: int) -> None:
        properties = encode_json({"$set_once": values}).decode()
        fields = {"type": "identify", "user_id": user, "properties": properties, "source": "posthog"}
        self._append(("once", user, values), at_ms, **fields)

    @rule(user=_ids, previous=_ids)
    def alias(self, user: str, previous: str) -> None:
        self._append(("alias", user, previous), 0, type="alias", user_id=user, previous_id=previous)

    @rule(user=_ids, group=st.sampled_from(("acme", "apex")))
    def join_group(self, user: str, group: str) -> None:
        self._append(("group", user, group), 0, type="group", user_id=user, group_id=group)

    @rule(user=_ids)
    def plain_event(self, user: str) -> None:
        self._append(("nothing",), 0, user_id=user)

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """As a sender does who has no key for it and did not get the reply."""
        if self.waiting:
            first, (at_ms, *meaning) = data.draw(st.sampled_from(self.waiting))
            again = _stored(
                at_ms,
                **{name: getattr(first, name) for name in ("source", "type", "user_id", "anonymous_id", "previous_id")},
                **{name: getattr(first, name) for name in ("group_id", "traits", "properties")},
            )
            self.machine.log.append([record_of(again)])
            self.waiting.append((again, (at_ms, *meaning)))

    @rule(dies=st.sampled_from(("", "", "before", "after")))
    def react(self, dies: str) -> None:
        self.machine.states.dies = dies
        with suppress(Crash):
            self.machine.drain()
        self.machine.states.dies = ""
        if dies:
            self.machine.restart()
            self.machine.drain()
        for _, meaning in self.waiting:
            self._tell_model(*meaning)
        self.waiting.clear()
        self._compare()

    @rule()
    def restart(self) -> None:
        self.machine.restart()

    @rule(one=_ids, other=_ids)
    def undo(self, one: str, other: str) -> None:
        self.react("")
        engine = self.machine.engine
        admin = PeopleAdmin(
            ControlPeople(engine), ControlPeopleStates(engine), self.machine.states, self.machine.reactions
        )
        try:
            admin.part(TENANT, one, other)
        except NotFound:
            assert not self.model.undo(one, other)
        else:
            assert self.model.undo(one, other)
        self._compare()

    def _tell_model(self, at_ms: int, what: str, *said: Any) -> None:
        model = self.model
        self.number += 1
        if what == "nothing" or said[0] == "null" or (what == "alias" and said[1] == "null"):
            return
        model.meet(said[0])
        if what != "describe":
            model.known.add(said[0])
        if what in ("identify", "describe"):
            model.sets.setdefault(said[0], []).extend((at_ms, self.number, *item) for item in said[-1].items())
        if what == "once":
            model.first_sets.setdefault(said[0], []).extend((self.number, *item) for item in said[-1].items())
        if what == "identify" and said[1] not in ("", "null", said[0]):
            model.meet(said[1])
            model.identify(said[0], said[1])
        if what == "alias":
            model.meet(said[1])
            model.alias(said[0], said[1])
        if what == "group":
            model.members.setdefault(said[1], set()).add(said[0])

    def _compare(self) -> None:
        people = ControlPeople(self.machine.engine)
        listed = people.listed(TENANT, "", None, 100)
        found = {
            person.id: (set(person.ids), person.traits, {group.key for group in person.groups}) for _, person in listed
        }
        assert found == self.model.shown()
        for _, person in listed:
            for each in person.ids:
                assert people.person_of(TENANT, each) == person
                assert people.ids_of(TENANT, each) == person.ids
        for group, members in self.model.members.items():
            shown = people.group(TENANT, GroupKey("group", group))
            assert shown is not None
            assert shown.users == len({self.model.goes_by(each) for each in members})

    @invariant()
    def nobody_is_called_by_a_placeholder(self) -> None:
        if hasattr(self, "machine"):
            assert ControlPeople(self.machine.engine).person_of(TENANT, "null") is None


def _stored(at_ms: int, **fields: Any) -> StoredEvent:
    return msgspec.structs.replace(event("said", ""), timestamp_ms=at_ms, **fields)


def test_people_are_what_a_small_model_says_whatever_happens(template: Path) -> None:
    PeopleMachine.template = template
    run_state_machine_as_test(
        PeopleMachine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, phases=(Phase.generate, Phase.shrink)
        ),
    )
