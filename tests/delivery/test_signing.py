"""Signatures, held against the library that receivers use."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from headrace.delivery.signing import new_secret, signature_headers
from headrace.model.webhook import KEY

BODY = b'{"type":"badge.awarded","timestamp":"2026-01-01T00:00:00Z","data":{}}'


def now_s() -> int:
    """The library refuses what is older than five minutes, and a run of all tests takes longer."""
    return int(datetime.now(UTC).timestamp())


@given(st.from_regex(KEY, fullmatch=True), st.binary(max_size=100).map(lambda raw: b'{"a":"%b"}' % raw.hex().encode()))
def test_the_library_of_the_standard_verifies_every_delivery(key: str, body: bytes) -> None:
    secret = new_secret()
    headers = signature_headers([secret], key, now_s(), body)
    assert headers["webhook-id"] == key
    Webhook(secret).verify(body, headers)


def test_during_a_rotation_receivers_with_either_secret_verify_it() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signature_headers([new, old], "k", now_s(), BODY)
    assert len(headers["webhook-signature"].split()) == 2
    Webhook(old).verify(BODY, headers)
    Webhook(new).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_whatever_is_changed_on_the_way_is_noticed(changed: str) -> None:
    secret = new_secret()
    headers = signature_headers([secret], "k", now_s(), BODY)
    if changed != "body":
        headers[changed] = {"webhook-id": "l", "webhook-timestamp": str(now_s() + 1)}[changed]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" " if changed == "body" else BODY, headers)


def test_a_secret_is_never_the_same() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
