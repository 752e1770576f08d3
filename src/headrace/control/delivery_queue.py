"""The queue of deliveries, for the one process that sends them: due deliveries, outcomes of tries, and cleaning up."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.leases import require
from headrace.control.outbox import enqueue, new_delivery
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.control.webhooks import DELETED, count_waiting, filters_of
from headrace.model.event import Tenant
from headrace.model.lease import Lease
from headrace.model.webhook import MAX_PROBLEM_CHARS, MOST_ATTEMPTS_KEPT, Attempt, Due, Message, Receiver, Reply, Tried
from headrace.ports.deliveries import EventsWanted, ReplyHandler

_AT_ONCE = 500  # deliveries ended or deleted in one transaction
_ROWS = 50
_LOOK_AT = 20  # webhooks without changes that one round checks
_FAILING_MS = 60_000  # deliveries of a receiver that are searched for expired ones
DISABLED = "The webhook is disabled."
TOO_LATE = "It was not taken in time; the receiver has been failing."
_attempts_decoder = msgspec.json.Decoder(list[Attempt])


class ControlDeliveryQueue:
    """Fits the DeliveryQueue and EventFeedQueue ports. For the sender's thread; every method raises ControlFailed."""

    def __init__(
        self,
        engine: sa.Engine,
        replies: ReplyHandler,
        *,
        most_waiting: int,
        keep_ms: int,
        keep: int,
        give_up_after_ms: int,
    ) -> None:
        """most_waiting: per webhook. keep_ms, keep: how long, and how many of each status, ended deliveries are kept."""
        self._engine = engine
        self._replies = replies
        self._most_waiting = most_waiting
        self._keep_ms = keep_ms
        self._keep = keep
        self._give_up_after_ms = give_up_after_ms
        self._looked_at = 0  # the last webhook of the round

    def ready(self, now_ms: int, among: Collection[int] | None, /) -> list[Receiver]:
        """See the DeliveryQueue port."""
        waits = sa.exists().where(
            deliveries.c.status == "waiting", deliveries.c.webhook_no == webhooks.c.no, deliveries.c.due_at_ms <= now_ms
        )
        asked = sa.select(webhooks).where(webhooks.c.status == "enabled", waits)
        if among is not None and len(among) <= _AT_ONCE:
            asked = asked.where(webhooks.c.no.in_(sorted(among)))
        with reading(self._engine) as connection:
            return [_receiver(row, now_ms) for row in connection.execute(asked)]

    def due(
        self, receiver: Receiver, now_ms: int, limit: int, max_bytes: int, besides: Collection[int], /
    ) -> list[Due]:
        """See the DeliveryQueue port."""
        asked = (
            sa.select(deliveries)
            .where(deliveries.c.status == "waiting", deliveries.c.webhook_no == receiver.number)
            .where(deliveries.c.due_at_ms <= now_ms)
            .order_by(deliveries.c.due_at_ms, deliveries.c.no)
            .limit(limit + len(besides))
        )
        found: list[Due] = []
        size = 0
        with (
            reading(self._engine) as connection,
            # A few at a time, because a body may be large.
            connection.execution_options(yield_per=_ROWS).execute(asked) as rows,
        ):
            for row in rows:
                if row.no in besides:
                    continue
                found.append(_due(row, receiver))
                size += len(row.body)
                if len(found) >= limit or size >= max_bytes:
                    break
        return found

    def record(self, tried: Sequence[Tried], lease: Lease | None, now_ms: int, /) -> None:
        """See the DeliveryQueue port."""
        ordered = sorted(tried, key=lambda each: each.due.number)
        ended = [each for each in ordered if each.due.reply_to and not each.again_at_ms]

        def keep(connection: sa.Connection) -> None:
            for number, own in _by_webhook(ordered):
                _note_health(connection, number, own, now_ms)
            moved = sa.update(deliveries).where(deliveries.c.no == sa.bindparam("number"))
            values: dict[str, Any] = {name: sa.bindparam(name) for name in _MOVED}
            connection.execute(moved.values(values), [_moved(each, now_ms) for each in ordered])
            self._tell(connection, [(each.due.receiver.tenant, _reply(each)) for each in ended])
            _check(connection, lease)

        if ordered:
            transact(self._engine, keep)
            if ended:
                self._replies.kept()

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

    def wanted(self, most_waiting: int, /) -> list[EventsWanted]:
        """See the EventFeedQueue port."""
        asked = sa.select(webhooks).where(webhooks.c.status == "enabled", webhooks.c.topics.contains(",event,"))
        with reading(self._engine) as connection:
            return [
                EventsWanted(row.no, row.id, Tenant(row.project, row.mode), filters_of(row.filters), row.position)
                for row in connection.execute(asked)
                if count_waiting(connection, row.no, most_waiting) < most_waiting
            ]

    def feed(
        self, wanted: EventsWanted, messages: Sequence[Message], upto: int, lease: Lease | None, now_ms: int, /
    ) -> None:
        """See the EventFeedQueue port."""
        rows = [new_delivery(wanted.webhook, message, now_ms, self._give_up_after_ms) for message in messages]

        def keep(connection: sa.Connection) -> None:
            moved = (
                sa.update(webhooks)
                .where(webhooks.c.no == wanted.webhook, webhooks.c.status == "enabled")
                .where(webhooks.c.position == wanted.after)
                .values(position=upto)
            )
            if connection.execute(moved).rowcount:  # otherwise it was disabled, deleted, or its position has changed
                enqueue(connection, rows)
            _check(connection, lease)

        transact(self._engine, keep)

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
            self._tell(connection, [(Tenant(row.project, row.mode), _given_up(row, problem)) for row in found])
            _check(connection, lease)

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
            _check(connection, lease)
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
            _check(connection, lease)

        transact(self._engine, keep)
        return len(old) >= _AT_ONCE

    def _tell(self, connection: sa.Connection, ended: Iterable[tuple[Tenant, Reply]]) -> None:
        by_tenant: dict[Tenant, list[Reply]] = {}
        for tenant, reply in ended:
            if reply.reply_to:
                by_tenant.setdefault(tenant, []).append(reply)
        for tenant, replies in sorted(by_tenant.items(), key=lambda each: (each[0].project, each[0].mode)):
            self._replies.keep(connection, tenant, replies)


