"""What events say about people and groups, and what is known of them. No I/O.

A **statement** is what one event says, in words that no dialect owns. An **id** is one name that events call somebody by; a
**person** is the set of ids that statements have joined, and goes by one of them.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

MAX_IDS = 1000  # of one person; what would join more is refused
MAX_TRAITS = 1000  # of one id or group
MAX_TRAITS_BYTES = 256 * 1024  # of one id or group, as JSON
MAX_GROUPS = 100  # that one event names
MAX_GROUP_TYPE_CHARS = 60
DEFAULT_GROUP_TYPE = "group"  # where a dialect's groups have no type

OpKind = Literal["set", "once", "unset", "add", "append", "union", "remove", "clear"]
JoinKind = Literal["identify", "alias"]


class Op(msgspec.Struct, frozen=True):
    """One change of one trait. `clear` unsets every trait, and has no name."""

    kind: OpKind
    name: str = ""
    value: Any = None


class GroupKey(msgspec.Struct, frozen=True):
    type: str
    key: str


class Statement(msgspec.Struct, frozen=True):
    """What one event says about people and groups.

    user_id: the id of a known user, or "". anonymous_ids: ids that the event calls the same somebody by.
    joins: "identify" joins the anonymous ids to the user, "alias" joins `previous_id` to the event's first id.
    ops: changes of the traits of the event's first id. group_ops: of the traits of `group`. groups: the first id is in them.
    left: whoever the first id is, is in them no more.
    """

    user_id: str = ""
    anonymous_ids: Sequence[str] = ()
    joins: JoinKind | None = None
    previous_id: str = ""
    ops: Sequence[Op] = ()
    group: GroupKey | None = None
    group_ops: Sequence[Op] = ()
    groups: Sequence[GroupKey] = ()
    left: Sequence[GroupKey] = ()

    @property
    def owner(self) -> str:
        """The id that the statement is about: the user's, else the first anonymous one."""
        return self.user_id or next(iter(self.anonymous_ids), "")

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in it."""
        return tuple(each for each in (self.user_id, *self.anonymous_ids, self.previous_id) if each)


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """What is held of one trait: since when by the event's time, by which event's position, and as what it came."""

    value: Any
    at_ms: int
    position: int
    kind: Literal["set", "once", "unset"] = "set"


Cells = dict[str, Cell]


class Join(msgspec.Struct, frozen=True):
    """Two ids that a statement has joined: `other`'s person became a part of `kept`'s."""

    kept: str
    other: str
    by: JoinKind
    position: int


class Person(msgspec.Struct, frozen=True):
    """Somebody. `id` is the one of `ids` that the person goes by; it comes first."""

    id: str
    ids: Sequence[str]
    traits: dict[str, Any]
    groups: Sequence[GroupKey] = ()


class Contact(msgspec.Struct, frozen=True):
    """A person with numbers that stay: `no` is that of the first id, `person_no` that of the id the person goes by.

    user_id: a known user's id, or "". known: all of those.
    """

    no: int
    person_no: int
    person: Person
    user_id: str
    known: Sequence[str]

    def is_named(self, ids: Sequence[str], /) -> bool:
        """Whether any of the ids is the person's."""
        return not set(ids).isdisjoint(self.person.ids)


class SeenGroup(msgspec.Struct, frozen=True):
    """A group, and when events first and last spoke of it, by their own time."""

    no: int
    key: GroupKey
    traits: dict[str, Any]
    first_ms: int
    last_ms: int


class Member(msgspec.Struct, frozen=True):
    """Somebody in a group, and since when."""

    contact: Contact
    joined_ms: int


class Group(msgspec.Struct, frozen=True):
    """`users`: how many people are in it."""

    type: str
    key: str
    traits: dict[str, Any]
    users: int


def may_say(event_type: str, has_traits: bool, /) -> bool:
    """Whether an event may say anything about people: most do not, and cost nothing more than this."""
    return has_traits or event_type in ("identify", "group", "alias")
