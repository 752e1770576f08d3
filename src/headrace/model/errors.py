"""Every error that a client or an operator can be shown, as one tree. Knows no HTTP and no dialect.

    HeadraceError
    ├── InvalidRequest            malformed; sending it again cannot help
    │   ├── MissingName           no event name
    │   ├── InvalidTimestamp      a time that is no time, or out of range
    │   ├── InvalidTags           tags that are no flat object of strings
    │   ├── InvalidMetricType     no gauge, counter, distribution or set
    │   ├── InvalidMetricValue    a value that its metric's type cannot have
    │   ├── BatchTooLarge         more events than one request may carry
    │   ├── Duplicate             a repeat, where the settings say that repeats fail
    │   ├── EventsRejected        a batch that is taken whole or not at all, and has bad events
    │   └── InvalidRules          a rules document with problems, each with its place
    ├── PayloadTooLarge           a body over its size limit
    │   └── EventTooLarge         one event over its size limit
    ├── Unauthorized              no key that works
    │   ├── MissingKey
    │   └── InvalidKey
    ├── Forbidden                 a key without the scope
    ├── NotFound
    ├── MethodNotAllowed
    ├── RateLimited               may succeed later
    ├── Unavailable               may succeed later; nothing was stored
    └── SettingsError             the operator's, at start

A class docstring is the message shown when none is given.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

Found = TypeVar("Found")


class HeadraceError(Exception):
    """Something went wrong."""

    retry_can_help = False

    def __init__(self, message: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        super().__init__(self.message)


class InvalidRequest(HeadraceError):
    """The request is malformed."""


class MissingName(InvalidRequest):
    """The event name is required: send a string of 1 to 200 characters."""


class InvalidTimestamp(InvalidRequest):
    """The timestamp is not RFC 3339 (like 2024-01-15T10:30:00Z), or its year is outside 1970..2261."""


class InvalidTags(InvalidRequest):
    """The tags must be a flat object of string values."""


class InvalidMetricType(InvalidRequest):
    """'type' must be gauge, counter, distribution or set."""


class InvalidMetricValue(InvalidRequest):
    """'value' must be a finite number; for a set, a string."""


class BatchTooLarge(InvalidRequest):
    """The batch carries too many events."""


class Duplicate(InvalidRequest):
    """duplicate"""


class EventsRejected(InvalidRequest):
    """Some events are wrong, and none was stored."""

    def __init__(self, message: str = "", events: Sequence[tuple[int, str]] = ()) -> None:
        """events: the place of each bad one, and what is wrong with it."""
        super().__init__(message)
        self.events = tuple(events)


class Problem(NamedTuple):
    """`path` leads to what is wrong in a document, like `challenges[2].goal`; `line` counts from 1, None where it has none."""

    path: str
    detail: str
    line: int | None = None


class InvalidRules(InvalidRequest):
    """The rules have problems."""

    def __init__(self, problems: Sequence[Problem] = ()) -> None:
        self.problems = list(problems)
        super().__init__(f"The rules have problems: {'; '.join(map(_in_one_line, problems[:20]))}." if problems else "")


def _in_one_line(problem: Problem) -> str:
    line = f" (line {problem.line})" if problem.line else ""
    return f"{problem.path or 'the document'}{line}: {problem.detail}"


class PayloadTooLarge(HeadraceError):
    """The request body is over the size limit."""


class EventTooLarge(PayloadTooLarge):
    """The event is over the size limit."""


class Unauthorized(HeadraceError):
    """The request carries no API key that works."""


class MissingKey(Unauthorized):
    """No API key: send it as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'."""


class InvalidKey(Unauthorized):
    """The API key is unknown, revoked or expired."""


class Forbidden(HeadraceError):
    """The API key lacks the scope that this route needs."""


class NotFound(HeadraceError):
    """There is nothing at this address."""


class MethodNotAllowed(HeadraceError):
    """The route exists, but not with this method."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{method} is not allowed here; use {' or '.join(allowed)}.")
        self.allowed = tuple(allowed)


class RateLimited(HeadraceError):
    """Too many requests with this key."""

    retry_can_help = True

    def __init__(self, limit: int, window_s: int, retry_after_s: int) -> None:
        super().__init__(
            f"This key may send {limit} such requests in {window_s} seconds; try again in {retry_after_s} seconds."
        )
        self.retry_after_s = retry_after_s


class Unavailable(HeadraceError):
    """The server cannot take this now; nothing was stored."""

    retry_can_help = True

    def __init__(self, message: str = "", retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SettingsError(HeadraceError):
    """A setting has a value that it cannot have."""


def look_up(error: HeadraceError, table: Sequence[tuple[type[HeadraceError], Found]], otherwise: Found, /) -> Found:
    """What a table has for an error: the first row whose class it is of, so what is more specific comes first."""
    return next((found for kind, found in table if isinstance(error, kind)), otherwise)
