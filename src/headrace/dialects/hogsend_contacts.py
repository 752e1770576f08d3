"""Contacts and groups in the Hogsend dialect, and the events that its Studio sends. Translates; never stores.

Every change becomes an event, which is stored and applied like any other.
Source: https://hogsend.com/docs/data-api/contacts
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.dialects.hogsend import CONTACT_DELETED, GROUP_LEFT, NAME
from headrace.dialects.names import decode_known
from headrace.dialects.sdk import NAMES, with_members
from headrace.dialects.wire import (
    ABSENT,
    Pairs,
    encode_json,
    integer_of,
    labels_and_numbers,
    name_of,
    object_of,
    optional_text,
    required_text,
    text_of_body,
)
from headrace.model.batch import Context, Item
from headrace.model.errors import InvalidRequest
from headrace.model.event import Event, EventType
from headrace.model.filters import Observed
from headrace.model.person import MAX_GROUP_TYPE_CHARS, Contact, GroupKey, Member, SeenGroup
from headrace.model.times import render_time

DISPLAY_NAME = "displayName"
DEFAULT_LIMIT, MAX_LIMIT = 50, 200
_CONTACT_ID = re.compile(r"c047ac70-0000-8000-8000-([0-9a-f]{12})", re.ASCII)
_GROUP_ID = "960c9000-0000-8000-8000-{:012x}"


class Whom(msgspec.Struct, frozen=True):
    """Identifies a contact; at least one of the two is given."""

    email: str
    user_id: str

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(each for each in (self.user_id, self.email) if each)


class _Upsert(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    email: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    properties: msgspec.Raw = ABSENT
    lists: msgspec.Raw = ABSENT


class _Whom(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    email: Any = None
    user_id: Any = None


class _Fired(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    event: Any = None
    user_id: Any = None
    user_email: Any = None
    properties: msgspec.Raw = ABSENT


class _Group(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    group_type: Any = None
    group_key: Any = None
    display_name: Any = None
    properties: msgspec.Raw = ABSENT


class _Member(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    contact_id: Any = None


_upsert_decoder = msgspec.json.Decoder(_Upsert)
_whom_decoder = msgspec.json.Decoder(_Whom)
_fired_decoder = msgspec.json.Decoder(_Fired)
_group_decoder = msgspec.json.Decoder(_Group)
_member_decoder = msgspec.json.Decoder(_Member)


def parse_upsert(body: bytes, context: Context, /) -> tuple[Whom, Item]:
    """The contact that is meant, and the event with its changes. Raises InvalidRequest."""
    given = decode_known(_upsert_decoder, text_of_body(body), "The body", _Upsert)
    whom = _whom(given.email, given.user_id, context)
    if object_of(given.lists, "lists")[1]:
        raise InvalidRequest("'lists' cannot be set: this server does not manage memberships of lists. Omit it.")
    anonymous_id = optional_text(given.anonymous_id, "anonymousId", context.settings.max_id_chars)
    traits = _traits(given.properties, whom)
    event = _event(context, NAMES["identify"], "identify", user_id=whom.user_id or whom.email, traits=traits)
    return whom, Item(0, msgspec.structs.replace(event, anonymous_id=anonymous_id))


def parse_whom(body: bytes, context: Context, /) -> Whom:
    """Raises InvalidRequest."""
    given = decode_known(_whom_decoder, text_of_body(body), "The body", _Whom)
    return _whom(given.email, given.user_id, context)


def parse_find(pairs: Pairs, context: Context, /) -> Whom:
    """Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    return _whom(given.get("email"), given.get("userId"), context)


def deletions(contact: Contact, context: Context, /) -> list[Item]:
    """The events that delete a contact: one for each id, because traits belong to ids."""
    event = _event(context, CONTACT_DELETED, "identify")
    owners = [{"user_id" if each in contact.known else "anonymous_id": each} for each in contact.person.ids]
    return [Item(number, msgspec.structs.replace(event, **owner)) for number, owner in enumerate(owners)]


