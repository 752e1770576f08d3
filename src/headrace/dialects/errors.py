"""The kinds of errors that every dialect distinguishes, so that each only maps kinds to its own codes. Pure."""

from typing import Literal

from headrace.model import errors
from headrace.model.errors import HeadraceError

Kind = Literal[
    "invalid_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "payload_too_large",
    "rate_limited",
    "unavailable",
]

_KINDS: tuple[tuple[type[HeadraceError], Kind], ...] = (
    (errors.InvalidRequest, "invalid_request"),
    (errors.Unauthorized, "unauthorized"),
    (errors.Forbidden, "forbidden"),
    (errors.NotFound, "not_found"),
    (errors.MethodNotAllowed, "method_not_allowed"),
    (errors.PayloadTooLarge, "payload_too_large"),
    (errors.RateLimited, "rate_limited"),
)


def kind_of(error: HeadraceError, /) -> Kind:
    """The error's kind; `unavailable` if it is none of the others."""
    return errors.look_up(error, _KINDS, "unavailable")
