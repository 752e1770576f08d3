"""Answers how far people go, whether they come back, and which way they take."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.funnels import (
    MAX_COHORTS,
    Cohort,
    FunnelAnswer,
    FunnelGroup,
    FunnelQuery,
    Path,
    PathsAnswer,
    PathsQuery,
    Reached,
    RetentionAnswer,
    RetentionQuery,
    Step,
)
from headrace.store.engine import Engine, NeedsMoreMemory
from headrace.store.known_people import KnownPeople
from headrace.store.queries import funnels as queries
from headrace.store.queries.conditions import Hot, Query

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class FunnelReader:
    """Part of the EventQueries port: see `analysis` for the other."""

    def __init__(self, engine: Engine, people: KnownPeople, hot: Hot, /) -> None:
        self._engine = engine
        self._people = people
        self._hot = hot

    def funnel(self, tenant: Tenant, query: FunnelQuery, /) -> FunnelAnswer:
        """See the EventQueries port."""
        query = msgspec.structs.replace(
            query,
            filters=self._people.meant(tenant, query.filters),
            steps=[self._meant_step(tenant, step) for step in query.steps],
        )
        with self._people.merged(tenant) as merged:
            rows = self._gathered(queries.funnel(tenant, query, merged.edition, self._hot))
        whole = next((_steps(row) for row in rows if not row[0]), [Reached(0, None, None)] * len(query.steps))
        if not query.breakdown:
            return FunnelAnswer(whole, merged=merged.complete)
        groups = [FunnelGroup(row[1], _steps(row)) for row in rows if row[0]]
        return FunnelAnswer(whole, groups[: query.limit], len(groups) > query.limit, merged.complete)

    def retention(self, tenant: Tenant, query: RetentionQuery, /) -> RetentionAnswer:
        """See the EventQueries port."""
        query = msgspec.structs.replace(
            query,
            filters=self._people.meant(tenant, query.filters),
            first=self._meant_step(tenant, query.first),
            returning=self._meant_step(tenant, query.returning),
        )
        with self._people.merged(tenant) as merged:
            rows = self._gathered(queries.retention(tenant, query, merged.edition, self._hot))
        found: dict[int, dict[int, int]] = {}
        for period, since, people in rows:
            found.setdefault(period, {})[since] = people
        if len(found) > MAX_COHORTS:
            raise InvalidRequest(
                f"There are more than {MAX_COHORTS} cohorts: narrow 'from' and 'to', or use a longer period."
            )
        cohorts = [
            Cohort(
                query.zone.first_of_day(_month_day(period) if query.period == "month" else period),
                people[-1],
                [people.get(since, 0) for since in range(query.periods)],
            )
            for period, people in sorted(found.items())
        ]
        return RetentionAnswer(cohorts, merged.complete)

    def paths(self, tenant: Tenant, query: PathsQuery, /) -> PathsAnswer:
        """See the EventQueries port."""
        query = msgspec.structs.replace(
            query, filters=self._people.meant(tenant, query.filters), start=self._meant_step(tenant, query.start)
        )
        with self._people.merged(tenant) as merged:
            rows = self._gathered(queries.paths(tenant, query, merged.edition, self._hot))
        if not rows:
            return PathsAnswer(0, 0, [], merged=merged.complete)
        (_, starts, users), *others = rows
        found = [Path(*row) for row in others]
        return PathsAnswer(starts, users, found[: query.limit], len(found) > query.limit, merged.complete)

    def _gathered(self, query: Query) -> list[list[Any]]:
        """Rows of a query that gathers people: on disk beyond half of its memory, so that there may be any number of them.

        If groups that are made of groups leave too little room, a quarter of the memory has to do.
        """
        with suppress(NeedsMoreMemory):
            return self._on_disk_beyond(self._engine.query_max_memory_bytes // 2, query, query.settings)
        return self._on_disk_beyond(self._engine.query_max_memory_bytes // 4, query, queries.FEW_BESIDE)

    def _on_disk_beyond(self, size: int, query: Query, settings: Mapping[str, int | str]) -> list[list[Any]]:
        settings = {**settings, "max_bytes_before_external_group_by": size, "compile_expressions": 1}
        return self._engine.rows(msgspec.structs.replace(query, settings=settings))

    def _meant_step(self, tenant: Tenant, step: Step) -> Step:
        return self._people.meant(tenant, Filters(conditions=step)).conditions


def _steps(row: list[Any]) -> list[Reached]:
    return [Reached(*each) for each in zip(*row[2:], strict=True)]


def _month_day(month: int) -> int:
    """The first day of a month, since 1970-01-01; the month's number is from the year 0 on."""
    return date(month // 12, month % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL
