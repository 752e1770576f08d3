"""Events in the URL of an image, and the image that answers them. Pure.

A parameter with dots in its name is a member of an object: `properties.plan=pro`. All values are text.
"""

from collections.abc import Mapping
from typing import Any, cast

from headrace.model.errors import InvalidRequest

GIF_TYPE = "image/gif"
# One transparent pixel. https://www.w3.org/Graphics/GIF/spec-gif89a.txt
GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    b"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;"
)
_MAX_DOTS = 20


def nested(fields: Mapping[str, str], /) -> dict[str, Any]:
    """Turn `{"a.b": "1", "c": "2"}` into `{"a": {"b": "1"}, "c": "2"}`. Raises InvalidRequest if a name is both."""
    whole: dict[str, Any] = {}
    for name, value in fields.items():
        *owners, last = name.split(".", _MAX_DOTS)
        part = whole
        for owner in owners:
            part = part.setdefault(owner, {})
            if type(part) is not dict:
                raise _both(name)
            part = cast("dict[str, Any]", part)
        if last in part:
            raise _both(name)
        part[last] = value
    return whole


def _both(name: str) -> InvalidRequest:
    return InvalidRequest(f"The parameter {name[:80]!r} is both a value and an object: send either.")
