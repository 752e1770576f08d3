"""Cleans up deliveries: ends those that nobody will take, deletes old ones, and watches the limit on waiting ones."""

from collections.abc import Collection

import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.delivery_replies import given_up, hand_over
from headrace.control.leases import require
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.control.webhooks import DELETED, count_waiting
from headrace.model.event import Tenant
from headrace.model.lease import Lease
from headrace.ports.deliveries import ReplyHandler

_AT_ONCE = 500  # deliveries ended or deleted in one transaction
_LOOK_AT = 20  # webhooks without changes that one round checks
_FAILING_MS = 60_000  # how long a receiver must have been failing before its deliveries are searched for expired ones
DISABLED = "The webhook is disabled."
TOO_LATE = "It was not taken in time; the receiver has been failing."


class DeliveryTidying:
    """The `tidy` of the DeliveryQueue port. For the sender's thread."""

    def __init__(self, engine: sa.Engine, replies: ReplyHandler, *, most_waiting: int, keep_ms: int, keep: int) -> None:
        self._engine = engine
        self._replies = replies
        self._most_waiting = most_waiting
        self._keep_ms = keep_ms
        self._keep = keep
        self._looked_at = 0  # the last webhook of the round

    def tidy(self, touched: Collection[int], besides: Collection[int], lease: Lease | None, now_ms: int, /) -> bool:
        """See the DeliveryQueue port."""
        more = self._end(DISABLED, webhooks.c.status == "disabled", sa.true(), besides, lease, now_ms)
        failing = sa.and_(webhooks.c.status == "enabled", webhooks.c.failing_since_ms.between(1, now_ms - _FAILING_MS))
        late = sa.and_(deliveries.c.due_at_ms < now_ms, deliveries.c.give_up_at_ms < now_ms)
        more |= self._end(TOO_LATE, failing, late, besides, lease, now_ms)
        more |= self._remove_deleted(besides, lease, now_ms)
        with reading(self._engine) as connection:
            after = sa.select(webhooks.c.no).where(webhooks.c.status != DELETED, webhooks.c.no > self._looked_at)
            others = list(connection.scalars(after.order_by(webhooks.c.no).limit(_LOOK_AT)))
        self._looked_at = others[-1] if others else 0
        for number in sorted({*touched, *others}):
            more |= self._trim(number, lease, now_ms)
        return more

    def _end(
        self,
        problem: str,
        of_webhooks: sa.ColumnElement[bool],
        of_deliveries: sa.ColumnElement[bool],
        besides: Collection[int],
        lease: Lease | None,
        now_ms: int,
    ) -> bool:
        """End some waiting deliveries as dead. Returns whether there may be more."""
        chosen = (
            sa.select(deliveries.c.no, deliveries.c.key, deliveries.c.reply_to, deliveries.c.attempts)
            .add_columns(webhooks.c.project, webhooks.c.mode, webhooks.c.id)
            .join(webhooks, webhooks.c.no == deliveries.c.webhook_no)
            .where(of_webhooks, deliveries.c.status == "waiting", of_deliveries)
            .order_by(deliveries.c.no)
            .limit(_AT_ONCE + len(besides))
        )
        with reading(self._engine) as connection:  # usually there are none
            found = [row for row in connection.execute(chosen) if row.no not in besides]
        if not found:
            return False

        def end(connection: sa.Connection) -> None:
            dead = (
                sa.update(deliveries)
                .where(deliveries.c.no == sa.bindparam("number"), deliveries.c.status == "waiting")
                .values(status="dead", due_at_ms=now_ms, ended_at_ms=now_ms, problem=problem)
            )
            connection.execute(dead, [{"number": row.no} for row in found])
            hand_over(
                connection, self._replies, [(Tenant(row.project, row.mode), given_up(row, problem)) for row in found]
            )
            require(connection, lease)

        transact(self._engine, end)
        if any(row.reply_to for row in found):
            self._replies.kept()
        return len(found) >= _AT_ONCE

    def _remove_deleted(self, besides: Collection[int], lease: Lease | None, now_ms: int) -> bool:
        """Delete some deliveries of deleted webhooks, and the webhooks that have none left. Returns whether there may be more."""
        with reading(self._engine) as connection:
            gone = list(connection.scalars(sa.select(webhooks.c.no).where(webhooks.c.status == DELETED)))
        if not gone:
            return False
        calls = deliveries.c.reply_to != ""
        if self._end("The webhook was deleted.", webhooks.c.status == DELETED, calls, besides, lease, now_ms):
            return True

        def remove(connection: sa.Connection) -> bool:
            some = sa.select(deliveries.c.no).where(deliveries.c.webhook_no.in_(gone)).limit(_AT_ONCE)
            numbers = list(connection.scalars(some))
            if numbers:
                connection.execute(sa.delete(deliveries).where(deliveries.c.no.in_(numbers)))
            else:
                connection.execute(sa.delete(webhooks).where(webhooks.c.no.in_(gone)))
            require(connection, lease)
            return bool(numbers)

        return transact(self._engine, remove)

    def _trim(self, number: int, lease: Lease | None, now_ms: int) -> bool:
        """Delete some old ended deliveries, and check the limit on waiting ones. Returns whether there may be more to delete."""
        old: list[int] = []
        with reading(self._engine) as connection:
            for status in ("delivered", "dead"):
                own = (deliveries.c.status == status, deliveries.c.webhook_no == number)
                last_kept = connection.scalar(
                    sa.select(deliveries.c.due_at_ms)
                    .where(*own)
                    .order_by(deliveries.c.due_at_ms.desc())
                    .limit(1)
                    .offset(self._keep)
                )
                before = max(now_ms - self._keep_ms, 0 if last_kept is None else last_kept + 1)
                asked = sa.select(deliveries.c.no).where(*own, deliveries.c.due_at_ms < before)
                old += connection.scalars(asked.order_by(deliveries.c.due_at_ms).limit(_AT_ONCE))
            is_full = count_waiting(connection, number, self._most_waiting) >= self._most_waiting
            said = connection.scalar(sa.select(webhooks.c.is_full).where(webhooks.c.no == number))
        if not old and said in (None, is_full):
            return False

        def keep(connection: sa.Connection) -> None:
            connection.execute(sa.update(webhooks).where(webhooks.c.no == number).values(is_full=is_full))
            if old:
                ended = deliveries.c.status != "waiting"  # and was not resent in the meantime
                for start in range(0, len(old), _AT_ONCE):
                    some = old[start : start + _AT_ONCE]
                    connection.execute(sa.delete(deliveries).where(deliveries.c.no.in_(some), ended))
            require(connection, lease)

        transact(self._engine, keep)
        return len(old) >= _AT_ONCE
