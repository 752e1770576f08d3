"""Hands replies to calls to whoever has registered for them. Keeps nothing itself."""

from collections.abc import Sequence

from headrace.model.event import Tenant
from headrace.model.webhook import Reply
from headrace.ports.deliveries import ReplyHandler


class Replies:
    """Fits the ReplyHandler port. Without anybody registered, replies go nowhere: nobody can have called."""

    def __init__(self) -> None:
        self._handler: ReplyHandler | None = None

    def register(self, handler: ReplyHandler, /) -> None:
        """Do so before the server starts."""
        self._handler = handler

    def keep(self, transaction: object, tenant: Tenant, replies: Sequence[Reply], /) -> None:
        """See the ReplyHandler port."""
        if self._handler is not None:
            self._handler.keep(transaction, tenant, replies)

    def kept(self) -> None:
        """See the ReplyHandler port."""
        if self._handler is not None:
            self._handler.kept()
