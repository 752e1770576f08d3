"""Hogsend's routes: the data plane, which accepts single events, and the admin plane."""

from headrace.dialects import hogsend, hogsend_data
from headrace.dialects.route import Answer, Ask, Asked, Dialect, Handled, Ingest, Limit, Route, find_event


def _list(asked: Asked) -> Answer:
    query, tenant = hogsend.parse_list(asked.query), asked.tenant
    return lambda reader: hogsend.render_list(query, reader.events(tenant, query.filters, query.page))


def _event(asked: Asked) -> Answer:
    find = find_event(asked.tenant, asked.path["event_id"], hogsend.EVENT_NOT_FOUND)
    return lambda reader: hogsend.render_get(find(reader))


def _sources(asked: Asked) -> Answer:
    tenant = asked.tenant
    return lambda reader: hogsend.render_sources(reader.observed(tenant, "source", hogsend.MAX_NAMES))


def _reading(path: str, does: Ask | Handled) -> Route:
    return Route("GET", f"/v1/admin/{path}", "admin", "hogsend", does)


def _doing(path: str, handler: str) -> Route:
    does = Handled(handler, in_control=handler != "replay")
    return Route("POST", f"/v1/admin/{path}", "admin", "hogsend", does)


_GROUP = "{group_type:id}/{group_key:id}"
DIALECT = Dialect(
    hogsend.NAME,
    hogsend.render_error,
    (
        Route(
            "POST",
            "/v1/events",
            "ingest",
            "hogsend",
            Ingest(hogsend_data.parse_event, hogsend_data.render_stored, shows_event=True),
            202,
        ),
        Route("PUT", "/v1/contacts", "ingest", "hogsend", Handled("upsert_contact")),
        Route("DELETE", "/v1/contacts", "admin", "hogsend", Handled("delete_contact")),
        Route("GET", "/v1/contacts/find", "query", "hogsend", Handled("find_contacts")),
        Route("POST", "/v1/groups", "ingest", "hogsend", Handled("identify_group")),
        Route("GET", "/v1/groups", "query", "hogsend", Handled("list_groups")),
        Route("GET", f"/v1/groups/{_GROUP}", "query", "hogsend", Handled("hogsend_group")),
        Route("GET", f"/v1/groups/{_GROUP}/members", "query", "hogsend", Handled("group_members")),
        Route("POST", f"/v1/groups/{_GROUP}/members", "ingest", "hogsend", Handled("add_group_member")),
        Route(
            "DELETE",
            f"/v1/groups/{_GROUP}/members/{{contact_id:id}}",
            "admin",
            "hogsend",
            Handled("remove_group_member"),
        ),
        Route("POST", "/v1/admin/events", "admin", "hogsend", Handled("fire_event"), 202),
        _reading("events", Ask(_list)),
        _reading("events/names", Handled("event_names")),
        _reading("events/sources", Ask(_sources)),
        _reading("events/{event_id}", Ask(_event)),
        _doing("events/replay", "replay"),
        _reading("replays", Handled("replays")),
        _reading("replays/{replay_id}", Handled("replay_job")),
        *(_doing(f"replays/{{replay_id}}/{action}", f"{action}_replay") for action in ("pause", "resume", "cancel")),
    ),
    limits=(Limit("hogsend", "Hogsend"),),
    prefixes=("/v1",),
    about_people=True,
)
