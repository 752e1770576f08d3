"""The scoreboard and the ledger, read and corrected once everything acknowledged before has been reacted to."""

from collections.abc import Callable

from headrace.assembly.capabilities.asking import Answer, ask_control
from headrace.assembly.clock import clock_ms
from headrace.assembly.runtime import Runtime
from headrace.model.event import Tenant
from headrace.model.filters import Filters, Page
from headrace.model.ledger import Grant, Granted, Revocation
from headrace.ports.ledger import Ledger
from headrace.ports.scores import Scores
from headrace.reactions.ruleset import RuleSet


class SettledScoreboard:
    """Methods wait until everything acknowledged before the call has been reacted to, unless they say otherwise.

    All raise Unavailable.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._freshness = runtime.pipeline.freshness
        self._rules = runtime.reacting.rules
        self._scoreboard = runtime.control.scoreboard
        self._ledger = runtime.control.ledger
        self._grants = runtime.control.grants
        self._queries = runtime.queries

    async def ask(self, tenant: Tenant, question: Callable[[Scores, RuleSet], Answer], /) -> tuple[Answer, RuleSet]:
        """The answer, and the tenant's rules as they were for it. Also raises what the question raises."""
        await self._freshness.settled(tenant)

        def answer() -> tuple[Answer, RuleSet]:
            rules = self._rules.rules(tenant.project)
            return question(self._scoreboard, rules), rules

        return await ask_control(answer)

    async def ask_ledger(self, tenant: Tenant, question: Callable[[Ledger], Answer], /) -> Answer:
        """The answer. Also raises what the question raises."""
        await self._freshness.settled(tenant)
        return await ask_control(lambda: question(self._ledger))

    async def grant(self, tenant: Tenant, grant: Grant, key: str, /) -> Granted:
        """See the Grants port. Also raises Conflict."""
        await self._freshness.settled(tenant)
        return await ask_control(lambda: self._grants.grant(tenant, grant, key, clock_ms()))

    async def revoke(self, tenant: Tenant, badge: str, participant: str, reason: str, /) -> Revocation:
        """See the Grants port. Also raises NotFound."""
        await self._freshness.settled(tenant)
        return await ask_control(lambda: self._grants.revoke(tenant, badge, participant, reason, clock_ms()))

    async def revocations(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Revocation]:
        """See the Grants port. Waits for nothing: events revoke no badge."""
        return await ask_control(lambda: self._grants.revocations(tenant, badge, limit, offset))

    async def count_events(self, tenant: Tenant, participant: str, /) -> int:
        """How many events a participant has sent. Waits only until the store has them."""
        page = Page(limit=1)
        return await self._queries.ask(lambda reader: reader.events(tenant, Filters(person=participant), page).total)
