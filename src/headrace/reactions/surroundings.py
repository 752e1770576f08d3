"""What conditions of journeys may read besides an event: the person, and the outcomes of earlier steps. Pure; only reads paths.

- `person.id`; `person.traits.plan` and `person.traits`; `person.groups.company`
- `steps.<id>.happened`, true or false; `steps.<id>.reply`, the JSON reply to a call, and its members;
`steps.<id>.event.name` and the other fields of the event that a step waited for. An id with characters other than letters,
digits and `_` is written `steps["ask-name"]`.

Their paths have the keys `traits/plan`, `ask-name/event/properties/amount`, and so on; no step's id holds a slash.
"""

from headrace.reactions.cost import Path
from headrace.reactions.syntax import Malformed, Node, bare, content_of

ROOTS = ("person", "steps")
GIVEN = ("happened", "reply", "event")  # by a step
_EVENT_TEXTS = frozenset(
    ["name", "type", "source", "user_id", "anonymous_id", "session_id", "group_id", "environment", "service", "host"]
)
_EVENT_OBJECTS = frozenset(["properties", "context", "traits"])
EVENT_FIELDS = frozenset([*_EVENT_TEXTS, *_EVENT_OBJECTS, "tags", "value", "timestamp"])
_PERSON = {"id": "string", "traits": "map", "groups": "map"}


def path_from(node: Node, /) -> Path | None:
    """The path of a plain read of the person or a step; None for any other node. Raises Malformed."""
    members: list[str] = []
    target = node
    while target.op in (".", "[]"):
        if target.op == ".":
            members.append(target.text)
        elif (index := bare(target.parts[1])).op == "string":
            members.append(content_of(index))
        else:
            return None
        target = target.parts[0]
    if target.op != "name" or target.text not in ROOTS:
        return None
    members.reverse()
    return _person(members) if target.text == "person" else _step(members)


def _person(members: list[str]) -> Path | None:
    if not members:
        raise Malformed("'person' must be followed by id, traits or groups")
    if members[0] not in _PERSON:
        raise Malformed(f"'person' has no {members[0][:80]!r}; it has: {', '.join(_PERSON)}")
    if members[0] == "id" or len(members) == 1:
        return ("person", members[0]) if len(members) == 1 else None
    return ("person", f"{members[0]}/{members[1]}") if len(members) == 2 else None


def _step(members: list[str]) -> Path | None:
    if len(members) < 2:
        raise Malformed("'steps' must be followed by a step's id and one of: " + ", ".join(GIVEN))
    step, given, *rest = members
    if "/" in step or given not in GIVEN:
        raise Malformed(f"steps[{step[:80]!r}] has no {given[:80]!r}; it has: {', '.join(GIVEN)}")
    if given != "event":
        return None if rest else ("steps", f"{step}/{given}")
    if not rest:
        return "steps", f"{step}/event"
    if rest[0] not in EVENT_FIELDS:
        fields = ", ".join(sorted(EVENT_FIELDS))
        raise Malformed(f"the event of a step has no field {rest[0][:80]!r}; its fields are: {fields}")
    if len(rest) == 1:
        return "steps", f"{step}/event/{rest[0]}"
    inside = rest[0] in _EVENT_OBJECTS or rest[0] == "tags"
    return ("steps", f"{step}/event/{rest[0]}/{rest[1]}") if inside and len(rest) == 2 else None


def kind_of(path: Path, /) -> str:
    """The kind of a value (see kinds.py); of an event's own key, `json`. Raises Malformed for a whole event."""
    root, key = path[0], path[1] or ""
    if root == "person":
        return _PERSON.get(key) or ("string" if key.startswith("groups/") else "json")
    if root != "steps":
        return "json"
    _, given, *rest = key.split("/", 3)
    if given == "happened":
        return "bool"
    if given == "reply":
        return "json"
    if not rest:
        raise Malformed(f"{said(path)} must be followed by a field, unless it is asked for by has()")
    field = rest[0]
    if len(rest) == 2:
        return "string" if field == "tags" else "json"
    if field in _EVENT_OBJECTS or field == "tags":
        return "map"
    return {"value": "double", "timestamp": "timestamp"}.get(field, "string")


def said(path: Path, /) -> str:
    """The path as a condition writes it."""
    root, key = path[0], path[1] or ""
    parts = key.split("/", 3 if root == "steps" else 1)
    return root + "".join(f".{part}" if part.isidentifier() else f"[{part!r}]" for part in parts)
