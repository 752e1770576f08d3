"""Segment's, RudderStack's and Jitsu's routes: batches, calls, beacons, pixels, and the SDKs' requests for settings."""

from headrace.dialects import jitsu, segment, segment_config
from headrace.dialects.route import Dialect, Ingest, Limit, Route, Tell
from headrace.dialects.segment_pixels import pixel


def _takes() -> tuple[Route, ...]:
    """The routes of calls: each has a long form such as `/v1/track` and a short one such as `/v1/t`."""
    parsers = dict.fromkeys(("batch", "b", "import"), segment.parse_batch)
    parsers |= {name: segment.call_parser(call) for call in segment.KINDS for name in (call, call[0])}
    return tuple(
        Route(
            "POST",
            f"/v1/{name}",
            "ingest",
            "segment",
            Ingest(parse, segment.render_accepted, find_key=segment.find_key),
        )
        for name, parse in parsers.items()
    )


_BEACON = Ingest(segment.parse_batch, segment.render_accepted, find_key=segment.find_key, key_in_query="writeKey")
_SETTINGS = Tell(segment_config.render_settings, key_in_path="write_key", tells_address=True)
_SCRIPT = Tell(
    segment_config.render_settings_script,
    key_in_path="write_key",
    media_type="text/javascript",
    tells_address=True,
)

DIALECT = Dialect(
    segment.NAME,
    segment.render_error,
    (
        *_takes(),
        Route("POST", "/beacon/v1/batch", "ingest", "segment", _BEACON),
        *(Route("GET", f"/v1/pixel/{call}", "ingest", "segment", pixel(call)) for call in segment.KINDS),
        *(Route("GET", f"/pixel/v1/{call}", "ingest", "segment", pixel(call)) for call in ("track", "page")),
        *jitsu.ROUTES,
        Route("GET", "/v1/projects/{write_key}/settings", "ingest", "segment", _SETTINGS),
        Route("GET", "/analytics.js/v1/{write_key}/analytics.min.js", "ingest", "segment", _SCRIPT),
        Route(
            "GET",
            "/sourceConfig",
            "ingest",
            "segment",
            Tell(segment_config.render_source_config, key_in_query="writeKey"),
        ),
    ),
    limits=(Limit("segment", "Segment"),),
    prefixes=("/v1/projects", "/v1/pixel", "/pixel", "/beacon", "/analytics.js", *jitsu.PREFIXES),
    about_people=True,
)
