"""Shows the rules in force and applies new ones."""

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from headrace.assembly.capabilities.asking import ask_control
from headrace.assembly.clock import clock_ms
from headrace.assembly.figures import reaction_lags
from headrace.assembly.runtime import Runtime
from headrace.model.errors import NotFound
from headrace.model.event import MODES, Tenant
from headrace.model.filters import Filters, Page
from headrace.model.rulebook import Fired, PassedOver, PutAside, Version
from headrace.model.status import Lag
from headrace.pipeline.applying_rules import Applied, apply_rules
from headrace.pipeline.rule_drafts import candidate, source_of
from headrace.pipeline.rulesets import InForce, in_force
from headrace.ports.store import Reader
from headrace.reactions.ruleset import RuleSet

_MOST_DOCUMENTS = 50  # of a project's history of rules


class CausedBy(msgspec.Struct, frozen=True):
    """How many effects of a kind a rule would have."""

    kind: str
    rule: str
    count: int


class WouldCause(msgspec.Struct, frozen=True):
    """What the newest events would cause by a document: effects that they have not had under the same version of the same rule.

    events: how many were judged. failed: at how many of them the reactions failed. suppressed: effects that they already had.
    """

    events: int
    failed: int
    suppressed: int
    effects: list[CausedBy]


class RuleAdmin:
    """A project's rules. Raises Unavailable, InvalidRules."""

    def __init__(self, runtime: Runtime) -> None:
        self._rulebook = runtime.control.rulebook
        self._overruns = runtime.control.overruns
        self._awaited = runtime.control.journeys.awaited
        self._cache = runtime.reacting.rules
        self._last = runtime.log.last
        self._queries = runtime.queries
        self._freshness = runtime.pipeline.freshness
        self._reactions = runtime.reacting.reactions
        self._runtime = runtime

    async def show(self, project: str, /) -> tuple[InForce | None, list[Version], RuleSet]:
        """The rules in force, the documents applied last, and the rules as they run."""
        found = await ask_control(lambda: in_force(self._rulebook, project))
        history = await ask_control(lambda: self._rulebook.history(project, _MOST_DOCUMENTS))
        return found, history, await ask_control(lambda: self._cache.rules(project))

    async def running(self, project: str, /) -> RuleSet:
        """The rules as they run; empty for a project that never had any."""
        return await ask_control(lambda: self._cache.rules(project))

    async def progress(self, project: str, /) -> list[tuple[Lag, int]]:
        """For each mode: how far its reactions are behind, and on how many of its events no rule was evaluated."""
        counts = await ask_control(lambda: self._rulebook.passed_over_by_all(project))
        behind = {lag.tenant: lag for lag in reaction_lags(self._runtime)}
        tenants = [Tenant(project, mode) for mode in MODES]
        return [(behind.get(each) or Lag(each, 0, 0.0), counts.get(each.mode, 0)) for each in tenants]

    async def put_aside(self, project: str, /) -> list[PutAside]:
        """The rules that are no longer evaluated for new events of a mode."""
        return await ask_control(lambda: self._overruns.put_aside(project))

    async def fired(self, tenant: Tenant, /) -> Mapping[int, Fired]:
        """By number: how often the rules have fired in the mode."""
        return await ask_control(lambda: self._rulebook.fired(tenant))

    async def passed_over(
        self, tenant: Tenant, rule: tuple[str, str, str | None] | None, after: str, limit: int, /
    ) -> list[PassedOver]:
        """The tenant's events on which a rule was not evaluated, ordered by id, after an id.

        rule: kind, id and version (None: the version in force); None for the events on which no rule at all was evaluated.
        Raises NotFound for an unknown rule.
        """
        number = 0 if rule is None else await ask_control(lambda: self._number(tenant.project, *rule))
        return await ask_control(lambda: self._rulebook.passed_over(tenant, number, after, limit))

    def _number(self, project: str, kind: str, rule_id: str, version: str | None) -> int:
        if version is None:
            for number, (its_kind, rule, _) in self._cache.rules(project).rules.items():
                if (its_kind, rule.id) == (kind, rule_id):
                    return number
        else:
            _, rows = self._rulebook.current(project) or (None, [])
            for row in rows:
                if (row.kind, row.rule_id, row.version) == (kind, rule_id, version):
                    return row.no
        raise NotFound(
            f"There is no such rule: {kind[:20]} {rule_id[:80]!r}{f', version {version[:80]!r}' if version else ''}."
        )

    async def version(self, project: str, version: str, /) -> Version:
        """The latest application of a version. Raises NotFound."""
        found = await ask_control(lambda: self._rulebook.applied(project, version))
        if found is None:
            raise NotFound(f"This project never had rules of version {version[:80]!r}.")
        return found

    def source_of(self, version: Version, /) -> str:
        """The text that was applied."""
        return source_of(version)

    async def rehearse(self, tenant: Tenant, document: bytes, count: int, /) -> WouldCause:
        """What the newest events of a tenant would cause by a document. Also raises what queries raise."""
        rules = await ask_control(lambda: candidate(self._rulebook, tenant.project, document))
        await self._freshness.settled(tenant)

        def judge(reader: Reader) -> WouldCause:
            events = reader.events(tenant, Filters(), Page(limit=count)).events[::-1]
            outcome = self._reactions.judge(tenant, rules, events)
            found = Counter((effect.kind, effect.rule) for effect in outcome.effects)
            effects = [CausedBy(*each, number) for each, number in found.items()]
            return WouldCause(len(events), len(outcome.failed), outcome.suppressed, effects)

        return await self._queries.ask(judge)

    async def apply(
        self,
        project: str,
        document: bytes,
        /,
        *,
        dry_run: bool,
        move_runs: bool = False,
        replaces: Callable[[str], bool] = lambda _: True,
    ) -> Applied:
        """See `apply_rules`."""
        return await ask_control(
            lambda: apply_rules(
                *(self._rulebook, project, document, clock_ms()),
                last=self._last,
                dry_run=dry_run,
                move_runs=move_runs,
                replaces=replaces,
                awaited=self._awaited,
            )
        )
