"""The rules of each project: the document in force, its history, and a number for each version of a rule's meaning.

Stores documents unchanged; only the reactions know what is in them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.journeys import keep_versions, move_runs
from headrace.control.locks import lock_project
from headrace.control.tables.reactions import reaction_progress
from headrace.control.tables.rules import firings, overruns, passed_over, rule_sets, rules
from headrace.model.audit import add_detail
from headrace.model.errors import OtherRules
from headrace.model.event import Tenant
from headrace.model.journeys import JourneyVersion
from headrace.model.rulebook import Application, Fired, PassedOver, RuleRow, Version


class Rulebook:
    """The rules in the control database. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def rule_set_ids(self) -> dict[str, int]:
        """See the RuleStore port."""
        asked = sa.select(rule_sets.c.project, sa.func.max(rule_sets.c.id)).group_by(rule_sets.c.project)
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(asked)}

    def timeline(self, project: str, after: int, /) -> list[tuple[int, Version, list[RuleRow]]]:
        """See the RuleStore port."""
        own = rule_sets.c.project == project
        with reading(self._engine) as connection:
            first = connection.scalar(
                sa.select(sa.func.max(rule_sets.c.id)).where(own, rule_sets.c.from_position <= after)
            )
            rows = connection.execute(
                sa.select(rule_sets).where(own, rule_sets.c.id >= (first or 0)).order_by(rule_sets.c.id)
            ).all()
            known = [RuleRow(*each) for each in connection.execute(_known(project))]
        return [
            (row.from_position, Version(row.id, row.version, row.applied_at_ms, row.document), known) for row in rows
        ]

    def current(self, project: str, /) -> tuple[Version, list[RuleRow]] | None:
        """See the RuleStore port."""
        with reading(self._engine) as connection:
            row = connection.execute(_current(project)).one_or_none()
            if row is None:
                return None
            known = connection.execute(_known(project)).all()
        return Version(*row), [RuleRow(*each) for each in known]

    def failures(self, limit: int, /) -> list[tuple[str, str, int]]:
        """See the RuleHistory port."""
        failed = sa.func.sum(rules.c.failures)
        place = sa.func.row_number().over(partition_by=rules.c.project, order_by=(failed.desc(), rules.c.rule_id))
        asked = (
            sa.select(rules.c.project, rules.c.rule_id, failed.label("failed"), place.label("place"))
            .where(rules.c.failures > 0)
            .group_by(rules.c.project, rules.c.rule_id)
            .subquery()
        )
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(asked).where(asked.c.place <= limit))
            return [(row.project, row.rule_id, int(row.failed)) for row in rows]

    def passed_over(self, tenant: Tenant, rule_no: int, after: str, limit: int, /) -> list[PassedOver]:
        """See the PassedOverEvents port."""
        asked = (
            sa.select(passed_over.c.event_id, passed_over.c.why)
            .where(passed_over.c.project == tenant.project, passed_over.c.mode == tenant.mode)
            .where(passed_over.c.rule_no == rule_no, passed_over.c.event_id > after)
            .order_by(passed_over.c.event_id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [PassedOver(*row) for row in connection.execute(asked)]

    def fired(self, tenant: Tenant, /) -> Mapping[int, Fired]:
        """See the RuleHistory port."""
        asked = (
            sa.select(firings.c.rule_no, firings.c.fired, firings.c.last_event)
            .join(rules, rules.c.no == firings.c.rule_no)
            .where(rules.c.project == tenant.project, firings.c.mode == tenant.mode)
        )
        with reading(self._engine) as connection:
            return {row.rule_no: Fired(row.fired, row.last_event) for row in connection.execute(asked)}

    def passed_over_by_all(self, project: str, /) -> Mapping[str, int]:
        """See the PassedOverEvents port."""
        asked = (
            sa.select(passed_over.c.mode, sa.func.count())
            .where(passed_over.c.project == project, passed_over.c.rule_no == 0)
            .group_by(passed_over.c.mode)
        )
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(asked)}

    def history(self, project: str, limit: int, /) -> list[Version]:
        """See the RuleHistory port."""
        asked = (
            sa.select(rule_sets.c.id, rule_sets.c.version, rule_sets.c.applied_at_ms)
            .where(rule_sets.c.project == project)
            .order_by(rule_sets.c.id.desc())
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [Version(row.id, row.version, row.applied_at_ms, "") for row in connection.execute(asked)]

    def applied(self, project: str, version: str, /) -> Version | None:
        """See the RuleHistory port."""
        asked = _applied(project).where(rule_sets.c.version == version).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(asked).one_or_none()
        return Version(*row) if row else None

    def apply(
        self,
        application: Application,
        now_ms: int,
        last: Callable[[], int],
        /,
        replaces: Callable[[str], bool] = lambda _: True,
    ) -> bool:
        """See the RuleStore port."""
        project, version, source = application.project, application.version, application.source

        def put(connection: sa.Connection) -> bool:
            # The greatest id is in force, so ids must follow the order of the commits.
            lock_project(connection, project, now_ms)
            row = connection.execute(_current(project)).one_or_none()
            if not replaces(found := str(row.version) if row else ""):
                raise OtherRules(found)
            _rename(connection, project, application.renamed)
            is_back = _bring_back(connection, project, application.meanings)
            is_new = is_back or row is None or row.version != version
            if is_new and application.meanings:
                added = insert(connection, rules).on_conflict_do_nothing()
                connection.execute(added, [_new_rule(project, *each) for each in application.meanings])
            if application.journeys:
                _keep_journeys(connection, project, application.journeys, move=application.move)
            add_detail(f"version {version}" if is_new else f"version {version}, which was in force", project=project)
            if not is_new:
                if row is not None and source and source != row.source:
                    connection.execute(sa.update(rule_sets).where(rule_sets.c.id == row.id).values(source=source))
                return False
            values: dict[str, object] = {"project": project, "version": version, "document": application.document}
            values |= {"source": source, "applied_at_ms": now_ms, "from_position": last()}
            connection.execute(sa.insert(rule_sets).values(values))
            return True

        return transact(self._engine, put)


def _rename(connection: sa.Connection, project: str, renamed: Sequence[tuple[str, str, str, str]]) -> None:
    if not renamed:
        return
    known = {(row.kind, row.rule_id, row.version): row.no for row in connection.execute(_known(project))}
    for kind, rule_id, former, now in renamed:
        number = known.get((kind, rule_id, former))
        if number is not None and (kind, rule_id, now) not in known:
            known[kind, rule_id, now] = number
            connection.execute(sa.update(rules).where(rules.c.no == number).values(version=now))


def _bring_back(connection: sa.Connection, project: str, meanings: Sequence[tuple[str, str, str]]) -> bool:
    """Let the rules of a document that were put aside be evaluated again. Returns whether there are any.

    If events are being judged as if the rules were still put aside, that save finds the state changed and is repeated.
    """
    wanted = set(meanings)
    aside = connection.execute(
        sa.select(rules.c.no, rules.c.kind, rules.c.rule_id, rules.c.version, overruns.c.mode)
        .join(overruns, overruns.c.rule_no == rules.c.no)
        .where(overruns.c.project == project, overruns.c.is_aside)
    ).all()
    found = [row for row in aside if (row.kind, row.rule_id, row.version) in wanted]
    for mode in sorted({row.mode for row in found}):
        own = reaction_progress.c.project == project, reaction_progress.c.mode == mode
        more = {"version": reaction_progress.c.version + 1}
        connection.execute(sa.update(reaction_progress).where(*own).values(more))
        numbers = [row.no for row in found if row.mode == mode]
        of_mode = overruns.c.project == project, overruns.c.mode == mode
        connection.execute(sa.delete(overruns).where(*of_mode, overruns.c.rule_no.in_(numbers)))
    return bool(found)


def _keep_journeys(connection: sa.Connection, project: str, versions: Sequence[JourneyVersion], *, move: bool) -> None:
    known = sa.select(rules.c.rule_id, rules.c.version, rules.c.no).where(
        rules.c.project == project, rules.c.kind == "journey"
    )
    numbers = {(row.rule_id, row.version): row.no for row in connection.execute(known)}
    keep_versions(connection, {numbers[each.id, each.version]: each.definition for each in versions})
    if move:
        move_runs(connection, project, [(each.id, numbers[each.id, each.version], each.waits) for each in versions])


def _applied(project: str) -> sa.Select[Any, Any, Any, Any, Any]:
    """Newest first."""
    own = rule_sets.c
    columns = (own.id, own.version, own.applied_at_ms, own.document, own.source)
    return sa.select(*columns).where(own.project == project).order_by(own.id.desc())


def _current(project: str) -> sa.Select[Any, Any, Any, Any, Any]:
    return _applied(project).limit(1)


def _known(project: str) -> sa.Select[Any, Any, Any, Any, Any, Any, Any, Any]:
    columns = (rules.c.no, rules.c.kind, rules.c.rule_id, rules.c.version)
    failed = (rules.c.failures, rules.c.failed_event, rules.c.failed_why, rules.c.passed_over)
    return sa.select(*columns, *failed).where(rules.c.project == project).order_by(rules.c.no)


def _new_rule(project: str, kind: str, rule_id: str, version: str) -> Mapping[str, object]:
    named = {"project": project, "kind": kind, "rule_id": rule_id, "version": version}
    return named | {"failures": 0, "failed_event": "", "failed_why": "", "passed_over": 0}
