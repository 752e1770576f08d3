"""Standard Webhooks signatures: secrets, and the headers of a delivery. Pure, except for new secrets.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> str:
    """`whsec_` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature_headers(signing: Sequence[str], key: str, timestamp_s: int, body: bytes, /) -> dict[str, str]:
    """The three headers of an attempt. signing: secrets made by `new_secret`; each adds a signature, in order.

    timestamp_s: the time of this attempt, so that receivers can refuse old ones. The key is the same at each attempt.
    """
    signed = f"{key}.{timestamp_s}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(base64.b64decode(each.removeprefix(_PREFIX)), signed, "sha256")).decode()
        for each in signing
    ]
    return {"webhook-id": key, "webhook-timestamp": str(timestamp_s), "webhook-signature": " ".join(signatures)}
