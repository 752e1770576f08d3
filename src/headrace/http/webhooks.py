"""The handshake in which a sender of CloudEvents webhooks asks whether it may send here. Never calls anybody back.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection
"""

from http import HTTPStatus

import falcon.asgi


def grant(resp: falcon.asgi.Response, per_minute: int, /) -> None:
    """Any origin may send, for each request has to show a key. per_minute: how often; 0 as often as it likes."""
    resp.status = int(HTTPStatus.OK)
    resp.set_headers({"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": str(per_minute) if per_minute else "*"})