def parse_fired(body: bytes, context: Context, /) -> Item:
    """The event that the Studio sends. Raises InvalidRequest, MissingName."""
    given = decode_known(_fired_decoder, text_of_body(body), "The body", _Fired)
    name = name_of(given.event, "event", context.settings.max_name_chars)
    whom = _whom(given.user_email, given.user_id, context, "userEmail")
    properties, values = object_of(given.properties, "properties")
    labels, numbers = labels_and_numbers(values, {})
    traits = encode_json({"email": whom.email}).decode() if whom.email else ""
    event = _event(context, name, "track", user_id=whom.user_id or whom.email, traits=traits)
    own = {"properties": properties, "labels": labels, "numbers": numbers, "message_id": context.idempotency_key}
    return Item(0, msgspec.structs.replace(event, **own))


def parse_group(body: bytes, context: Context, /) -> tuple[GroupKey, Item]:
    """The group that is meant, and the event with its changes. Raises InvalidRequest."""
    given = decode_known(_group_decoder, text_of_body(body), "The body", _Group)
    limit = context.settings.max_id_chars
    group = group_of(
        required_text(given.group_type, "groupType", limit), required_text(given.group_key, "groupKey", limit)
    )
    traits, _ = object_of(given.properties, "properties")
    name = optional_text(given.display_name, DISPLAY_NAME, limit)
    traits = with_members(traits, {DISPLAY_NAME: name} if name else {})
    return group, Item(0, _of_group(context, NAMES["group"], group, traits=traits))


def group_of(kind: str, key: str, /) -> GroupKey:
    """Raises InvalidRequest."""
    if len(kind) > MAX_GROUP_TYPE_CHARS:
        raise InvalidRequest(f"'groupType' has {len(kind)} characters; the limit is {MAX_GROUP_TYPE_CHARS}.")
    return GroupKey(kind, key)


def parse_member(body: bytes, /) -> int:
    """A contact's number. Raises InvalidRequest."""
    given = decode_known(_member_decoder, text_of_body(body), "The body", _Member)
    return contact_no(required_text(given.contact_id, "contactId", 100))


def contact_no(contact_id: str, /) -> int:
    """The number in a contact's id. Raises InvalidRequest if it is not a contact's id."""
    found = _CONTACT_ID.fullmatch(contact_id.lower())
    if found is None:
        raise InvalidRequest("'contactId' is not the id of a contact: send the 'id' that PUT /v1/contacts returned.")
    return int(found[1], 16)


def membership(context: Context, group: GroupKey, contact: Contact, /, *, left: bool = False) -> Item:
    """The event of a contact joining or leaving a group."""
    event = _of_group(context, GROUP_LEFT if left else NAMES["group"], group)
    owner = {"user_id": contact.user_id} if contact.user_id else {"anonymous_id": contact.person.id}
    return Item(0, msgspec.structs.replace(event, **owner))


