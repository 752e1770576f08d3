"""The settings of a server: those of every server, and the rate limits of the dialects that it speaks."""

from collections.abc import Sequence
from typing import Annotated, cast

import msgspec
from msgspec import Meta

from headrace.dialects.route import Dialect, Limit
from headrace.dialects.table import DIALECTS
from headrace.model.settings import Settings, limit_field

PerMinute = Annotated[int, Meta(ge=0, le=1_000_000)]


def settings_of(dialects: Sequence[Dialect], /) -> type[Settings]:
    """The settings of a server that speaks these dialects."""
    fields = [_field(limit) for dialect in dialects for limit in dialect.limits]
    made = msgspec.defstruct("ServerSettings", fields, bases=(Settings,), module=__name__, frozen=True, kw_only=True)
    return cast("type[Settings]", made)


def _field(limit: Limit) -> tuple[str, object, int]:
    text = f"Rate limit for {limit.requests}, in requests per minute and {limit.of}; 0 means none."
    return limit_field(limit.name), Annotated[PerMinute, Meta(description=text)], limit.default


ServerSettings = settings_of(DIALECTS)
