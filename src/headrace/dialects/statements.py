"""Reads what a stored event says about people and groups, as its dialect expresses it. Pure.

It reads the event, not the request, so what is known about people always follows from the stored events.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from headrace.dialects import amplitude, hogsend, mixpanel, posthog
from headrace.model.event import Event
from headrace.model.person import (
    DEFAULT_GROUP_TYPE,
    MAX_GROUP_TYPE_CHARS,
    MAX_GROUPS,
    GroupKey,
    Op,
    OpKind,
    Statement,
    may_say,
)

_Values = Mapping[str, Any]
_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def statement_of(event: Event, /) -> Statement | None:
    """What the event says about people; None if nothing."""
    if not may_say(event.type, bool(event.traits)):
        return None
    statement = _READERS.get(event.source, _of_spec)(event)
    is_empty = statement is None or not (
        statement.joins
        or statement.ops
        or statement.group
        or statement.groups
        or statement.left
        or event.type == "identify"
    )
    return None if is_empty else statement


def _of_spec(event: Event) -> Statement | None:
    """Segment's spec, which RudderStack and Solute share: https://segment.com/docs/connections/spec/"""
    if event.type == "identify":
        return _identified(event, _sets(_object(event.traits)))
    if event.type == "alias":
        return _aliased(event)
    if event.type == "group":
        group = _group(DEFAULT_GROUP_TYPE, event.group_id)
        return _about_group(event, group, _sets(_object(event.traits)))
    return None


def _of_posthog(event: Event) -> Statement | None:
    """https://posthog.com/docs/product-analytics/identify and https://posthog.com/docs/product-analytics/person-properties"""
    if event.type == "alias":
        return _aliased(event)
    values = _object(event.properties)
    if event.type == "group":
        group = _group(values.get("$group_type"), event.group_id)
        return _about_group(event, group, _sets(_member(values, "$group_set")))
    ops = [
        *_sets(_member(values, "$set_once"), "once"),
        *_sets(_member(values, "$set")),
        *(Op("unset", name) for name in _texts(values.get("$unset"))),
    ]
    is_joining = event.type == "identify" and type(values.get("$anon_distinct_id")) is str
    groups = _groups(values.get("$groups")) if event.type == "identify" else ()
    return _identified(event, ops, groups, joins=is_joining)


# The order in which Amplitude applies them: https://amplitude.com/docs/apis/analytics/identify
_AMPLITUDES: Mapping[str, OpKind] = {
    "$clearAll": "clear",
    "$unset": "unset",
    "$setOnce": "once",
    "$set": "set",
    "$add": "add",
    "$append": "append",
    "$prepend": "append",
    "$preInsert": "union",
    "$postInsert": "union",
    "$remove": "remove",
}


def _of_amplitude(event: Event) -> Statement | None:
    rest = _object(event.context)
    groups = _groups(rest.get("groups"))
    if event.type == "group":
        return _about_group(
            event, groups[0] if groups else None, _ops(_member(rest, "group_properties"), _AMPLITUDES), joins=False
        )
    joins = event.type == "identify"
    ops = _ops(_member(rest, "user_properties"), _AMPLITUDES)
    return _identified(event, ops, groups if joins else (), joins=joins)


# https://developer.mixpanel.com/reference/user-profiles
_MIXPANELS: Mapping[str, OpKind] = {
    "$delete": "clear",
    "$unset": "unset",
    "$set_once": "once",
    "$set": "set",
    "$add": "add",
    "$append": "append",
    "$union": "union",
    "$remove": "remove",
}


def _of_mixpanel(event: Event) -> Statement | None:
    if event.type == "alias":
        return _aliased(event)
    values = _object(event.properties)
    if event.type == "group":
        group = _group(values.get("$group_key"), event.group_id)
        return _about_group(event, group, list(_operations(values, _MIXPANELS)))
    is_update = "$distinct_id" in values
    return _identified(event, list(_operations(values, _MIXPANELS)) if is_update else [], joins=not is_update)


def _of_hogsend(event: Event) -> Statement | None:
    """A contact's email, user id and anonymous id are one person: https://hogsend.com/docs/data-api/contacts"""
    if event.type == "group":
        return _hogsends_group(event)
    values = _object(event.traits)
    email = values.get("email")
    email = email if type(email) is str else ""
    user_id = "" if event.user_id == email else event.user_id
    others = tuple(each for each in (event.anonymous_id, email) if each)
    ops = _sets_or_unsets(values)
    if event.name == hogsend.CONTACT_DELETED:
        ops = [Op("clear"), Op("set", hogsend.DELETED, value=True)]
    elif event.type == "identify":
        ops.append(Op("unset", hogsend.DELETED))
    joins = "identify" if user_id and others else None
    if not user_id and email and event.anonymous_id:
        return Statement(email, (event.anonymous_id,), "identify", ops=ops, groups=_groups_in_context(event))
    return Statement(user_id, others, joins, ops=ops, groups=_groups_in_context(event))


