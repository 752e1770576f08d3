"""Hands the outcomes of calls over to those who wait for them, in the transaction that ends their deliveries."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.model.event import Tenant
from headrace.model.webhook import Attempt, Reply, Tried
from headrace.ports.deliveries import ReplyHandler

attempts_decoder = msgspec.json.Decoder(list[Attempt])


def hand_over(connection: sa.Connection, handler: ReplyHandler, ended: Iterable[tuple[Tenant, Reply]], /) -> None:
    """Hand over the replies that somebody waits for, tenant by tenant."""
    by_tenant: dict[Tenant, list[Reply]] = {}
    for tenant, reply in ended:
        if reply.reply_to:
            by_tenant.setdefault(tenant, []).append(reply)
    for tenant, replies in sorted(by_tenant.items(), key=lambda each: (each[0].project, each[0].mode)):
        handler.keep(connection, tenant, replies)


def reply_of(tried: Tried, /) -> Reply:
    return Reply(
        reply_to=tried.due.reply_to,
        key=tried.due.key,
        webhook=tried.due.receiver.id,
        delivered=tried.delivered,
        status=tried.attempt.status,
        json=tried.json,
        problem=tried.attempt.problem or tried.reply_problem,
    )


def given_up(row: sa.Row[Any], problem: str, /) -> Reply:
    attempts = attempts_decoder.decode(row.attempts)
    return Reply(
        reply_to=row.reply_to,
        key=row.key,
        webhook=row.id,
        delivered=False,
        status=attempts[-1].status if attempts else 0,
        problem=problem,
    )
