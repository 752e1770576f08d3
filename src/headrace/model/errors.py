"""Every error that a client or an operator can see, as one tree. Knows no HTTP and no dialect.

    HeadraceError
    ├── InvalidRequest            malformed; a retry cannot help
    │   ├── MissingName           no event name
    │   ├── InvalidTimestamp      not a valid timestamp, or out of range
    │   ├── InvalidTags           tags must be a flat object of strings
    │   ├── InvalidMetricType     not gauge, counter, distribution or set
    │   ├── InvalidMetricValue    a value that does not fit the metric's type
    │   ├── BatchTooLarge         more events than one request may contain
    │   ├── Duplicate             a repeat, if the settings say that repeats fail
    │   ├── EventsRejected        an all-or-nothing batch with invalid events
    │   ├── InvalidRules          an invalid rules document, with the location of each problem
    │   └── Conflict              well formed, but not possible as things are
    │       └── OtherRules        other rules are in force than the ones this change is based on
    ├── PayloadTooLarge           a body over the size limit
    │   └── EventTooLarge         one event over the size limit
    ├── Unauthorized              no valid key
    │   ├── MissingKey
    │   ├── InvalidKey
    │   └── NoSession             of the console
    ├── Forbidden                 a key without the required scope
    ├── NotFound
    ├── MethodNotAllowed
    ├── RateLimited               may succeed later
    ├── Unavailable               may succeed later; nothing was stored
    └── SettingsError             an invalid setting, at startup

A class docstring is the default message.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from headrace.model.allowance import Allowance

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
    """An event name is required: send a string of 1 to 200 characters."""


class InvalidTimestamp(InvalidRequest):
    """Not a valid timestamp: send RFC 3339, such as 2024-01-15T10:30:00Z, with a year from 1970 to 2261."""


class InvalidTags(InvalidRequest):
    """Tags must be a flat object of strings."""


class InvalidMetricType(InvalidRequest):
    """'type' must be gauge, counter, distribution or set."""


class InvalidMetricValue(InvalidRequest):
    """'value' must be a finite number; for a set, a string."""


class BatchTooLarge(InvalidRequest):
    """The batch contains too many events."""


class Duplicate(InvalidRequest):
    """duplicate"""


class EventsRejected(InvalidRequest):
    """Some events are invalid; none was stored."""

    def __init__(self, message: str = "", events: Sequence[tuple[int, str]] = ()) -> None:
        """events: the index of each invalid event, and what is wrong with it."""
        super().__init__(message)
        self.events = tuple(events)


class Problem(NamedTuple):
    """`path` locates the problem in a document, like `challenges[2].goal`; `line` counts from 1, or is None if unknown."""

    path: str
    detail: str
    line: int | None = None


class InvalidRules(InvalidRequest):
    """The rules are invalid."""

    def __init__(self, problems: Sequence[Problem] = ()) -> None:
        self.problems = list(problems)
        super().__init__(f"The rules are invalid: {'; '.join(map(_in_one_line, problems[:20]))}." if problems else "")


def _in_one_line(problem: Problem) -> str:
    line = f" (line {problem.line})" if problem.line else ""
    return f"{problem.path or 'the document'}{line}: {problem.detail}"


class Conflict(InvalidRequest):
    """The request is not possible in the present state."""


class OtherRules(Conflict):
    """The rules in force are not the ones that this change is based on; nothing was applied."""

    def __init__(self, version: str = "") -> None:
        """version: of the rules in force; "" if there are none."""
        found = f"Version {version} of the rules is in force" if version else "No rules are in force"
        super().__init__(
            f"{found}, which is not what this change is based on; nothing was applied. Get the rules again, and send that "
            "response's ETag as If-Match."
        )
        self.version = version


class PayloadTooLarge(HeadraceError):
    """The request body exceeds the size limit."""


class EventTooLarge(PayloadTooLarge):
    """The event exceeds the size limit."""


class Unauthorized(HeadraceError):
    """The request has no valid API key."""


class MissingKey(Unauthorized):
    """No API key: send it as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'."""


class InvalidKey(Unauthorized):
    """The API key is unknown, revoked or expired."""


class NoSession(Unauthorized):
    """No session: it has ended, or there was none. Log in again."""


class Forbidden(HeadraceError):
    """The API key lacks the scope that this route requires."""


class NotFound(HeadraceError):
    """Not found."""


class MethodNotAllowed(HeadraceError):
    """This route does not support the method."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{method} is not allowed on this route; use {' or '.join(allowed)}.")
        self.allowed = tuple(allowed)


class RateLimited(HeadraceError):
    """Too many requests with this key."""

    retry_can_help = True

    def __init__(self, limit: int, window_s: int, retry_after_s: int, allowance: Allowance | None = None) -> None:
        super().__init__(
            f"This key is limited to {limit} such requests in {window_s} seconds; retry in {retry_after_s} seconds."
        )
        self.retry_after_s = retry_after_s
        self.allowance = allowance


class Unavailable(HeadraceError):
    """The server cannot accept this request right now; nothing was stored."""

    retry_can_help = True

    def __init__(self, message: str = "", retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SettingsError(HeadraceError):
    """A setting is invalid."""


def look_up(error: HeadraceError, table: Sequence[tuple[type[HeadraceError], Found]], otherwise: Found, /) -> Found:
    """The value of the first row whose class the error is an instance of; list specific classes first."""
    return next((found for kind, found in table if isinstance(error, kind)), otherwise)
