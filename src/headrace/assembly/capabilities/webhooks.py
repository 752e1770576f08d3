"""Manages webhooks, and resends deliveries."""

import secrets
from collections.abc import Callable, Collection

import msgspec

from headrace.assembly.capabilities.asking import ask_control
from headrace.assembly.clock import clock_ms
from headrace.delivery.addresses import Network, parse_url
from headrace.delivery.signing import new_secret
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.webhook import Delivery, DeliveryStatus, Message, Topic, Webhook, WebhookChange
from headrace.ports.deliveries import DeliveryLog, WebhookStore

MAX_AGAIN = 10_000  # deliveries of one request


class WebhookAdmin:
    """Webhooks and their deliveries. Raises NotFound, InvalidRequest."""

    def __init__(
        self,
        webhooks: WebhookStore,
        log: DeliveryLog,
        *,
        allowed: Collection[Network],
        last: Callable[[], int],
        overlap_ms: int,
        give_up_after_ms: int,
        enqueued: Callable[[Collection[int]], None],
    ) -> None:
        """last: returns the last acknowledged event's position. overlap_ms: the default of a rotation.

        enqueued: called with the numbers of webhooks that have something to send now.
        """
        self._webhooks = webhooks
        self._log = log
        self._allowed = tuple(allowed)
        self._last = last
        self._overlap_ms = overlap_ms
        self._give_up_after_ms = give_up_after_ms
        self._enqueued = enqueued

    async def create(
        self, tenant: Tenant, webhook_id: str, url: str, topics: tuple[Topic, ...], filters: Filters, /
    ) -> tuple[Webhook, str]:
        """Create a webhook. Returns it with its secret, which cannot be read again later."""
        parse_url(url, self._allowed)
        secret = new_secret()
        made = Webhook(
            number=0,
            tenant=tenant,
            id=webhook_id or f"wh_{secrets.token_hex(8)}",
            url=url,
            topics=topics,
            filters=filters,
            status="enabled",
            created_at_ms=clock_ms(),
        )
        return await ask_control(lambda: self._webhooks.create(made, secret, self._last)), secret

    async def listed(self, tenant: Tenant, after: str, limit: int, /) -> list[tuple[Webhook, int]]:
        """See the WebhookStore port."""
        return await ask_control(lambda: self._webhooks.listed(tenant, after, limit))

    async def get(self, tenant: Tenant, webhook_id: str, /) -> Webhook:
        return await ask_control(lambda: self._webhooks.get(tenant, webhook_id))

    async def change(self, tenant: Tenant, webhook_id: str, change: WebhookChange, /) -> Webhook:
        """See the WebhookStore port."""
        if change.url is not None:
            parse_url(change.url, self._allowed)
        if change.status == "disabled":
            change = msgspec.structs.replace(change, reason="It was disabled by hand.")
        changed = await ask_control(lambda: self._webhooks.change(tenant, webhook_id, change, self._last))
        self._enqueued({changed.number})
        return changed

    async def remove(self, tenant: Tenant, webhook_id: str, /) -> None:
        await ask_control(lambda: self._webhooks.remove(tenant, webhook_id))

    async def rotate(self, tenant: Tenant, webhook_id: str, overlap_s: int | None, /) -> tuple[Webhook, str]:
        """Give a webhook a new secret. Returns both. The former secret signs as well for a while; the one before it stops."""
        secret = new_secret()
        overlap_ms = self._overlap_ms if overlap_s is None else overlap_s * 1000
        until_ms = clock_ms() + overlap_ms if overlap_ms else 0
        change = WebhookChange(secret=secret, overlap_until_ms=until_ms)
        return await ask_control(lambda: self._webhooks.change(tenant, webhook_id, change, self._last)), secret

    async def test(self, tenant: Tenant, webhook_id: str, /) -> Delivery:
        """Send one message of type "test", whatever topics the webhook subscribes to."""
        message = Message(
            key=f"test_{secrets.token_hex(12)}", topic="test", at_ms=clock_ms(), data=b'{"message":"This is a test."}'
        )

        def send() -> Delivery:
            webhook = self._enabled(tenant, webhook_id)
            sent = self._log.add(webhook.number, message, clock_ms())
            self._enqueued({webhook.number})
            return sent

        return await ask_control(send)

    async def deliveries(
        self, tenant: Tenant, webhook_id: str, status: DeliveryStatus | None, before: int, limit: int, /
    ) -> list[Delivery]:
        """See the DeliveryLog port."""

        def ask() -> list[Delivery]:
            return self._log.listed(self._webhooks.get(tenant, webhook_id).number, status, before, limit)

        return await ask_control(ask)

    async def delivery(self, tenant: Tenant, webhook_id: str, key: str, /) -> Delivery:
        """See the DeliveryLog port."""
        return await ask_control(lambda: self._log.get(self._webhooks.get(tenant, webhook_id).number, key))

    async def redeliver(self, tenant: Tenant, webhook_id: str, key: str, /) -> Delivery:
        """Attempt a delivery again from now on, under the same key and for as long as a new one."""

        def renew() -> Delivery:
            webhook, now_ms = self._enabled(tenant, webhook_id), clock_ms()
            found = self._log.again(webhook.number, key, now_ms, now_ms + self._give_up_after_ms)
            self._enqueued({webhook.number})
            return found

        return await ask_control(renew)

    async def redeliver_all(
        self, tenant: Tenant, webhook_id: str, span: tuple[int, int], status: DeliveryStatus, /
    ) -> tuple[int, bool]:
        """Like `redeliver`, for all with a status that were created within a span of milliseconds.

        Returns how many, and whether there may be more.
        """

        def renew() -> int:
            webhook, now_ms = self._enabled(tenant, webhook_id), clock_ms()
            until_ms = now_ms + self._give_up_after_ms
            renewed = self._log.all_again(webhook.number, span, status, MAX_AGAIN, now_ms, until_ms)
            self._enqueued({webhook.number})
            return renewed

        renewed = await ask_control(renew)
        return renewed, renewed == MAX_AGAIN

    def _enabled(self, tenant: Tenant, webhook_id: str) -> Webhook:
        webhook = self._webhooks.get(tenant, webhook_id)
        if webhook.status != "enabled":
            raise InvalidRequest(f"The webhook is disabled: {webhook.reason} Enable it first: PATCH its 'status'.")
        return webhook
