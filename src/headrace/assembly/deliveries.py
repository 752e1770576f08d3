"""Makes the sender of deliveries from the settings."""

from collections.abc import Callable, Sequence

from headrace.assembly.clock import clock_ms
from headrace.delivery.addresses import Network
from headrace.delivery.sender import Sender
from headrace.model.settings import Settings


def sender_of(settings: Settings, allowed: Sequence[Network], on_tried: Callable[[], None], /) -> Sender:
    return Sender(
        timeout_s=settings.webhook_timeout_s,
        lane_width=settings.webhook_concurrency,
        allowed=allowed,
        clock_ms=clock_ms,
        on_tried=on_tried,
    )