def _hogsends_group(event: Event) -> Statement | None:
    groups = _groups_in_context(event)
    if event.name == hogsend.GROUP_LEFT:
        return msgspec.structs.replace(_identified(event, (), joins=False), left=groups)
    return _about_group(event, groups[0] if groups else None, _sets_or_unsets(_object(event.traits)))


def _sets_or_unsets(values: _Values) -> list[Op]:
    return [Op("unset", name) if value is None else Op("set", name, value) for name, value in values.items()]


def _groups_in_context(event: Event) -> Sequence[GroupKey]:
    return _groups(_object(event.context).get("groups")) if '"groups":' in event.context else ()


_READERS: Mapping[str, Callable[[Event], Statement | None]] = {
    posthog.NAME: _of_posthog,
    amplitude.NAME: _of_amplitude,
    mixpanel.NAME: _of_mixpanel,
    hogsend.NAME: _of_hogsend,
}


def _identified(event: Event, ops: Sequence[Op], groups: Sequence[GroupKey] = (), *, joins: bool = True) -> Statement:
    """Sets traits of the user, or else of the anonymous visitor. If the event has both ids, it joins them."""
    is_joined = bool(joins and event.user_id and event.anonymous_id)
    others = (event.anonymous_id,) if event.anonymous_id and (is_joined or not event.user_id) else ()
    return Statement(event.user_id, others, "identify" if is_joined else None, ops=ops, groups=groups)


def _aliased(event: Event) -> Statement:
    others = () if event.user_id or not event.anonymous_id else (event.anonymous_id,)
    return Statement(event.user_id, others, "alias", event.previous_id)


def _about_group(event: Event, group: GroupKey | None, ops: Sequence[Op], *, joins: bool = False) -> Statement | None:
    if group is None:
        return None
    owner = _identified(event, (), (group,) if event.user_id or event.anonymous_id else (), joins=joins)
    return msgspec.structs.replace(owner, group=group, group_ops=ops)


def _group(kind: object, key: object) -> GroupKey | None:
    """None if the value names no group."""
    if type(kind) is str and kind and len(kind) <= MAX_GROUP_TYPE_CHARS and type(key) is str and key:
        return GroupKey(kind, key)
    return None


_MAX_KEY_CHARS = 255


def _groups(value: object) -> Sequence[GroupKey]:
    """The groups in `{"company": "acme"}` or `{"company": ["acme", "apex"]}`."""
    found: list[GroupKey] = []
    for kind, keys in cast("dict[str, Any]", value).items() if type(value) is dict else ():
        for key in cast("list[Any]", keys) if type(keys) is list else [keys]:
            text = str(key) if type(key) is int else key
            if (group := _group(kind, text)) is not None and len(group.key) <= _MAX_KEY_CHARS:
                found.append(group)
    return tuple(dict.fromkeys(found))[:MAX_GROUPS]


def _sets(values: _Values, kind: OpKind = "set") -> list[Op]:
    return [Op(kind, name, value) for name, value in values.items()]


def _ops(values: _Values, operations: Mapping[str, OpKind]) -> list[Op]:
    """Operations by name or, if no member is an operation, values to set."""
    if any(name in operations for name in values):
        return list(_operations(values, operations))
    return _sets({name: value for name, value in values.items() if not name.startswith("$")})


def _operations(values: _Values, operations: Mapping[str, OpKind]) -> Iterator[Op]:
    for name, kind in operations.items():
        if name not in values:
            continue
        if kind == "clear":
            yield Op("clear")
        elif kind == "unset":
            given = values[name]
            # Amplitude sends the names of an object, Mixpanel a list.
            names = cast("dict[str, Any]", given) if type(given) is dict else _texts(given)
            yield from (Op("unset", each) for each in names)
        else:
            yield from _sets(_member(values, name), kind)


def _texts(value: object) -> list[str]:
    elements = cast("list[Any]", value) if type(value) is list else [value]
    return [each for each in elements if type(each) is str]


def _member(values: _Values, name: str) -> _Values:
    value = values.get(name)
    return cast("dict[str, Any]", value) if type(value) is dict else {}


def _object(text: str) -> _Values:
    return _decoder.decode(text) if text else {}
