"""Shows journeys and their runs, and cancels or retries runs."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from headrace.assembly.capabilities.asking import Answer, ask_control
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.journey_document import JourneyRule
from headrace.model.journeys import ListedRun, RunCount, Status
from headrace.pipeline.journeys import RunChanges
from headrace.pipeline.rulesets import RuleCache
from headrace.ports.journeys import JourneyRuns, JourneyVersions

Found: TypeAlias = tuple[str, JourneyRule | None, str | None, Sequence[RunCount]]
"""A journey's id, the rule and version in force (None if it is no longer in force), and the counts of its runs."""


class JourneyAdmin:
    """Journeys and their runs. Every method waits until everything acknowledged before the call has been reacted to.

    Raises NotFound, InvalidRequest, Unavailable.
    """

    def __init__(
        self,
        rules: RuleCache,
        runs: JourneyRuns,
        versions: JourneyVersions,
        changes: RunChanges,
        *,
        settled: Callable[[Tenant], Awaitable[None]],
        clock_ms: Callable[[], int],
    ) -> None:
        """settled: waits until the tenant's events have been reacted to."""
        self._rules = rules
        self._runs = runs
        self._versions = versions
        self._changes = changes
        self._settled = settled
        self._clock_ms = clock_ms

    async def listed(self, tenant: Tenant, /) -> list[Found]:
        """The journeys in force, in their order, then those of which only runs are left."""
        return await self._ask(tenant, lambda: self._found(tenant))

    async def one(self, tenant: Tenant, journey_id: str, /) -> Found:
        for each in await self.listed(tenant):
            if each[0] == journey_id:
                return each
        raise NotFound(f"There is no journey {journey_id[:80]!r}.")

    async def runs(
        self,
        tenant: Tenant,
        journey_id: str,
        status: Status | None,
        before: tuple[int, str] | None,
        limit: int,
        /,
        person: str = "",
    ) -> list[ListedRun]:
        """See JourneyRuns.listed."""
        await self.one(tenant, journey_id)
        return await self._ask(
            tenant, lambda: self._runs.listed(tenant, journey_id, status, before, limit, person=person)
        )

    async def run(self, tenant: Tenant, run_id: str, /) -> tuple[ListedRun, JourneyRule | None]:
        """A run and its version of the journey."""

        def find() -> tuple[ListedRun, JourneyRule | None]:
            listed = self._runs.get(tenant, run_id)
            text = self._versions.find([listed.run.rule_no]).get(listed.run.rule_no)
            return listed, None if text is None else msgspec.json.decode(text, type=JourneyRule)

        return await self._ask(tenant, find)

    async def steer(self, tenant: Tenant, run_id: str, action: Literal["cancel", "retry"], /) -> None:
        """Cancel an active run, or let a failed one try its step again."""
        await self._ask(tenant, lambda: self._changes.steer(tenant, run_id, action, self._clock_ms()))

    def _found(self, tenant: Tenant) -> list[Found]:
        running = self._rules.rules(tenant.project)
        counts: dict[str, list[RunCount]] = {}
        for each in self._runs.counts(tenant):
            counts.setdefault(each.journey, []).append(each)
        found: list[Found] = [
            (each.rule.id, each.rule, running.rules[each.no][2], counts.pop(each.rule.id, []))
            for each in running.journeys.current
        ]
        return found + [(journey_id, None, None, left) for journey_id, left in sorted(counts.items())]

    async def _ask(self, tenant: Tenant, question: Callable[[], Answer]) -> Answer:
        await self._settled(tenant)
        return await ask_control(question)
