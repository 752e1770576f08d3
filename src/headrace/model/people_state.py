"""The state of the people that some events are about: loaded from control, changed, and saved. No I/O, no rules."""

from collections.abc import Iterable

import msgspec

from headrace.model.person import Cells, GroupKey, Join


class HeldId(msgspec.Struct):
    """One id. `person` is the main id of its person. `cells` is None if the traits were not asked for."""

    id: str
    person: str
    known: bool = False  # a user id, not an anonymous one
    cells: Cells | None = None


class PeopleNeeds(msgspec.Struct, frozen=True):
    """What to load: ids with their traits, ids whose whole person is needed, groups with their traits."""

    ids: set[str]
    persons: set[str]
    groups: set[GroupKey]


class Merge(msgspec.Struct, frozen=True):
    """An event has made some ids one person, who goes by the first of them."""

    event_id: str
    ids: tuple[str, ...]


class PeopleState:
    """For one thread. An id that was asked for and not loaded does not exist yet."""

    def __init__(self) -> None:
        self.ids: dict[str, HeldId] = {}
        self.groups: dict[GroupKey, Cells] = {}
        self.parted: set[tuple[str, str]] = set()  # (kept, other) of joins that were undone
        self.joins: list[Join] = []  # of the people that were loaded whole, if asked for
        # New, to be saved:
        self.before: dict[str, Cells] = {}  # the traits of changed ids, as they were loaded
        self.changed_ids: set[str] = set()
        self.moved_ids: set[str] = set()  # ids whose person has changed, or whether they are known
        self.changed_groups: set[GroupKey] = set()
        self.group_times: dict[GroupKey, tuple[int, int]] = {}  # when events first and last mentioned it
        self.new_members: dict[tuple[str, GroupKey], int] = {}  # with the time they joined
        self.left_members: set[tuple[str, GroupKey]] = set()
        self.new_joins: list[Join] = []
        self.undone: list[Join] = []
        self.merges: list[Merge] = []  # in the order of the events that made them
        self.refused = 0  # joins refused because the person would have had more than MAX_IDS ids
        self.dropped = 0  # changes to traits that were dropped for lack of room

    @property
    def is_changed(self) -> bool:
        return bool(
            self.changed_ids
            or self.moved_ids
            or self.changed_groups
            or self.new_members
            or self.left_members
            or self.new_joins
            or self.undone
        )

    def held(self, id: str, /) -> HeldId:  # noqa: A002
        """The id's row, created if there is none."""
        found = self.ids.get(id)
        if found is None:
            found = self.ids[id] = HeldId(id, id, cells={})
            self.moved_ids.add(id)
        return found

    def of_person(self, person: str, /) -> list[HeldId]:
        """The loaded ids of a person."""
        return [each for each in self.ids.values() if each.person == person]

    def move(self, ids: Iterable[HeldId], person: str, /) -> None:
        for each in ids:
            if each.person != person:
                each.person = person
                self.moved_ids.add(each.id)
