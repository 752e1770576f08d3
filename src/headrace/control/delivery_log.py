"""The history of deliveries, and resending them. Sends nothing itself."""

from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.outbox import enqueue, new_delivery
from headrace.control.tables.deliveries import deliveries
from headrace.model.errors import NotFound
from headrace.model.webhook import Attempt, Delivery, DeliveryStatus, Message

_attempts_decoder = msgspec.json.Decoder(list[Attempt])


class ControlDeliveryLog:
    """Fits the DeliveryLog port. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def listed(self, webhook: int, status: DeliveryStatus | None, before: int, limit: int, /) -> list[Delivery]:
        """See the DeliveryLog port."""
        asked = sa.select(deliveries).where(deliveries.c.webhook_no == webhook, deliveries.c.no < before)
        if status is not None:
            asked = asked.where(deliveries.c.status == status)
        with reading(self._engine) as connection:
            rows = connection.execute(asked.order_by(deliveries.c.no.desc()).limit(limit))
            return [_delivery(row) for row in rows]

    def get(self, webhook: int, key: str, /) -> Delivery:
        """See the DeliveryLog port."""
        with reading(self._engine) as connection:
            return _get(connection, webhook, key)

    def add(self, webhook: int, message: Message, now_ms: int, /) -> Delivery:
        """See the DeliveryLog port."""

        def keep(connection: sa.Connection) -> Delivery:
            enqueue(connection, [new_delivery(webhook, message, now_ms, 0)])
            return _get(connection, webhook, message.key)

        return transact(self._engine, keep)

    def again(self, webhook: int, key: str, now_ms: int, give_up_at_ms: int, /) -> Delivery:
        """See the DeliveryLog port."""

        def renew(connection: sa.Connection) -> Delivery:
            found = _get(connection, webhook, key, lock=True)
            due = _due_again(now_ms, max(give_up_at_ms, found.give_up_at_ms))
            connection.execute(sa.update(deliveries).where(deliveries.c.no == found.number).values(due))
            return _get(connection, webhook, key)

        return transact(self._engine, renew)

    def all_again(
        self,
        webhook: int,
        span: tuple[int, int],
        status: DeliveryStatus,
        limit: int,
        now_ms: int,
        give_up_at_ms: int,
        /,
    ) -> int:
        """See the DeliveryLog port."""
        chosen = (
            sa.select(deliveries.c.no)
            .where(deliveries.c.webhook_no == webhook, deliveries.c.status == status)
            .where(deliveries.c.created_at_ms.between(*span))
            .order_by(deliveries.c.no)
            .limit(limit)
            .with_for_update()
        )

        def renew(connection: sa.Connection) -> int:
            numbers = list(connection.scalars(chosen))
            if numbers:
                renewed = sa.update(deliveries).where(deliveries.c.no == sa.bindparam("number"))
                connection.execute(
                    renewed.values(_due_again(now_ms, give_up_at_ms)), [{"number": number} for number in numbers]
                )
            return len(numbers)

        return transact(self._engine, renew)


def _due_again(now_ms: int, give_up_at_ms: int) -> dict[str, object]:
    return {
        "status": "waiting",
        "due_at_ms": now_ms,
        "give_up_at_ms": give_up_at_ms,
        "ended_at_ms": None,
        "tries": 0,
        "problem": "",
    }


def _get(connection: sa.Connection, webhook: int, key: str, *, lock: bool = False) -> Delivery:
    asked = sa.select(deliveries).where(deliveries.c.webhook_no == webhook, deliveries.c.key == key)
    row = connection.execute(asked.with_for_update() if lock else asked).first()
    if row is None:
        raise NotFound(f"The webhook has no delivery {key[:80]!r}.")
    return _delivery(row)


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        number=row.no,
        key=row.key,
        topic=row.topic,
        status=row.status,
        created_at_ms=row.created_at_ms,
        due_at_ms=row.due_at_ms,
        give_up_at_ms=row.give_up_at_ms,
        ended_at_ms=row.ended_at_ms,
        tries=row.tries,
        attempts=_attempts_decoder.decode(row.attempts),
        problem=row.problem,
        body=row.body,
    )
