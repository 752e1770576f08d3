"""Webhooks: the thread that delivers, and the one that enqueues events for those that want them."""

from collections.abc import Callable, Sequence

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.signals import Signals
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.delivery.addresses import Network, parse_networks
from headrace.delivery.deliverer import Deliverer
from headrace.delivery.feed import EventFeed
from headrace.delivery.sender import Sender
from headrace.dialects.native import render_event_data
from headrace.model.settings import Settings


class WebhookWing(msgspec.Struct, frozen=True):
    """allowed: the private networks that webhooks may be in."""

    allowed: Sequence[Network]
    deliverer: Deliverer
    feed: EventFeed


def webhooks_of(
    settings: Settings,
    adapters: Adapters,
    control: ControlAdapters,
    pipeline: PipelineWing,
    signals: Signals,
    /,
    on_step: Callable[[str], None],
) -> WebhookWing:
    """Raises SettingsError."""
    allowed = parse_networks(settings.webhook_allowed_networks)

    def new_sender(on_tried: Callable[[], None]) -> Sender:
        return Sender(
            timeout_s=settings.webhook_timeout_s,
            lane_width=settings.webhook_concurrency,
            allowed=allowed,
            clock_ms=clock_ms,
            on_tried=on_tried,
        )

    deliverer = Deliverer(control.deliveries, adapters.leases, new_sender, clock_ms=clock_ms, on_step=on_step)
    feed = EventFeed(
        *(control.event_feed, adapters.store, render_event_data),
        visible=pipeline.visible,
        lease=lambda: deliverer.lease,
        on_enqueued=signals.enqueued,
        clock_ms=clock_ms,
    )
    signals.enqueued.add(deliverer.enqueued)
    signals.stored.add(feed.wake)
    return WebhookWing(allowed, deliverer, feed)
