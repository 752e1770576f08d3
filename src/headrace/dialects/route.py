"""A dialect's routes as data: what a table says of each route. `http/` mounts the tables; nothing here knows a web framework.

A route's `does` says what kind of work it is: Ingest takes events, Ask asks the store, Tell answers from the request alone, and
Handled names a handler of `http/` for what needs more than that.
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
    """How a route answers that waits until its one event has been reacted to.

    render: the reply, of the receipt, the fact's id and type, and the time now. If the deadline passes first, the route answers
    as if it did not wait: with its own `render` and `late_status`.
    """

    render: Callable[[Receipt, str, str, int], bytes]
    late_status: int


class Ingest(msgspec.Struct, frozen=True):
    """Takes events: of the body of a POST, or of the query string of a GET.

    parse: raises HeadraceError and nothing else. render: the reply once the events are durable; raises nothing.
    source: the source of the events, where it is not the dialect's name.
    status_of: the status of the reply, where that depends on the batch.
    find_key: takes the key out of the body; None where only headers and the query may carry it. Raises HeadraceError.
    claims: whether a body is this route's, where two dialects share a path; the other route takes what nobody claims.
    claims_head: the same of a request's headers alone, as ASGI has them: names in lower case.
    key_in_query: a parameter of the query that carries the key, beside `api_key`.
    key_in_header: a header that carries it, up to a colon.
    whole: the parser looks at the query and the headers, too.
    media_type_of: the reply's media type, "" for the usual one, where that depends on the batch.
    grants_webhooks: whoever asks its path, as CloudEvents' webhooks do, is allowed to send there.
    reacted: set where the route answers only after the reactions.
    shows_event: the reply shows what the event holds, so a repeat's is rendered from the event that is stored.
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
        """Whether it takes only what it claims, of what is sent to its path."""
        return self.claims is not None or self.claims_head is not None


class Asked(msgspec.Struct, frozen=True):
    """What a route that asks may know: whose events, the path's and the query's parameters, and the time."""

    tenant: Tenant
    path: Mapping[str, str]
    query: Pairs
    now_ms: int


Answer: TypeAlias = Callable[[Reader], bytes]


class Ask(msgspec.Struct, frozen=True):
    """Asks the store. `question` reads the request; what it returns asks the reader, in the reader's thread, and renders.

    Both may raise HeadraceError.
    """

    question: Callable[[Asked], Answer]


def find_event(tenant: Tenant, event_id: str, otherwise: str = "", /) -> Callable[[StoredEvents], StoredEvent]:
    """Asks for the tenant's event of an id, in any of its forms.

    Raises NotFound, which says `otherwise`: at once for what is no event's id, and from what it returns for an unknown event.
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
    """What a route that only tells may know: the path's parameters, the address to send to, and the time.

    scheme, host: only for a route that `tells_address`; the host may have a port and a path.
    """

    path: Mapping[str, str]
    scheme: str
    host: str
    now_ms: int


class Tell(msgspec.Struct, frozen=True):
    """Answers an SDK from the request alone.

    key_in_path: the path's parameter that carries the key; "" where headers and the query carry it.
    key_in_query: a parameter of the query that carries it, beside `api_key`.
    find_key: takes the key out of a POST's body. Raises HeadraceError.
    tells_address: whether the answer has this server's address, which may differ from client to client.
    """

    render: Callable[[Told], bytes]
    key_in_path: str = ""
    key_in_query: str = ""
    find_key: Callable[[bytes], str] | None = None
    media_type: str = ""
    tells_address: bool = False


class Handled(msgspec.Struct, frozen=True):
    """What a handler of `http/` does; it goes by this name there."""

    by: str


class Route(msgspec.Struct, frozen=True):
    """One method at one path.

    path: a template such as `/v1/events/{id}`; `{name:path}` at its end takes the rest of a path, slashes included.
    scope: what a key needs to be let in. limit: `limit_<limit>` is the setting that holds its rate limit.
    status: of the reply when all went well.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    scope: Scope
    limit: str
    does: Ingest | Ask | Tell | Handled
    status: int = 200

    @property
    def for_browsers(self) -> bool:
        """Whether pages of any origin may send to it: CORS headers are on every reply. Such a route never reads a cookie."""
        return isinstance(self.does, Ingest | Tell)

    @property
    def has_preflight(self) -> bool:
        """Whether it answers OPTIONS for browsers; a key in the path needs no header, so no browser asks first."""
        return self.for_browsers and not (isinstance(self.does, Tell) and self.does.key_in_path)


class Dialect(msgspec.Struct, frozen=True):
    """A wire dialect: its name, which is also the `source` of its events, how it words an error, and its routes.

    prefixes: paths below which it words errors where there is no route.
    statuses: errors to which its clients need another status than the usual one.
    about_people: whether its events may say something about people: see `model.person.may_say`.
    """

    name: str
    render_error: Callable[[HeadraceError, int], bytes]
    routes: tuple[Route, ...] = ()
    prefixes: tuple[str, ...] = ()
    statuses: tuple[tuple[type[HeadraceError], int], ...] = ()
    error_type: str = "application/json"
    about_people: bool = False
