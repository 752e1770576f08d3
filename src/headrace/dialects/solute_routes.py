"""Solute's routes: batches, the three calls outside them, and flags."""

from headrace.dialects import solute
from headrace.dialects.route import Dialect, Ingest, Limit, Route, Tell
from headrace.dialects.solute_calls import Call, call_parser, render_call


def _call(call: Call) -> Route:
    return Route(
        "POST", f"/api/{call}", "ingest", "solute", Ingest(call_parser(call), render_call(call), shows_event=True)
    )


DIALECT = Dialect(
    solute.NAME,
    solute.render_error,
    (
        Route("POST", "/api/events", "ingest", "solute", Ingest(solute.parse_batch, solute.render_batch)),
        _call("identify"),
        _call("group"),
        _call("alias"),
        Route("GET", "/api/feature-flags", "ingest", "solute", Tell(solute.render_flags)),
    ),
    limits=(Limit("solute", "Solute"),),
    prefixes=("/api",),
    about_people=True,
)
