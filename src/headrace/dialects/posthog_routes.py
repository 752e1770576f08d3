"""PostHog's routes: capture, flags and configuration."""

from headrace.dialects import posthog, posthog_config, posthog_keys
from headrace.dialects.route import Dialect, Ingest, Limit, Route, Tell
from headrace.model import errors

_CAPTURE = Ingest(posthog.parse, posthog.render_accepted, find_key=posthog_keys.find_key, whole=True)
_CAPTURE_QUERY = Ingest(
    posthog.parse_query, posthog.render_accepted, find_key=posthog_keys.find_key_in_query, whole=True
)
_FLAGS = Tell(posthog_config.render_flags, find_key=posthog_keys.find_key)
_CONFIG = Tell(posthog_config.render_config, key_in_path="token")
_SCRIPT = Tell(posthog_config.render_config_script, key_in_path="token", media_type="text/javascript")

DIALECT = Dialect(
    posthog.NAME,
    posthog.render_error,
    (
        *(
            Route("POST", path, "ingest", "posthog", _CAPTURE)
            for path in ("/batch", "/e", "/i/v0/e", "/i/v0/ai/batch", "/capture")
        ),
        *(Route("GET", path, "ingest", "posthog", _CAPTURE_QUERY) for path in ("/e", "/i/v0/e", "/capture")),
        *(Route("POST", path, "ingest", "posthog", _FLAGS) for path in ("/flags", "/decide")),
        Route("GET", "/array/{token}/config", "ingest", "posthog", _CONFIG),
        Route("GET", "/array/{token}/config.js", "ingest", "posthog", _SCRIPT),
    ),
    limits=(Limit("posthog", "PostHog"),),
    prefixes=("/i", "/array"),
    # posthog-js drops events that are answered with 4xx, including 429, and retries after 5xx (docs/decisions/0061).
    statuses=((errors.RateLimited, 503),),
    about_people=True,
)
