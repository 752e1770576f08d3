"""Passes replies of calls on to the registered handler. Stores nothing."""

from collections.abc import Sequence

from headrace.model.event import Tenant
from headrace.model.webhook import Reply
from headrace.ports.deliveries import ReplyHandler


class Replies:
    """Fits the ReplyHandler port. Without a registered handler replies are dropped, because nobody can have made a call."""

    def __init__(self) -> None:
        self._handler: ReplyHandler | None = None

    def register(self, handler: ReplyHandler, /) -> None:
        """Register the handler. Call it before the server starts."""
        self._handler = handler

    def keep(self, transaction: object, tenant: Tenant, replies: Sequence[Reply], /) -> None:
        """See the ReplyHandler port."""
        if self._handler is not None:
            self._handler.keep(transaction, tenant, replies)

    def kept(self) -> None:
        """See the ReplyHandler port."""
        if self._handler is not None:
            self._handler.kept()
