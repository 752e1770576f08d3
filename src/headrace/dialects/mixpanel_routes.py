"""Mixpanel's routes: events, imports, and updates of people and groups; each as a POST, and as a GET with `data` in the query."""

from collections.abc import Callable

from headrace.dialects import mixpanel, mixpanel_profiles
from headrace.dialects.route import Dialect, Ingest, Limit, Route
from headrace.model.batch import Batch, Context

Parser = Callable[[bytes, Context], Batch]


def _status_of(batch: Batch) -> int:
    return 400 if mixpanel.failed(batch) else 200


def _takes(parse: Parser, find_key: Callable[[bytes], str]) -> Ingest:
    return Ingest(
        parse,
        mixpanel.render_accepted,
        status_of=_status_of,
        find_key=find_key,
        whole=True,
        media_type_of=mixpanel.media_type_of,
    )


def _routes(path: str, parse: Parser, parse_query: Parser) -> tuple[Route, Route]:
    return (
        Route("POST", path, "ingest", "mixpanel", _takes(parse, mixpanel.find_key)),
        Route("GET", path, "ingest", "mixpanel", _takes(parse_query, mixpanel.find_key_in_query)),
    )


DIALECT = Dialect(
    mixpanel.NAME,
    mixpanel.render_error,
    (
        *_routes("/track", mixpanel.parse_track, mixpanel.parse_track_query),
        *_routes("/import", mixpanel.parse_import, mixpanel.parse_track_query),
        *_routes("/engage", mixpanel_profiles.parse_engage, mixpanel_profiles.parse_engage_query),
        *_routes("/groups", mixpanel_profiles.parse_groups, mixpanel_profiles.parse_groups_query),
    ),
    limits=(Limit("mixpanel", "Mixpanel"),),
    about_people=True,
)
