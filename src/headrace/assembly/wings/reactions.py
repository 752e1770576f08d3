"""Rules, and what judges events by them. The thread that does so is the pipeline's."""

from collections.abc import Sequence

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.signals import Signals
from headrace.model.event import Tenant
from headrace.pipeline.journeys import WatchedStates
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleCache, RuleTimelines
from headrace.ports.store import Reader

_AT_ONCE = 500


class ReactionWing(msgspec.Struct, frozen=True):
    """states: see the ReactionStates port; changes of runs are signalled."""

    rules: RuleCache
    timelines: RuleTimelines
    states: WatchedStates
    reactions: Reactions

    def react_again(self, reader: Reader, tenant: Tenant, event_ids: Sequence[str], /) -> None:
        """React to events that were stored out of their turn. Raises Unavailable, InvalidRequest."""
        for start in range(0, len(event_ids), _AT_ONCE):
            found = reader.get(tenant, event_ids[start : start + _AT_ONCE])
            events = [event for event in found if not event.is_history]
            self.reactions.replay(tenant, events, force=False, dry_run=False)


def reactions_of(adapters: Adapters, control: ControlAdapters, signals: Signals, /) -> ReactionWing:
    timelines = RuleTimelines(control.rulebook, control.journeys)
    states = WatchedStates(control.reaction_states, signals.run_changed, control.people)
    reactions = Reactions(states, timelines, clock_ms, adapters.erased)
    return ReactionWing(RuleCache(control.rulebook), timelines, states, reactions)
