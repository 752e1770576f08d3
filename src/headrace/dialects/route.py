"""A dialect's routes as data. `http/` mounts the tables; nothing here knows a web framework.

A route's `does` is the kind of work it does: Ingest accepts events, Ask queries the store, Tell answers from the request alone,
and Handled names a handler in `http/` for everything else.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from headrace.dialects.wire import Pairs
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError, NotFound
from headrace.model.event import StoredEvent, Tenant, parse_id
from headrace.model.keys import Scope
from headrace.ports.store import Reader, StoredEvents

Render: TypeAlias = Callable[[Batch, list[Receipt]], bytes]
Head: TypeAlias = Iterable[tuple[bytes, bytes]]


class Reacted(msgspec.Struct, frozen=True):
    """The response of a route that waits until its one event has been reacted to.

    render: makes it from the receipt, the fact's id and type, and the current time. If the deadline passes first, the route
    answers like one that does not wait, with its own `render` and `late_status`.
    """

    render: Callable[[Receipt, str, str, int], bytes]
    late_status: int


class Ingest(msgspec.Struct, frozen=True):
    """Accepts events from the body of a POST or the query string of a GET.

    parse: raises HeadraceError and nothing else. render: makes the response once the events are durable; never raises.
    source: the source of the events, if it is not the dialect's name.
    status_of: the status of the response, if that depends on the batch.
    find_key: finds the key in the body; None if only headers and the query may carry it. Raises HeadraceError.
    claims: whether a body belongs to this route, if two dialects share a path; the other route gets whatever nobody claims.
    claims_head: like `claims`, from the request's headers alone, as ASGI gives them, with names in lower case.
    key_in_query: a query parameter that may carry the key, besides `api_key`.
    key_in_header: a header that may carry the key, up to a colon.
    whole: whether the parser also needs the query and the headers.
    media_type_of: the response's media type ("" for the usual one), if that depends on the batch.
    grants_webhooks: whether to permit senders that ask for permission, as CloudEvents' webhooks do.
    reacted: set if the route answers only after the reactions.
    shows_event: whether the response shows the event's contents. A repeat's is then rendered from the stored event.
    """

    parse: Callable[[bytes, Context], Batch]
    render: Render
    source: str = ""
    status_of: Callable[[Batch], int] | None = None
    find_key: Callable[[bytes], str] | None = None
    claims: Callable[[bytes], bool] | None = None
    claims_head: Callable[[Head], bool] | None = None
    key_in_query: str = ""
    key_in_header: str = ""
    whole: bool = False
    media_type_of: Callable[[Batch], str] | None = None
    grants_webhooks: bool = False
    reacted: Reacted | None = None
    shows_event: bool = False

    @property
    def is_claimant(self) -> bool:
        """Whether it accepts only those requests to its path that it claims."""
        return self.claims is not None or self.claims_head is not None


class Asked(msgspec.Struct, frozen=True):
    """What a route that queries gets: the tenant, the parameters of the path and the query, and the time."""

    tenant: Tenant
    path: Mapping[str, str]
    query: Pairs
    now_ms: int


Answer: TypeAlias = Callable[[Reader], bytes]


class Ask(msgspec.Struct, frozen=True):
    """Queries the store. `question` parses the request; the function it returns asks the reader, in its thread, and renders.

    Both may raise HeadraceError. What is returned holds nothing but what its answer depends on: requests that hold equal values
    while they wait are answered by one (`pipeline/same_questions.py`), and `Asked` has a time in it.
    """

    question: Callable[[Asked], Answer]


def find_event(tenant: Tenant, event_id: str, otherwise: str = "", /) -> Callable[[StoredEvents], StoredEvent]:
    """Find the tenant's event with an id, in any of the id's forms.

    Raises NotFound with the message `otherwise`: at once if it is not an event id, and from the returned function if there is
    no such event.
    """
    digits, missing = parse_id(event_id), NotFound(otherwise or f"There is no event {event_id[:80]!r}.")
    if not digits:
        raise missing

    def find(reader: StoredEvents) -> StoredEvent:
        found = reader.get(tenant, [digits])
        if not found:
            raise missing
        return found[0]

    return find


class Told(msgspec.Struct, frozen=True):
    """What a Tell route gets: the path's parameters, this server's address, and the time.

    scheme, host: only if the route `tells_address`; the host may include a port and a path.
    """

    path: Mapping[str, str]
    scheme: str
    host: str
    now_ms: int


class Tell(msgspec.Struct, frozen=True):
    """Answers an SDK from the request alone.

    key_in_path: the path parameter that carries the key; "" if headers and the query carry it.
    key_in_query: a query parameter that may carry the key, besides `api_key`.
    find_key: finds the key in a POST's body. Raises HeadraceError.
    tells_address: whether the response has this server's address, which may differ from client to client.
    """

    render: Callable[[Told], bytes]
    key_in_path: str = ""
    key_in_query: str = ""
    find_key: Callable[[bytes], str] | None = None
    media_type: str = ""
    tells_address: bool = False


class Handled(msgspec.Struct, frozen=True):
    """Handled by the handler in `http/` with this name, which is also what the audit calls it.

    in_control: whether it changes something only within one transaction of the control database, which then also records it
    in the audit. What changes anything else is recorded before it is tried.
    """

    by: str
    in_control: bool = False


class Route(msgspec.Struct, frozen=True):
    """One method at one path.

    path: a template such as `/v1/events/{event_id}`. `{name:id}` is one segment with anything in it, slashes escaped;
    `{name:path}` at the end is the rest of the path, slashes included.
    scope: the scope that a key needs. limit: the name of its rate limit: see `Limit`.
    status: the status of a successful response.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    scope: Scope
    limit: str
    does: Ingest | Ask | Tell | Handled
    status: int = 200

    @property
    def for_browsers(self) -> bool:
        """Whether pages of any origin may call it: every response has CORS headers. Such a route never reads a cookie."""
        return isinstance(self.does, Ingest | Tell)

    @property
    def is_audited(self) -> bool:
        """Whether an admin changes something by it: each request that is let in is recorded in the audit."""
        return self.scope == "admin" and self.method != "GET"

    @property
    def has_preflight(self) -> bool:
        """Whether it answers OPTIONS for browsers. If the key is in the path, there is no header, and so no preflight."""
        return self.for_browsers and not (isinstance(self.does, Tell) and self.does.key_in_path)


class Limit(msgspec.Struct, frozen=True):
    """A rate limit that routes share. Its setting is `limit_<name>`: see `dialects.settings`.

    requests: which requests it is for, in words. default: how many a minute, if the setting says nothing; 0 means any number.
    of: who may send so many.
    """

    name: str
    requests: str
    default: int = 0
    of: Literal["key", "session"] = "key"


class Dialect(msgspec.Struct, frozen=True):
    """A wire dialect: its name, which is also the `source` of its events, how it renders errors, and its routes.

    limits: the rate limits that no dialect before it has.
    prefixes: paths below which it renders errors even where there is no route.
    statuses: errors for which its clients need an unusual status.
    about_people: whether its events may say something about people: see `model.person.may_say`.
    """

    name: str
    render_error: Callable[[HeadraceError, int], bytes]
    routes: tuple[Route, ...] = ()
    limits: tuple[Limit, ...] = ()
    prefixes: tuple[str, ...] = ()
    statuses: tuple[tuple[type[HeadraceError], int], ...] = ()
    error_type: str = "application/json"
    about_people: bool = False