def parse_page(pairs: Pairs, /) -> tuple[str, int, int]:
    """(group type or "", limit, offset). Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    limit = integer_of(given["limit"], "limit") if "limit" in given else DEFAULT_LIMIT
    offset = integer_of(given["offset"], "offset") if "offset" in given else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be 1 to {MAX_LIMIT}; it is {limit}.")
    if not 0 <= offset <= 10_000:
        raise InvalidRequest(f"'offset' must be 0 to 10000; it is {offset}.")
    return given.get("groupType", ""), limit, offset


def render_upsert(contact: Contact, *, created: bool, linked: bool) -> bytes:
    return encode_json({"id": _contact_id(contact.no), "created": created, "linked": linked})


def render_contacts(contacts: Sequence[Contact], seen: Mapping[str, Observed], /) -> bytes:
    """seen: summaries of events by id."""
    return encode_json({"contacts": [_contact_value(each, seen) for each in contacts]})


def _contact_value(contact: Contact, seen: Mapping[str, Observed]) -> dict[str, object]:
    times = [seen[each] for each in contact.person.ids if each in seen]
    first = render_time(min((each.first_ms for each in times), default=0))
    last = render_time(max((each.last_ms for each in times), default=0))
    traits = contact.person.traits
    return {
        "id": _contact_id(contact.no),
        "externalId": contact.user_id or None,
        "email": traits.get("email") if type(traits.get("email")) is str else None,
        "properties": {name: value for name, value in traits.items() if name != "email"},
        "firstSeenAt": first,
        "lastSeenAt": last,
        "createdAt": first,
        "updatedAt": last,
    }


def render_deleted() -> bytes:
    return encode_json({"deleted": True})


def render_fired(*, stored: bool) -> bytes:
    return encode_json({"stored": stored, "exits": []})


def render_group(group: SeenGroup, /) -> bytes:
    return encode_json({"group": _group_value(group)})


def render_groups(groups: Sequence[SeenGroup], /) -> bytes:
    return encode_json({"groups": [_group_value(each) for each in groups]})


def _group_value(group: SeenGroup) -> dict[str, object]:
    first, last = render_time(group.first_ms), render_time(group.last_ms)
    name = group.traits.get(DISPLAY_NAME)
    return {
        "id": _GROUP_ID.format(group.no),
        "groupType": group.key.type,
        "groupKey": group.key.key,
        "displayName": name if type(name) is str else None,
        "properties": {trait: value for trait, value in group.traits.items() if trait != DISPLAY_NAME},
        "firstSeenAt": first,
        "lastSeenAt": last,
        "createdAt": first,
        "updatedAt": last,
    }


def render_membership(group: SeenGroup, contact: Contact, joined_ms: int, *, created: bool) -> bytes:
    shown = {
        "id": f"96047ac7-0000-8000-{group.no & 0xFFFF:04x}-{contact.no:012x}",
        "groupId": _GROUP_ID.format(group.no),
        "contactId": _contact_id(contact.no),
        "role": None,
        "joinedAt": render_time(joined_ms),
    }
    return encode_json({"membership": shown, "created": created})


def render_removed(*, removed: bool) -> bytes:
    return encode_json({"removed": removed})


def render_members(members: Sequence[Member], /) -> bytes:
    return encode_json({"members": [_member_value(each) for each in members]})


def _member_value(member: Member) -> dict[str, object]:
    email = member.contact.person.traits.get("email")
    return {
        "contactId": _contact_id(member.contact.no),
        "email": email if type(email) is str else None,
        "externalId": member.contact.user_id or None,
        "role": None,
        "joinedAt": render_time(member.joined_ms),
    }


def _contact_id(number: int) -> str:
    return f"c047ac70-0000-8000-8000-{number:012x}"


def _whom(email: object, user_id: object, context: Context, field: str = "email") -> Whom:
    limit = context.settings.max_id_chars
    whom = Whom(optional_text(email, field, limit).strip().lower(), optional_text(user_id, "userId", limit))
    if not whom.ids:
        raise InvalidRequest(f"'{field}' or 'userId' is required: send one of them.")
    return whom


def _traits(properties: msgspec.Raw, whom: Whom) -> str:
    traits, values = object_of(properties, "properties")
    return with_members(traits, {"email": whom.email} if whom.email and "email" not in values else {})


def _event(context: Context, name: str, kind: EventType, *, user_id: str = "", traits: str = "") -> Event:
    tenant = context.tenant
    return Event(tenant.project, tenant.mode, NAME, name, context.now_ms, kind, user_id=user_id, traits=traits)


def _of_group(context: Context, name: str, group: GroupKey, *, traits: str = "") -> Event:
    named = encode_json({"groups": {group.type: group.key}}).decode()
    event = _event(context, name, "group", traits=traits)
    return msgspec.structs.replace(event, group_id=group.key, context=named)
