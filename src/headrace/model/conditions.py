"""What a question says of a field of an event. No I/O, no SQL, no dialect."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

MAX_CONDITIONS = 20
MAX_VALUES = 100  # of one condition
MAX_VALUE_CHARS = 1000
MAX_PATH = 10

ColumnName = Literal[
    "name",
    "type",
    "source",
    "user_id",
    "anonymous_id",
    "session_id",
    "group_id",
    "environment",
    "service",
    "host",
]
COLUMNS: tuple[ColumnName, ...] = get_args(ColumnName)
Op = Literal["=", "!=", "in", ">", "<", ">=", "<=", "exists", "contains"]
OPS: tuple[Op, ...] = get_args(Op)
ORDERS: tuple[Op, ...] = (">", "<", ">=", "<=")
Value: TypeAlias = str | bool | float


class Field(msgspec.Struct, frozen=True):
    """A field of an event.

    column: one of its own, and absent where it is empty. tag: the tag of that name or, without one, the string property.
    property: by the keys that lead to it, from the outside in. value: its number. person: whose it is.
    path: the column's or the tag's name, or the property's keys.
    """

    kind: Literal["column", "tag", "property", "value", "person"]
    path: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether it may be a number: other fields are text."""
        return self.kind in ("property", "value")


NAME = Field("column", ("name",))


class Condition(msgspec.Struct, frozen=True):
    """What a field has to be.

    Text is compared with the field's text: a property's as `Filters` says, so 5 is "5" and true is "true". A number is
    compared with numbers only, as doubles; true and false with booleans only.

    =, in: it is one of the values. !=: it is not; also true of an event without the field. >, <, >=, <=: it is a number, in
    that order. exists: whether the event has it, as the value says; a JSON null counts as absent. contains: its text has the
    value in it, in the same case.
    A condition on `person` has ids as its values, and is about whoever has one of them.
    """

    field: Field
    op: Op
    values: Sequence[Value]
