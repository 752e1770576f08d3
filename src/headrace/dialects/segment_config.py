"""What the SDKs of Segment and RudderStack ask before they send: settings that name no server but this. Renders; asks nothing."""

from headrace.dialects.route import Told
from headrace.dialects.wire import encode_json


def render_settings(told: Told, /) -> bytes:
    """What analytics.js asks its "CDN" for before it starts: one destination, this server.

    Source: https://github.com/segmentio/analytics-next/blob/master/packages/browser/src/browser/settings.ts
    """
    return encode_json(_settings(told))


def _settings(told: Told) -> dict[str, object]:
    destination: dict[str, object] = {
        "apiKey": told.path["write_key"],
        "apiHost": f"{told.host}/v1",
        "protocol": told.scheme,
        "unbundledIntegrations": [],
        "addBundledMetadata": False,
    }
    return {
        "integrations": {"Segment.io": destination},
        "plan": {name: {"__default": {"enabled": True}} for name in ("track", "identify", "group")},
        "edgeFunction": {},
        "analyticsNextEnabled": True,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }


def render_settings_script(told: Told, /) -> bytes:
    """What Segment's snippet loads, as far as it is data: the key, this server's address and the settings.

    The library itself is not served here. Whoever loads it after this script, such as @segment/analytics-next's standalone.js,
    finds all it needs in the window; whoever does not is told so in the console, for its events would wait there for ever.
    Source: https://github.com/segmentio/analytics-next/blob/master/packages/browser/src/browser/standalone-analytics.ts
    """
    address = f"{told.scheme}://{told.host}"
    # A key of ours holds no such characters; should one ever, it must not end the script element around it.
    key, cdn, settings = (
        encode_json(value).replace(b"<", b"\\u003c") for value in (told.path["write_key"], address, _settings(told))
    )
    return b"""(function () {
  var analytics = (window.analytics = window.analytics || []);
  window.analyticsWriteKey = analytics._writeKey = %b;
  analytics._cdn = %b;
  analytics._loadOptions = Object.assign({ cdnSettings: %b }, analytics._loadOptions);
  setTimeout(function () {
    if (Array.isArray(window.analytics)) {
      console.error(
        "analytics.min.js: this server has the settings, but not Segment's library, so no event is sent. " +
          "Serve standalone.js of @segment/analytics-next with your pages, and load it after this script."
      );
    }
  }, 10000);
})();
""" % (key, cdn, settings)


def render_source_config(_told: Told, /) -> bytes:
    """What RudderStack's SDKs ask for before they start: a source that is enabled, and no destination beside this server.

    Source: https://github.com/rudderlabs/rudder-sdk-js/blob/develop/packages/analytics-js/src/components/configManager/types.ts
    """
    off = {"enabled": False}
    config = {"statsCollection": {"errors": off, "metrics": off}}
    source: dict[str, object] = {
        "id": "headrace",
        "name": "Headrace",
        "enabled": True,
        "workspaceId": "headrace",
        "config": config,
        "connections": [],
        "destinations": [],
        "dataplanes": {},
    }
    return encode_json({"source": source, "consentManagementMetadata": {"providers": []}, "isHosted": False})
