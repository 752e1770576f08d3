"""Text columns that accept any string and compare it the same way on both databases.

SQLite stores any text of any length and compares bytes. PostgreSQL refuses NUL, which JSON may contain, and text longer than
declared, and compares by its collation. So on PostgreSQL every text column is TEXT COLLATE "C", and the characters that it
refuses are escaped.
"""

import re

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

# NUL, the escape character itself, and lone surrogates, which have no UTF-8.
_REFUSED = re.compile("[\x00\x01\ud800-\udfff]")
_ESCAPED = re.compile("\x01(?:([\x01\x02])|\x03([0-9a-f]{4}))")


def text(length: int | None = None, /) -> TypeEngine[str]:
    """The type of a text column. `length` is declared on SQLite to document it, and enforced on neither database."""
    plain = sa.Text() if length is None else sa.String(length)
    return plain.with_variant(AnyText(), "postgresql")


class AnyText(TypeDecorator[str]):
    """TEXT COLLATE "C" that takes any string; "\\x00" is kept as "\\x01\\x01", which sorts in its place."""

    impl = sa.Text
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(collation="C")

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else _REFUSED.sub(_escape, value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return value if value is None or "\x01" not in value else _ESCAPED.sub(_restore, value)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return {"\x00": "\x01\x01", "\x01": "\x01\x02"}.get(character) or f"\x01\x03{ord(character):04x}"


def _restore(found: re.Match[str]) -> str:
    if found[2]:
        return chr(int(found[2], 16))
    return "\x00" if found[1] == "\x01" else "\x01"
