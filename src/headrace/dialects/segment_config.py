"""Answers the requests of Segment's and RudderStack's SDKs for settings, which name only this server. Only renders."""

from headrace.dialects.route import Told
from headrace.dialects.wire import encode_json


def render_settings(told: Told, /) -> bytes:
    """The settings that analytics.js requests from its "CDN" before it starts: one destination, this server.

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
    """The data that Segment's snippet loads: the key, this server's address and the settings.

    The library itself is not served here. A page that loads it after this script, such as @segment/analytics-next's
    standalone.js, finds everything in the window. A page that does not gets a console warning, because its events would
    wait for ever.
    Source: https://github.com/segmentio/analytics-next/blob/master/packages/browser/src/browser/standalone-analytics.ts
    """
    address = f"{told.scheme}://{told.host}"
    # Our keys contain no such characters. If one ever does, it must not end the script element around it.
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
    """The configuration that RudderStack's SDKs request before they start: an enabled source, and no destination but this server.

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
