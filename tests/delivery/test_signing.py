"""Signatures, held against the library that receivers use."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from headrace.delivery.signing import new_secret, signature_headers
from headrace.model.webhook import KEY

NOW_S = int(datetime.now(UTC).timestamp())
BODY = b'{"type":"badge.awarded","timestamp":"2026-01-01T00:00:00Z","data":{}}'


@given(st.from_regex(KEY, fullmatch=True), st.binary(max_size=100).map(lambda raw: b'{"a":"%b"}' % raw.hex().encode()))
def test_the_library_of_the_standard_verifies_every_delivery(key: str, body: bytes) -> None:
    secret = new_secret()
    headers = signature_headers([secret], key, NOW_S, body)
    assert headers["webhook-id"] == key
    Webhook(secret).verify(body, headers)


def test_during_a_rotation_receivers_with_either_secret_verify_it() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signature_headers([new, old], "k", NOW_S, BODY)
    assert len(headers["webhook-signature"].split()) == 2
    Webhook(old).verify(BODY, headers)
    Webhook(new).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_whatever_is_changed_on_the_way_is_noticed(changed: str) -> None:
    secret = new_secret()
    headers = signature_headers([secret], "k", NOW_S, BODY)
    if changed != "body":
        headers[changed] = {"webhook-id": "l", "webhook-timestamp": str(NOW_S + 1)}[changed]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" " if changed == "body" else BODY, headers)


def test_a_secret_is_never_the_same() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
