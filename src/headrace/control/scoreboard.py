"""Queries of the reactions' results: participants, leaderboards, badge holders. Only reads, always of one tenant."""

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from headrace.control.boards import BoardRows
from headrace.control.database import reading
from headrace.control.ledger import entry_of, newest_entries
from headrace.control.participants import places_of, whole_of
from headrace.control.tables.ledger import balances, points
from headrace.control.tables.reactions import effects
from headrace.control.tables.scores import awards, buckets, participants, standings
from headrace.model.event import Tenant
from headrace.model.reaction_state import Standing, State
from headrace.model.scores import MAX_LISTED, Award, Board, KeptFact, Score


class Scoreboard:
    """Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def participant(self, tenant: Tenant, name: str, spans: Sequence[tuple[int, int, int]], /) -> Score | None:
        """See the Scores port."""
        with reading(self._engine) as connection:
            places = places_of(connection, tenant, [name])
            whole = places.participants.get(name, name)
            names = {places.numbers[each]: each for each in places.ids.get(whole, (whole,)) if each in places.numbers}
            if not names:
                return None
            no, numbers = places.numbers.get(whole), sorted(names)
            state = State()
            state.gather(whole, list(names.values()))
            for row in connection.execute(sa.select(standings).where(standings.c.participant_no == no)):
                state.standings[row.rule_no, whole] = Standing(row.completions, row.best)
            for rule_no, first, last in spans:
                asked = sa.select(buckets).where(
                    buckets.c.rule_no == rule_no,
                    buckets.c.participant_no.in_(numbers),
                    buckets.c.bucket.between(first, last),
                )
                for row in connection.execute(asked):
                    state.buckets.setdefault((rule_no, names[row.participant_no]), {})[row.bucket] = row.value
            held = (
                sa.select(awards)
                .where(awards.c.participant_no.in_(numbers), awards.c.stands, awards.c.revoked_at_ms.is_(None))
                .order_by(awards.c.at_ms, awards.c.badge)
            )
            balance = connection.scalar(sa.select(balances.c.balance).where(balances.c.participant_no == no))
            latest = newest_entries(points.c.participant_no.in_(numbers)).limit(MAX_LISTED)
            facts = (
                sa.select(effects.c.event_id, effects.c.at_ms, effects.c.detail)
                .where(effects.c.participant_no.in_(numbers), effects.c.kind == "fact", effects.c.generation == 0)
                .order_by(effects.c.event_id.desc(), effects.c.rule_no)
                .limit(MAX_LISTED)
            )
            return Score(
                state,
                [Award(whole, row.badge, row.event_id, row.at_ms) for row in connection.execute(held)],
                int(balance or 0),
                [entry_of(row) for row in connection.execute(latest)],
                [KeptFact(row[0], row[1], msgspec.json.decode(row[2])) for row in connection.execute(facts)],
            )

    def challenge_counts(self, tenant: Tenant, rule_nos: Sequence[int], /) -> Mapping[int, tuple[int, int]]:
        """See the Scores port."""
        asked = (
            sa.select(
                standings.c.rule_no,
                sa.func.count(),
                sa.func.sum(sa.case((standings.c.completions > 0, 1), else_=0)),
            )
            .join(participants, participants.c.no == standings.c.participant_no)
            .where(*_of(tenant), standings.c.rule_no.in_(rule_nos))
            .group_by(standings.c.rule_no)
        )
        with reading(self._engine) as connection:
            return {row[0]: (row[1], int(row[2])) for row in connection.execute(asked)}

    def leaderboard(
        self, tenant: Tenant, rule_no: int, limit: int, offset: int, /, around: str | None = None
    ) -> Board | None:
        """See the Scores port."""
        rows = (
            sa.select(participants.c.name, standings.c.completions, standings.c.rank, standings.c.best)
            .join(participants, participants.c.no == standings.c.participant_no)
            .where(*_of(tenant), standings.c.rule_no == rule_no)
            .subquery()
        )
        with reading(self._engine) as connection:
            board = BoardRows(connection, rows, ("completions", "rank"))
            if around is None:
                return board.page(limit, offset)
            return board.around(whole_of(connection, tenant, around)[0], limit)

    def holder_counts(self, tenant: Tenant, /) -> Mapping[str, int]:
        """See the Scores port."""
        asked = (
            sa.select(awards.c.badge, sa.func.count())
            .join(participants, participants.c.no == awards.c.participant_no)
            .where(*_of(tenant), awards.c.stands, awards.c.revoked_at_ms.is_(None))
            .group_by(awards.c.badge)
        )
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(asked)}

    def holders(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Award]:
        """See the Scores port."""
        own = participants.alias()
        asked = (
            sa.select(participants.c.name, awards.c.badge, awards.c.event_id, awards.c.at_ms)
            .join(own, own.c.no == awards.c.participant_no)
            .join(participants, participants.c.no == sa.func.coalesce(own.c.whole_no, own.c.no))
            .where(*_of(tenant), awards.c.badge == badge, awards.c.stands, awards.c.revoked_at_ms.is_(None))
            .order_by(awards.c.at_ms.desc(), participants.c.name)
            .limit(limit)
            .offset(offset)
        )
        with reading(self._engine) as connection:
            return [Award(*row) for row in connection.execute(asked)]


def _of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return participants.c.project == tenant.project, participants.c.mode == tenant.mode
