"""Runs of journeys, for queries and for the loop that works on them: see ports/journeys.py."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.journeys import prune_runs, run_of
from headrace.control.leases import ControlLeases, require
from headrace.control.participants import whole_of
from headrace.control.tables.journeys import emits, journeys, replies, run_counts, runs
from headrace.control.tables.rules import rules
from headrace.control.tables.scores import participants
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.journeys import STATUSES, Answered, Emitted, ListedRun, RunCount, Status
from headrace.model.lease import Lease

LEASE = "timers"
_OWN, _WHOLE = participants.alias(), participants.alias()  # the participant that a run is of, and the person
_emitted_decoder = msgspec.json.Decoder(Emitted)


class ControlJourneys:
    """Fits JourneyVersions and JourneyRuns. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def running(self, project: str, /) -> Mapping[int, str]:
        """See JourneyVersions."""
        going = sa.select(run_counts.c.rule_no).where(
            run_counts.c.project == project, run_counts.c.step == "", run_counts.c.outcome == "active"
        )
        asked = sa.select(journeys).where(journeys.c.rule_no.in_(going.where(run_counts.c.runs > 0)))
        with reading(self._engine) as connection:
            return {row.rule_no: row.definition for row in connection.execute(asked)}

    def find(self, rule_nos: Sequence[int], /) -> Mapping[int, str]:
        """See JourneyVersions."""
        with reading(self._engine) as connection:
            asked = sa.select(journeys).where(journeys.c.rule_no.in_(sorted(rule_nos)))
            return {row.rule_no: row.definition for row in connection.execute(asked)}

    def counts(self, tenant: Tenant, /) -> list[RunCount]:
        """See JourneyRuns."""
        held = run_counts.c
        asked = (
            sa.select(held.rule_no, rules.c.rule_id, rules.c.version, held.step, held.outcome, held.runs)
            .join(rules, rules.c.no == held.rule_no)
            .where(held.project == tenant.project, held.mode == tenant.mode, held.runs > 0)
            .order_by(held.rule_no, held.step, held.outcome)
        )
        with reading(self._engine) as connection:
            return [RunCount(*row) for row in connection.execute(asked)]

    def listed(
        self,
        tenant: Tenant,
        journey: str,
        status: Status | None,
        before: tuple[int, str] | None,
        limit: int,
        /,
        person: str = "",
    ) -> list[ListedRun]:
        """See JourneyRuns."""
        found: list[tuple[int, str, ListedRun]] = []
        with reading(self._engine) as connection:
            theirs: list[sa.ColumnElement[bool]] = []
            if person:
                theirs.append(runs.c.participant_no.in_(whole_of(connection, tenant, person)[1]))
            for each in (status,) if status else STATUSES:  # each reads a short range of the index
                asked = _listed(tenant).where(runs.c.journey == journey, runs.c.status == each, *theirs)
                if before is not None:
                    asked = asked.where(sa.tuple_(runs.c.started_ms, runs.c.id) < sa.tuple_(*map(sa.literal, before)))
                asked = asked.order_by(runs.c.started_ms.desc(), runs.c.id.desc()).limit(limit)
                found += [(row.started_ms, row.id, _one(row)) for row in connection.execute(asked)]
        return [run for _, _, run in sorted(found, key=lambda each: each[:2], reverse=True)[:limit]]

    def get(self, tenant: Tenant, run_id: str, /) -> ListedRun:
        """See JourneyRuns. Raises NotFound."""
        with reading(self._engine) as connection:
            row = connection.execute(_listed(tenant).where(runs.c.id == run_id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no run {run_id[:80]!r}.")
        return _one(row)

    def awaited(self, project: str, /) -> list[tuple[int, str, str, int]]:
        """See JourneyRuns."""
        columns = (runs.c.rule_no, runs.c.step, runs.c.waiting)
        asked = (
            sa.select(*columns, sa.func.count())
            .where(runs.c.project == project, runs.c.status == "active")
            .group_by(*columns)
            .order_by(*columns)
        )
        with reading(self._engine) as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(asked)]


class ControlJourneyWork:
    """Fits JourneyWork, under the lease `timers`, and Replies. For one thread, except `keep`."""

    def __init__(self, engine: sa.Engine, leases: ControlLeases) -> None:
        self._engine = engine
        self._leases = leases
        self._lease: Lease | None = None

    def claim(self, owner: str, /) -> Callable[[object], None] | None:
        """See JourneyWork."""
        if self._lease is None or not self._leases.renews(self._lease):
            self._lease = self._leases.take(LEASE, owner)
        lease = self._lease
        if lease is None:
            return None

        def check(transaction: object) -> None:
            assert isinstance(transaction, sa.Connection)  # noqa: S101
            require(transaction, lease)

        return check

    def next_due(self) -> Mapping[Tenant, int]:
        """See JourneyWork."""
        columns = (runs.c.project, runs.c.mode)
        asked = sa.select(*columns, sa.func.min(runs.c.due_ms)).where(runs.c.due_ms.is_not(None)).group_by(*columns)
        with reading(self._engine) as connection:
            return {Tenant(project, mode): due_ms for project, mode, due_ms in connection.execute(asked)}

    def due(self, tenant: Tenant, upto_ms: int, limit: int, /) -> list[tuple[int, str]]:
        """See JourneyWork."""
        asked = (
            sa.select(runs.c.due_ms, runs.c.id)
            .where(runs.c.project == tenant.project, runs.c.mode == tenant.mode)
            .where(runs.c.due_ms.is_not(None), runs.c.due_ms <= upto_ms)
            .order_by(runs.c.due_ms, runs.c.id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(asked)]

    def emits(self, limit: int, without: Collection[Tenant] = (), /) -> list[tuple[int, Tenant, Emitted]]:
        """See JourneyWork."""
        asked = sa.select(emits).order_by(emits.c.no).limit(limit)
        for each in without:
            asked = asked.where(sa.or_(emits.c.project != each.project, emits.c.mode != each.mode))
        with reading(self._engine) as connection:
            rows = connection.execute(asked).all()
        return [(row.no, Tenant(row.project, row.mode), _emitted_decoder.decode(row.emitted)) for row in rows]

    def emitted(self, numbers: Sequence[int], /) -> None:
        """See JourneyWork."""

        def drop(connection: sa.Connection) -> None:
            connection.execute(sa.delete(emits).where(emits.c.no.in_(list(numbers))))

        transact(self._engine, drop)

    def has_old(self, before_ms: int, /) -> bool:
        """See RunPruning."""
        with reading(self._engine) as connection:
            return connection.scalar(sa.select(runs.c.id).where(runs.c.ended_ms < before_ms).limit(1)) is not None

    def prune(self, before_ms: int, most: int, check: Callable[[object], None], /) -> int:
        """See RunPruning."""

        def work(connection: sa.Connection) -> int:
            gone = prune_runs(connection, before_ms, most)
            check(connection)
            return gone

        return transact(self._engine, work)

    def keep(self, transaction: object, answered: Sequence[Answered], /) -> None:
        """Save the outcomes of calls, in the transaction in which they end. Any thread may call this."""
        assert isinstance(transaction, sa.Connection)  # noqa: S101
        rows = [
            {"key": each.key, "project": each.tenant.project, "mode": each.tenant.mode, "run_id": each.run_id}
            | {"attempt": each.attempt, "at_ms": each.at_ms, "reply": each.reply, "problem": each.problem}
            for each in answered
        ]
        if rows:
            transaction.execute(insert(transaction, replies).on_conflict_do_nothing(), rows)

    def waiting(self, limit: int, /) -> list[Answered]:
        """See Replies."""
        with reading(self._engine) as connection:
            first = connection.execute(sa.select(replies.c.project, replies.c.mode).limit(1)).one_or_none()
            if first is None:
                return []
            own = (replies.c.project == first.project, replies.c.mode == first.mode)
            rows = connection.execute(
                sa.select(replies).where(*own).order_by(replies.c.at_ms, replies.c.key).limit(limit)
            ).all()
        return [
            Answered(
                *(row.key, Tenant(row.project, row.mode), row.run_id, row.attempt),
                *(row.at_ms, row.reply, row.problem),
            )
            for row in rows
        ]

    def done(self, transaction: object, keys: Sequence[str], /) -> None:
        """See Replies."""
        assert isinstance(transaction, sa.Connection)  # noqa: S101
        transaction.execute(sa.delete(replies).where(replies.c.key.in_(list(keys))))


def runs_by_id(connection: sa.Connection, tenant: Tenant, run_ids: Sequence[str], /) -> list[ListedRun]:
    """The tenant's runs with some ids, in that order."""
    rows = connection.execute(_listed(tenant).where(runs.c.id.in_(list(run_ids))))
    found = {row.id: _one(row) for row in rows}
    return [found[run_id] for run_id in run_ids if run_id in found]


def _listed(tenant: Tenant) -> sa.Select[Any, Any, Any, Any, Any, Any]:
    columns = (runs.c.id, runs.c.started_ms, runs.c.state, runs.c.rule_no)
    return (
        sa.select(*columns, rules.c.version, _WHOLE.c.name.label("person"))
        .join(rules, rules.c.no == runs.c.rule_no)
        .join(_OWN, _OWN.c.no == runs.c.participant_no)
        .join(_WHOLE, _WHOLE.c.no == sa.func.coalesce(_OWN.c.whole_no, _OWN.c.no))
        .where(runs.c.project == tenant.project, runs.c.mode == tenant.mode)
    )


def _one(row: Any) -> ListedRun:
    return ListedRun(run_of(row), row.version, row.person)
