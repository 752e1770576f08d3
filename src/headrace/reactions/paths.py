"""What a condition may read of an event, and the paths that name it. Pure."""

from functools import lru_cache

from headrace.reactions.cost import Path
from headrace.reactions.syntax import Malformed, Node, content_of

TEXTS = (
    *("name", "type", "source", "user_id", "anonymous_id", "session_id", "group_id"),
    *("environment", "service", "host", "request_id", "message_id"),
)
OBJECTS = ("properties", "context", "traits")
FIELDS = frozenset((*TEXTS, *OBJECTS, "tags", "value", "timestamp"))
FIELD_KINDS = (
    dict.fromkeys(TEXTS, "string")
    | dict.fromkeys((*OBJECTS, "tags"), "map")
    | {"value": "double", "timestamp": "timestamp"}
)


@lru_cache(4096)
def variable(path: Path, /) -> str:
    """The name under which a value is handed over: a field of `event`, because has() works for missing fields."""
    root, key = path
    if key is None:
        return root
    return f"{root}_s_{key}" if key.isascii() and key.isidentifier() else f"{root}_x_{key.encode().hex()}"


def path_of(node: Node, /) -> Path | None:
    """The path of a plain read: `event.name`, `event.properties.amount`, `event.tags["a b"]`. Raises Malformed."""
    if node.op not in (".", "[]"):
        if node.op == "name" and node.text == "event":
            raise Malformed(f"'event' must be followed by a field; its fields are: {', '.join(sorted(FIELDS))}")
        return None
    target = node.parts[0]
    if node.op == "." and target.op == "name" and target.text == "event":
        if node.text not in FIELDS:
            raise Malformed(f"'event' has no field {node.text!r}; its fields are: {', '.join(sorted(FIELDS))}")
        return node.text, None
    if target.op != "." or (root := path_of(target)) is None or root[1] is not None:
        return None
    if root[0] not in (*OBJECTS, "tags"):
        return None
    if node.op == ".":
        return root[0], node.text
    return (root[0], content_of(node.parts[1])) if node.parts[1].op == "string" else None
