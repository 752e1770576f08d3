"""Webhooks in the control database: creates, lists, changes and deletes them. Sends nothing."""

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.locks import lock_project, lock_tenant
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.model.audit import add_detail
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.webhook import Topic, Webhook, WebhookChange

# A deleted webhook's row stays until its deliveries are gone, under an id that no client can choose (see WEBHOOK_ID).
DELETED = "deleted"
_filters_decoder = msgspec.json.Decoder(Filters)


class ControlWebhooks:
    """Fits the WebhookStore port. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine, *, most: int, most_waiting: int) -> None:
        """most: webhooks per tenant. most_waiting: how far a webhook's waiting deliveries are counted."""
        self._engine = engine
        self._most = most
        self._most_waiting = most_waiting

    def create(self, webhook: Webhook, secret: str, last: Callable[[], int], /) -> Webhook:
        """See the WebhookStore port."""
        tenant = webhook.tenant

        def keep(connection: sa.Connection) -> Webhook:
            lock_project(connection, tenant.project, webhook.created_at_ms)
            lock_tenant(connection, tenant)  # otherwise two concurrent calls could both find room for the last one
            held = set(connection.scalars(sa.select(webhooks.c.id).where(of(tenant), webhooks.c.status != DELETED)))
            if webhook.id in held:
                raise InvalidRequest(f"There is a webhook {webhook.id!r} already: change it, or choose another 'id'.")
            if len(held) >= self._most:
                raise InvalidRequest(
                    f"There are {len(held)} webhooks already, and HEADRACE_MAX_WEBHOOKS is {self._most}: delete one."
                )
            row: dict[str, object] = {
                "project": tenant.project,
                "mode": tenant.mode,
                "id": webhook.id,
                "url": webhook.url,
                "topics": _listed(webhook.topics),
                "filters": _encode(webhook.filters),
                "status": webhook.status,
                "reason": webhook.reason,
                "secret": secret,
                "former_secret": "",
                "overlap_until_ms": 0,
                "position": last(),
                "is_full": False,
                "failing_since_ms": 0,
                "problem": "",
                "created_at_ms": webhook.created_at_ms,
            }
            add_detail(f"made the webhook {webhook.id}", tenant)
            number = connection.scalars(sa.insert(webhooks).values(row).returning(webhooks.c.no)).one()
            return msgspec.structs.replace(webhook, number=number)

        return transact(self._engine, keep)

    def get(self, tenant: Tenant, webhook_id: str, /) -> Webhook:
        """See the WebhookStore port."""
        with reading(self._engine) as connection:
            return _webhook(_find(connection, tenant, webhook_id))

    def listed(self, tenant: Tenant, after: str, limit: int, /) -> list[tuple[Webhook, int]]:
        """See the WebhookStore port."""
        asked = (
            sa.select(webhooks)
            .where(of(tenant), webhooks.c.status != DELETED, webhooks.c.id > after)
            .order_by(webhooks.c.id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            found = [_webhook(row) for row in connection.execute(asked)]
            return [(each, count_waiting(connection, each.number, self._most_waiting)) for each in found]

    def change(self, tenant: Tenant, webhook_id: str, change: WebhookChange, last: Callable[[], int], /) -> Webhook:
        """See the WebhookStore port."""

        def put(connection: sa.Connection) -> Webhook:
            row = _find(connection, tenant, webhook_id, lock=True)
            connection.execute(sa.update(webhooks).where(webhooks.c.no == row.no).values(_changed(row, change, last)))
            return _webhook(_find(connection, tenant, webhook_id))

        return transact(self._engine, put)

    def remove(self, tenant: Tenant, webhook_id: str, /) -> None:
        """See the WebhookStore port."""

        def take_away(connection: sa.Connection) -> None:
            row = _find(connection, tenant, webhook_id, lock=True)
            gone = {"status": DELETED, "id": f"{DELETED}/{row.no}", "secret": "", "former_secret": ""}
            connection.execute(sa.update(webhooks).where(webhooks.c.no == row.no).values(gone))

        transact(self._engine, take_away)


def of(tenant: Tenant, /) -> sa.ColumnElement[bool]:
    return sa.and_(webhooks.c.project == tenant.project, webhooks.c.mode == tenant.mode)


def count_waiting(connection: sa.Connection, webhook_no: int, most: int, /) -> int:
    """The number of a webhook's waiting deliveries, counted up to `most`."""
    own = (deliveries.c.status == "waiting", deliveries.c.webhook_no == webhook_no)
    some = sa.select(sa.literal(1).label("one")).where(*own).limit(most).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0


def filters_of(text: str, /) -> Filters:
    found = _filters_decoder.decode(text)
    pairs = {name: tuple((key, value) for key, value in getattr(found, name)) for name in ("tags", "properties")}
    # JSON has lists where Filters has tuples.
    return msgspec.structs.replace(found, conditions=tuple(found.conditions), **pairs)


def topics_of(text: str, /) -> tuple[Topic, ...]:
    return tuple(topic for topic in text.split(",") if topic)  # type: ignore[misc]  # only topics were put in


def _listed(topics: tuple[Topic, ...]) -> str:
    return f",{','.join(topics)},"


def _encode(filters: Filters) -> str:
    return msgspec.json.encode(filters).decode()


def _changed(row: sa.Row[Any], change: WebhookChange, last: Callable[[], int]) -> dict[str, object]:
    values: dict[str, object] = {}
    if change.url is not None:
        values |= {"url": change.url, "failing_since_ms": 0, "problem": ""}
    if change.filters is not None:
        values["filters"] = _encode(change.filters)
    if change.topics is not None:
        values["topics"] = _listed(change.topics)
    if change.status is not None:
        values |= {"status": change.status, "reason": change.reason}
    if change.secret is not None:
        values |= {"secret": change.secret, "former_secret": "", "overlap_until_ms": change.overlap_until_ms}
        if change.overlap_until_ms:
            values["former_secret"] = row.secret
    topics = row.topics if change.topics is None else _listed(change.topics)
    enabled_again = change.status == "enabled" and row.status != "enabled"
    if enabled_again:
        values |= {"failing_since_ms": 0, "problem": "", "is_full": False}
    if ",event," in topics and (enabled_again or ",event," not in row.topics):
        values["position"] = last()
    return values or {"status": row.status}


def _find(connection: sa.Connection, tenant: Tenant, webhook_id: str, *, lock: bool = False) -> sa.Row[Any]:
    asked = sa.select(webhooks).where(of(tenant), webhooks.c.id == webhook_id, webhooks.c.status != DELETED)
    row = connection.execute(asked.with_for_update() if lock else asked).first()
    if row is None:
        raise NotFound(f"There is no webhook {webhook_id[:80]!r}.")
    return row


def _webhook(row: sa.Row[Any]) -> Webhook:
    return Webhook(
        number=row.no,
        tenant=Tenant(row.project, row.mode),
        id=row.id,
        url=row.url,
        topics=topics_of(row.topics),
        filters=filters_of(row.filters),
        status=row.status,
        reason=row.reason,
        failing_since_ms=row.failing_since_ms,
        problem=row.problem,
        overlap_until_ms=row.overlap_until_ms,
        created_at_ms=row.created_at_ms,
    )
