"""What is remembered of the people that some events speak about: loaded from control, changed, and saved. No I/O, no rule."""

from collections.abc import Iterable

import msgspec

from headrace.model.person import Cells, GroupKey, Join


class HeldId(msgspec.Struct):
    """One id. `person` is the id that its person goes by. `cells` is None where the traits were not asked for."""

    id: str
    person: str
    known: bool = False  # a user's, and not an anonymous visitor's
    cells: Cells | None = None


class PeopleNeeds(msgspec.Struct, frozen=True):
    """What has to be remembered: ids with their traits, ids whose whole person matters, groups with their traits."""

    ids: set[str]
    persons: set[str]
    groups: set[GroupKey]


class PeopleState:
    """For one thread. What was not loaded does not exist yet."""

    def __init__(self) -> None:
        self.ids: dict[str, HeldId] = {}
        self.groups: dict[GroupKey, Cells] = {}
        self.parted: set[tuple[str, str]] = set()  # (kept, other) of joins that were undone
        self.joins: list[Join] = []  # of the persons that were loaded whole, where they were asked for
        # What is new, to be kept:
        self.before: dict[str, Cells] = {}  # the traits of changed ids, as they were loaded
        self.changed_ids: set[str] = set()
        self.moved_ids: set[str] = set()  # whose person, or whether they are known, has changed
        self.changed_groups: set[GroupKey] = set()
        self.group_times: dict[GroupKey, tuple[int, int]] = {}  # when events first and last spoke of it
        self.new_members: dict[tuple[str, GroupKey], int] = {}  # with the time of joining
        self.left_members: set[tuple[str, GroupKey]] = set()
        self.new_joins: list[Join] = []
        self.undone: list[Join] = []
        self.refused = 0  # joins that would have made a person of more than MAX_IDS ids
        self.dropped = 0  # changes of traits that there was no room for

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
        """The id's row, made where there is none."""
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