_MOVED = ("status", "due_at_ms", "ended_at_ms", "tries", "attempts", "problem")


def _moved(tried: Tried, now_ms: int) -> dict[str, object]:
    due, waits = tried.due, bool(tried.again_at_ms)
    attempts = [*due.attempts, tried.attempt][-MOST_ATTEMPTS_KEPT:]
    return {
        "number": due.number,
        "status": "delivered" if tried.delivered else "waiting" if waits else "dead",
        "due_at_ms": tried.again_at_ms if waits else now_ms,
        "ended_at_ms": None if waits else now_ms,
        "tries": due.tries + 1,
        "attempts": msgspec.json.encode(attempts).decode(),
        "problem": tried.attempt.problem[:MAX_PROBLEM_CHARS],
    }


def _reply(tried: Tried) -> Reply:
    return Reply(
        reply_to=tried.due.reply_to,
        key=tried.due.key,
        webhook=tried.due.receiver.id,
        delivered=tried.delivered,
        status=tried.attempt.status,
        json=tried.json,
        problem=tried.attempt.problem or tried.reply_problem,
    )


def _given_up(row: sa.Row[Any], problem: str) -> Reply:
    attempts = _attempts_decoder.decode(row.attempts)
    return Reply(
        reply_to=row.reply_to,
        key=row.key,
        webhook=row.id,
        delivered=False,
        status=attempts[-1].status if attempts else 0,
        problem=problem,
    )


def _note_health(connection: sa.Connection, number: int, tried: Sequence[Tried], now_ms: int) -> None:
    own = sa.update(webhooks).where(webhooks.c.no == number)
    last = tried[-1].attempt
    if gone := next((each.attempt for each in tried if each.disables), None):
        disabled = {"status": "disabled", "reason": gone.problem, "failing_since_ms": now_ms, "problem": gone.problem}
        connection.execute(own.where(webhooks.c.status == "enabled").values(disabled))
    elif any(each.delivered for each in tried):
        connection.execute(own.where(webhooks.c.failing_since_ms != 0).values(failing_since_ms=0, problem=""))
    else:
        since = sa.case((webhooks.c.failing_since_ms == 0, last.at_ms), else_=webhooks.c.failing_since_ms)
        connection.execute(own.values(failing_since_ms=since, problem=last.problem[:MAX_PROBLEM_CHARS]))


def _by_webhook(tried: Iterable[Tried]) -> list[tuple[int, list[Tried]]]:
    found: dict[int, list[Tried]] = {}
    for each in tried:
        found.setdefault(each.due.receiver.number, []).append(each)
    return sorted(found.items())


def _receiver(row: sa.Row[Any], now_ms: int) -> Receiver:
    secrets = (row.secret, row.former_secret) if now_ms < row.overlap_until_ms else (row.secret,)
    return Receiver(number=row.no, id=row.id, tenant=Tenant(row.project, row.mode), url=row.url, secrets=secrets)


def _due(row: sa.Row[Any], receiver: Receiver) -> Due:
    return Due(
        number=row.no,
        receiver=receiver,
        key=row.key,
        body=row.body.encode(),
        give_up_at_ms=row.give_up_at_ms,
        tries=row.tries,
        attempts=() if row.attempts == "[]" else _attempts_decoder.decode(row.attempts),
        reply_to=row.reply_to,
    )


def _check(connection: sa.Connection, lease: Lease | None) -> None:
    if lease is not None:
        require(connection, lease)
