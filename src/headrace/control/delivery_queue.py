"""The queue of deliveries, for the one process that sends them: due deliveries, and the outcomes of tries."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.delivery_replies import attempts_decoder, hand_over, reply_of
from headrace.control.delivery_tidying import DeliveryTidying
from headrace.control.leases import require
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.model.event import Tenant
from headrace.model.lease import Lease
from headrace.model.webhook import MAX_PROBLEM_CHARS, MOST_ATTEMPTS_KEPT, Due, Receiver, Tried
from headrace.ports.deliveries import ReplyHandler

_MOST_NAMED = 500  # webhooks in one query
_ROWS = 50


class ControlDeliveryQueue:
    """Fits the DeliveryQueue port. For the sender's thread; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine, replies: ReplyHandler, *, most_waiting: int, keep_ms: int, keep: int) -> None:
        """most_waiting: per webhook. keep_ms, keep: how long, and how many of each status, ended deliveries are kept."""
        self._engine = engine
        self._replies = replies
        tidying = DeliveryTidying(engine, replies, most_waiting=most_waiting, keep_ms=keep_ms, keep=keep)
        self.tidy = tidying.tidy

    def ready(self, now_ms: int, among: Collection[int] | None, /) -> list[Receiver]:
        """See the DeliveryQueue port."""
        waits = sa.exists().where(
            deliveries.c.status == "waiting", deliveries.c.webhook_no == webhooks.c.no, deliveries.c.due_at_ms <= now_ms
        )
        asked = sa.select(webhooks).where(webhooks.c.status == "enabled", waits)
        if among is not None and len(among) <= _MOST_NAMED:
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
            hand_over(connection, self._replies, [(each.due.receiver.tenant, reply_of(each)) for each in ended])
            require(connection, lease)

        if ordered:
            transact(self._engine, keep)
            if ended:
                self._replies.kept()


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
        attempts=() if row.attempts == "[]" else attempts_decoder.decode(row.attempts),
        reply_to=row.reply_to,
    )
