"""Answers the PostHog SDKs' requests for flags and configuration, both empty but valid. Only renders.

Source: https://posthog.com/docs/api/flags
"""

from headrace.dialects.route import Told
from headrace.dialects.wire import encode_json

_CONFIG: dict[str, object] = {
    "supportedCompression": ["gzip", "gzip-js", "base64"],
    "hasFeatureFlags": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "autocapture_opt_out": False,
    "autocaptureExceptions": False,
    "analytics": {"endpoint": "/i/v0/e/"},
    "elementsChainAsString": True,
    "errorTracking": {"autocaptureExceptions": False, "suppressionRules": list[object]()},
    "sessionRecording": False,
    "heatmaps": False,
    "surveys": False,
    "conversations": False,
    "defaultIdentifiedOnly": True,
    "isAuthenticated": False,
    "siteApps": list[object](),
    "toolbarParams": dict[str, object](),
}


def render_flags(_told: Told, /) -> bytes:
    """No flags, and all features off that need other PostHog servers. For /flags and its older form /decide."""
    none: dict[str, object] = {
        "flags": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "quotaLimited": [],
        "requestId": "",
    }
    return encode_json(none | _CONFIG)


def render_config(told: Told, /) -> bytes:
    return encode_json({"token": told.path["token"]} | _CONFIG)


def render_config_script(told: Told, /) -> bytes:
    """The configuration as a script that stores it where posthog-js looks for it."""
    # Our keys contain no such characters. If one ever does, it must not end the script element around it.
    document = render_config(told).replace(b"<", b"\\u003c")
    key = encode_json(told.path["token"]).replace(b"<", b"\\u003c")
    return (
        b"(function(){window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
        b"window._POSTHOG_REMOTE_CONFIG[%b]={config:%b,siteApps:[]};})();" % (key, document)
    )
