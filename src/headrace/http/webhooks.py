"""The handshake by which a sender of CloudEvents webhooks asks for permission to send here. Never calls back.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection
"""

from http import HTTPStatus

import falcon.asgi


def grant(resp: falcon.asgi.Response, per_minute: int, /) -> None:
    """Permit any origin, because each request has to show a key. per_minute: the rate limit; 0 for none."""
    resp.status = int(HTTPStatus.OK)
    resp.set_headers({"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": str(per_minute) if per_minute else "*"})
