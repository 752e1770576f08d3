"""The rules that are put aside, for the reactor: cached between turns, and read again if others have saved."""

import structlog

from headrace.model.event import Tenant
from headrace.model.reaction_state import Overrun, State
from headrace.ports.rules import Overruns
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.overruns import Limits, follow
from headrace.reactions.ruleset import RuleSet

_log = structlog.get_logger("headrace.reactor")


class OverrunWatch:
    """A cache for the reactor's thread. Each entry belongs to one version of a tenant's state (see ReactionStates)."""

    def __init__(self, overruns: Overruns, limits: Limits) -> None:
        self._overruns = overruns
        self._limits = limits
        self._known: dict[Tenant, tuple[int, dict[int, Overrun]]] = {}

    def of(self, tenant: Tenant, /) -> dict[int, Overrun]:
        """A copy by rule number, for judging and counting. Raises ControlFailed."""
        if tenant not in self._known:
            version, found = self._overruns.load(tenant)
            self._known[tenant] = version, dict(found)
        return dict(self._known[tenant][1])

    def still_holds(self, tenant: Tenant, version: int, /) -> bool:
        """Whether `of`'s result also holds for this version of the state. If not, call `of` again. Raises ControlFailed."""
        known_version, known = self._known[tenant]
        if known_version == version:
            return True
        found_version, found = self._overruns.load(tenant)
        self._known[tenant] = found_version, dict(found)
        return found == known

    def follow(self, rules: RuleSet, seen: EventFacts, held: dict[int, Overrun], state: State, /) -> bool:
        """Count one event. Returns whether a rule was put aside at it."""
        return follow(rules, seen, held, self._limits, state)

    def saved(self, tenant: Tenant, rules: RuleSet, held: dict[int, Overrun], state: State, /) -> None:
        """The state was saved: log the rules that were put aside."""
        self._known[tenant] = state.version + 1, held
        for rule_no, overrun in state.overruns.items():
            if overrun is not None and overrun.is_aside:
                _, rule, _ = rules.rules[rule_no]
                _log.warning(
                    "rule_put_aside",
                    project=tenant.project,
                    mode=tenant.mode,
                    rule=rule.id,
                    events=overrun.events,
                    event_id=overrun.event_id,
                    why=overrun.why,
                )

    def forget(self, tenant: Tenant, /) -> None:
        """Drop the entry, because somebody else has saved or may have."""
        self._known.pop(tenant, None)
