"""The tools: what each takes, what it asks the server, and how its answer is kept small. They read, unless asked. Pure.

What a question may hold is in the OpenAPI document, and is shown to models as it stands there.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import quote, urlencode

import msgspec

from headrace.http.docs import document
from headrace.model.nearest import nearest_name

MAX_ANSWER_CHARS = 60_000
_DEFAULT_GROUPS = 50
Arguments: TypeAlias = Mapping[str, Any]
Schema: TypeAlias = dict[str, Any]


class Request(msgspec.Struct, frozen=True):
    """What to ask the server."""

    method: Literal["GET", "POST"]
    path: str
    body: object = None


class Refused(Exception):
    """The arguments are not those of the tool. Says what to send instead."""


class Tool(msgspec.Struct, frozen=True):
    """request: raises Refused. pick: takes the answer out of the server's; raises Refused where there is none.

    writes: whether the server stores something.
    """

    name: str
    description: str
    schema: Schema
    request: Callable[[Arguments], Request]
    pick: Callable[[Arguments, Any], Any] = lambda _arguments, answer: answer
    writes: bool = False


def rendered(answer: object, /) -> str:
    """JSON of at most MAX_ANSWER_CHARS. Raises Refused for more: a part of it would look like all of it."""
    text = msgspec.json.encode(answer).decode()
    if len(text) > MAX_ANSWER_CHARS:
        raise Refused(
            f"The answer has {len(text):,} characters; the limit is {MAX_ANSWER_CHARS:,}. Ask for less: a smaller "
            "'limit', a longer 'interval', a shorter range, or fewer fields in 'breakdown'."
        )
    return text


def _resolved(schema: Any) -> Any:
    """A schema of the OpenAPI document without references, which few models follow."""
    if isinstance(schema, list):
        return [_resolved(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    given = cast("Schema", schema)
    if "$ref" in given:
        return _resolved(document()["components"]["schemas"][given["$ref"].rpartition("/")[2]])
    return {name: _resolved(each) for name, each in given.items()}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def _only(arguments: Arguments, schema: Schema) -> None:
    known = schema["properties"]
    for name in arguments:
        if name not in known:
            near = nearest_name(name, known)
            raise Refused(f"There is no argument {name[:80]!r}{f': did you mean {near!r}?' if near else '.'}")
    for name in schema["required"]:
        if arguments.get(name) in (None, ""):
            raise Refused(f"'{name}' is required.")


def _question(name: str, path: str, schema_name: str, description: str) -> Tool:
    """A POST of what the model sends, which the server checks."""
    found: Schema = _resolved(document()["components"]["schemas"][schema_name])
    schema: Schema = {"required": list[str]()} | found

    def request(arguments: Arguments) -> Request:
        body = dict(arguments)
        if "limit" in schema["properties"]:
            body.setdefault("limit", _DEFAULT_GROUPS)
        return Request("POST", path, body)

    return Tool(name, description, schema, request)


_TEXT: Schema = {"type": "string"}
_CATALOGUE = _object(
    name={"type": "string", "description": "An exact event name, or a prefix followed by *."},
    search={"type": "string", "description": "Part of the name, in any case."},
    limit={"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    cursor={"type": "string", "description": "next_cursor of the previous page."},
)
_EVENT = _object(("id",), id={"type": "string", "description": "evt_ and 32 hex digits, or a UUID."})
_RULE = _object(
    ("id",),
    id={"type": "string", "description": "The rule's id."},
    kind={"type": "string", "description": "fact, challenge or badge; needed if several rules have the id."},
)


def _catalogue(arguments: Arguments) -> Request:
    _only(arguments, _CATALOGUE)
    given = {"limit": 20} | {name: value for name, value in arguments.items() if value not in (None, "")}
    return Request("GET", f"/api/v1/catalog?{urlencode(given)}")


def _of_event(end: str) -> Callable[[Arguments], Request]:
    def request(arguments: Arguments) -> Request:
        _only(arguments, _EVENT)
        return Request("GET", f"/api/v1/events/{quote(str(arguments['id']), safe='')}{end}")

    return request


def _rules(arguments: Arguments) -> Request:
    _only(arguments, _RULE)
    return Request("GET", "/api/v1/rules")


def _explained(arguments: Arguments, answer: Any) -> Any:
    """One rule: how it is written, and how it fares."""
    data, rule_id, kind = answer["data"], arguments["id"], arguments.get("kind")
    fares = [each for each in data["rules"] if each["id"] == rule_id and kind in (None, "", each["kind"])]
    if not fares:
        near = nearest_name(str(rule_id), [each["id"] for each in data["rules"]])
        raise Refused(f"There is no rule {rule_id!r}{f': did you mean {near!r}?' if near else '.'}")
    if len(fares) > 1:
        raise Refused(f"Several rules have the id {rule_id!r}: send 'kind', one of {[each['kind'] for each in fares]}.")
    written = [each for each in data["document"].get(f"{fares[0]['kind']}s") or () if each.get("id") == rule_id]
    reactions = answer.get("meta", {}).get("reactions")
    return {"rule": written[0] if written else None, "state": fares[0], "reactions": reactions}


def _send_event() -> Tool:
    schema: Schema = _resolved(document()["components"]["schemas"]["FluxEvent"])
    return Tool(
        "send_event",
        "Store one event. It is kept for good, rules react to it, and sending it again stores another.",
        schema,
        lambda arguments: Request("POST", "/api/v1/events", dict(arguments)),
        writes=True,
    )


def tools(*, writing: bool = False) -> tuple[Tool, ...]:
    """All of them; those that write only if `writing`."""
    return (*_reading(), _send_event()) if writing else _reading()


def _reading() -> tuple[Tool, ...]:
    return (
        Tool(
            "catalogue",
            "Every event name with its count, first and last occurrence, and the keys and types of its properties. Look here "
            "first: other tools need these names.",
            _CATALOGUE,
            _catalogue,
        ),
        _question(
            "query",
            "/api/v1/query",
            "EventQuery",
            "Measure events: count, people, sums, averages or percentiles, by filters, in groups and over time. Absent "
            "members mean all events of all time.",
        ),
        _question(
            "funnel",
            "/api/v1/query/funnel",
            "FunnelQuery",
            "How many people go how far through some steps, and how long that takes.",
        ),
        _question(
            "retention",
            "/api/v1/query/retention",
            "RetentionQuery",
            "How many people come back, by the day, week or month of their first event.",
        ),
        _question(
            "paths",
            "/api/v1/query/paths",
            "PathsQuery",
            "What people do after an event, or did before it.",
        ),
        Tool("event", "One event, whole.", _EVENT, _of_event("")),
        Tool(
            "trace",
            "What became of one event: when it was received, deduplicated and stored, and what it caused.",
            _EVENT,
            _of_event("/trace"),
        ),
        Tool(
            "explain_rule",
            "A rule in force: how it is written, how often it failed or was passed over, and how far reactions are behind. "
            "Needs a key with the scope admin.",
            _RULE,
            _rules,
            _explained,
        ),
    )
