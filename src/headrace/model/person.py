"""What events say about people and groups, and what is known about them. No I/O.

A **statement** is what one event says, independent of dialects. An **id** is one name that events use for somebody. A **person**
is a set of ids that statements have joined; one of them is the main id.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

MAX_IDS = 1000  # of one person; a join that would exceed this is refused
MAX_TRAITS = 1000  # of one id or group
MAX_TRAITS_BYTES = 256 * 1024  # of one id or group, as JSON
MAX_GROUPS = 100  # named by one event
MAX_GROUP_TYPE_CHARS = 60
DEFAULT_GROUP_TYPE = "group"  # for dialects whose groups have no type

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

    user_id: the id of a known user, or "". anonymous_ids: other ids that the event uses for the same person.
    joins: "identify" joins the anonymous ids to the user, "alias" joins `previous_id` to the event's first id.
    ops: changes to the traits of the event's first id. group_ops: changes to the traits of `group`.
    groups: the first id is a member of them. left: the person with the first id is no longer a member of them.
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
        """The id that the statement is about: the user id, or else the first anonymous id."""
        return self.user_id or next(iter(self.anonymous_ids), "")

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in the statement."""
        return tuple(each for each in (self.user_id, *self.anonymous_ids, self.previous_id) if each)


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """A trait's value, with the time and position of the event that set it, and how it was set."""

    value: Any
    at_ms: int
    position: int
    kind: Literal["set", "once", "unset"] = "set"


Cells = dict[str, Cell]


class Join(msgspec.Struct, frozen=True):
    """Two ids that a statement has joined: the person of `other` became part of the person of `kept`."""

    kept: str
    other: str
    by: JoinKind
    position: int


class Person(msgspec.Struct, frozen=True):
    """A person. `id` is the main one of `ids`, and comes first."""

    id: str
    ids: Sequence[str]
    traits: dict[str, Any]
    groups: Sequence[GroupKey] = ()


class Contact(msgspec.Struct, frozen=True):
    """A person with numbers that never change: `no` is the number of the first id, `person_no` that of the main id.

    user_id: the id of a known user, or "". known: all such ids.
    """

    no: int
    person_no: int
    person: Person
    user_id: str
    known: Sequence[str]

    def is_named(self, ids: Sequence[str], /) -> bool:
        """Whether the person has any of the ids."""
        return not set(ids).isdisjoint(self.person.ids)


class SeenGroup(msgspec.Struct, frozen=True):
    """A group, and when events first and last mentioned it, by their own time."""

    no: int
    key: GroupKey
    traits: dict[str, Any]
    first_ms: int
    last_ms: int


class Member(msgspec.Struct, frozen=True):
    """A member of a group, and when they joined."""

    contact: Contact
    joined_ms: int


class Group(msgspec.Struct, frozen=True):
    """A group. users: the number of people in it."""

    type: str
    key: str
    traits: dict[str, Any]
    users: int


def may_say(event_type: str, has_traits: bool, /) -> bool:
    """Whether an event may say anything about people. Most do not, and for those this check is the only cost."""
    return has_traits or event_type in ("identify", "group", "alias")
