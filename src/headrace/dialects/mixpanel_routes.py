"""Mixpanel's routes: events, imports, and updates of people and groups."""

from collections.abc import Callable

from headrace.dialects import mixpanel, mixpanel_profiles
from headrace.dialects.route import Dialect, Ingest, Route
from headrace.model.batch import Batch, Context


def _status_of(batch: Batch) -> int:
    return 400 if mixpanel.failed(batch) else 200


def _route(path: str, parse: Callable[[bytes, Context], Batch]) -> Route:
    takes = Ingest(parse, mixpanel.render_accepted, status_of=_status_of, find_key=mixpanel.find_key, whole=True)
    return Route("POST", path, "ingest", "mixpanel", takes)


DIALECT = Dialect(
    mixpanel.NAME,
    mixpanel.render_error,
    (
        _route("/track", mixpanel.parse_track),
        _route("/import", mixpanel.parse_import),
        _route("/engage", mixpanel_profiles.parse_engage),
        _route("/groups", mixpanel_profiles.parse_groups),
    ),
)
