"""Queries of the ledger of points: entries, participants, leaderboards. Knows rules only by their numbers."""

from typing import Any

import sqlalchemy as sa

from headrace.control.boards import BoardRows
from headrace.control.database import reading
from headrace.control.participants import is_whole, whole_of
from headrace.control.tables.ledger import balances, points
from headrace.control.tables.rules import rules
from headrace.control.tables.scores import awards, participants
from headrace.model.event import Tenant
from headrace.model.scores import Board, Entry, LedgerPage, Participant, Participants


class ControlLedger:
    """Fits the Ledger port. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def entries(self, tenant: Tenant, participant: str | None, after: str, limit: int, /) -> LedgerPage:
        """See the Ledger port."""
        each = participants.alias()  # the id that an entry is on
        whole = sa.func.coalesce(each.c.whole_no, each.c.no)
        own = [*_of(tenant), each.c.no == points.c.participant_no, participants.c.no == whole]
        with reading(self._engine) as connection:
            if participant is not None:
                own.append(points.c.participant_no.in_(whole_of(connection, tenant, participant)[1]))
            asked = newest_entries(*own).add_columns(participants.c.name)
            if after:
                event_id, rule_no, ordinal = after.split(":")
                place = sa.tuple_(points.c.event_id, points.c.rule_no, points.c.ordinal)
                asked = asked.where(
                    place < sa.tuple_(sa.literal(event_id), sa.literal(int(rule_no)), sa.literal(int(ordinal)))
                )
            sums = sa.select(sa.func.count(), sa.func.sum(points.c.points)).where(points.c.points != 0, *own)
            total, together = connection.execute(sums).one()
            rows = connection.execute(asked.limit(limit + 1)).all()
        return LedgerPage(
            [(row.name, entry_of(row)) for row in rows[:limit]], total, int(together or 0), more=len(rows) > limit
        )

    def participants(self, tenant: Tenant, after: str, limit: int, /) -> Participants:
        """See the Ledger port."""
        each = participants.alias()
        is_theirs = sa.or_(each.c.no == participants.c.no, each.c.whole_no == participants.c.no)
        held = (
            sa.select(sa.func.count())
            .select_from(each)
            .join(awards, awards.c.participant_no == each.c.no)
            .where(is_theirs, awards.c.stands, awards.c.revoked_at_ms.is_(None))
            .correlate(participants)
            .scalar_subquery()
        )
        asked = (
            sa.select(participants.c.name, sa.func.coalesce(balances.c.balance, 0), held)
            .outerjoin(balances, balances.c.participant_no == participants.c.no)
            .where(*_of(tenant), is_whole())
            .order_by(participants.c.name)
            .limit(limit + 1)
        )
        if after:
            asked = asked.where(participants.c.name > after)
        with reading(self._engine) as connection:
            total = connection.scalar(
                sa.select(sa.func.count()).select_from(participants).where(*_of(tenant), is_whole())
            )
            rows = connection.execute(asked).all()
        return Participants([Participant(*row) for row in rows[:limit]], total or 0, more=len(rows) > limit)

    def leaderboard(
        self,
        tenant: Tenant,
        from_ms: int | None,
        to_ms: int | None,
        limit: int,
        offset: int,
        /,
        around: str | None = None,
    ) -> Board | None:
        """See the Ledger port."""
        if from_ms is None and to_ms is None:
            rows = (
                sa.select(participants.c.name, balances.c.balance.label("points"))
                .join(balances, balances.c.participant_no == participants.c.no)
                .where(balances.c.project == tenant.project, balances.c.mode == tenant.mode, balances.c.balance != 0)
            )
        else:
            together = sa.func.sum(points.c.points)
            each = participants.alias()
            rows = (
                sa.select(participants.c.name, sa.cast(together, sa.BigInteger).label("points"))
                .select_from(points)
                .join(each, each.c.no == points.c.participant_no)
                .join(participants, participants.c.no == sa.func.coalesce(each.c.whole_no, each.c.no))
                .where(*_of(tenant))
                .group_by(participants.c.no, participants.c.name)
                .having(together != 0)
            )
            if from_ms is not None:
                rows = rows.where(points.c.at_ms >= from_ms)
            if to_ms is not None:
                rows = rows.where(points.c.at_ms <= to_ms)
        with reading(self._engine) as connection:
            board = BoardRows(connection, rows.subquery(), ("points",))
            if around is None:
                return board.page(limit, offset)
            return board.around(whole_of(connection, tenant, around)[0], limit)


def newest_entries(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Rows for `entry_of`, newest first by time of receipt, without those that only note a credit."""
    return (
        sa.select(points, rules.c.kind.label("rule_kind"), rules.c.rule_id)
        .outerjoin(rules, rules.c.no == points.c.rule_no)
        .where(points.c.points != 0, *conditions)
        .order_by(points.c.event_id.desc(), points.c.rule_no.desc(), points.c.ordinal.desc())
    )


def entry_of(row: sa.Row[Any], /) -> Entry:
    place = f"{row.event_id}:{row.rule_no}:{row.ordinal}"
    return Entry(
        row.event_id, row.points, row.kind, row.rule_kind or "", row.rule_id or "", row.at_ms, row.reason, place
    )


def _of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return participants.c.project == tenant.project, participants.c.mode == tenant.mode
