"""Assembles the parts that send deliveries from the settings."""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Engine

from headrace.assembly.clock import clock_ms
from headrace.assembly.webhooks import WebhookAdmin
from headrace.control.delivery_log import ControlDeliveryLog
from headrace.control.delivery_queue import ControlDeliveryQueue
from headrace.control.webhooks import ControlWebhooks
from headrace.delivery.addresses import Network
from headrace.delivery.sender import Sender
from headrace.model.settings import Settings
from headrace.ports.deliveries import ReplyHandler


def queue_of(control: Engine, settings: Settings, replies: ReplyHandler, /) -> ControlDeliveryQueue:
    return ControlDeliveryQueue(
        control,
        replies,
        most_waiting=settings.webhook_max_waiting,
        keep_ms=int(settings.webhook_keep_s * 1000),
        keep=settings.webhook_keep,
        give_up_after_ms=int(settings.webhook_give_up_s * 1000),
    )


def sender_of(settings: Settings, allowed: Sequence[Network], on_tried: Callable[[], None], /) -> Sender:
    return Sender(
        timeout_s=settings.webhook_timeout_s,
        lane_width=settings.webhook_concurrency,
        allowed=allowed,
        clock_ms=clock_ms,
        on_tried=on_tried,
    )


def webhooks_of(
    control: Engine,
    settings: Settings,
    allowed: Sequence[Network],
    /,
    *,
    last: Callable[[], int],
    enqueued: Callable[[Collection[int]], None],
) -> WebhookAdmin:
    """last, enqueued: see WebhookAdmin."""
    return WebhookAdmin(
        ControlWebhooks(control, most=settings.max_webhooks, most_waiting=settings.webhook_max_waiting),
        ControlDeliveryLog(control),
        allowed=allowed,
        last=last,
        overlap_ms=int(settings.webhook_overlap_s * 1000),
        give_up_after_ms=int(settings.webhook_give_up_s * 1000),
        enqueued=enqueued,
    )
