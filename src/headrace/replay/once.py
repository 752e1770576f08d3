"""Small replays, at once: runs stored events through the reactions again. Adds no event and changes no count."""

import msgspec

from headrace.model.effects import Effect
from headrace.model.event import Tenant, parse_id
from headrace.model.filters import MAX_REPLAY, Page, Selection
from headrace.ports.reactions import Reactions
from headrace.ports.store import ReplayReader

_SLICE = 500  # the worker waits while one runs


class Replayed(msgspec.Struct, frozen=True):
    """`events` went through the reactions and caused `effects`; `suppressed` effects had been caused before.

    unknown: selected ids, as the client sent them, that belong to no event. failed: ids of events whose reactions failed, with
    the reason. left_out: how many more events were selected than the limit allows.
    """

    events: int
    unknown: list[str]
    failed: list[tuple[str, str]]
    effects: list[Effect]
    suppressed: int
    left_out: int


def replay(
    reader: ReplayReader, reactions: Reactions, tenant: Tenant, selection: Selection, /, *, force: bool, dry_run: bool
) -> Replayed:
    """Run the selected events through the reactions, oldest first, each once. Raises what reader and reactions raise."""
    unknown: list[str] = []
    if selection.ids is None:
        page = Page(limit=selection.limit or MAX_REPLAY, oldest_first=True)
        answer = reader.events(tenant, selection.filters, page)
        events, left_out = answer.events, answer.total - len(answer.events)
    else:
        ids = {text: parse_id(text) for text in selection.ids}
        wanted = list(dict.fromkeys(event_id for event_id in ids.values() if event_id))
        events = reader.get(tenant, wanted)
        found = {event.id for event in events}
        unknown = [text for text, event_id in ids.items() if event_id not in found]
        left_out = max(0, len(events) - (selection.limit or len(events)))
        events = events[: selection.limit]
    # A dry run is one piece, because the effects of an event depend on those of the events before it.
    size = len(events) or 1 if dry_run else _SLICE
    slices = [
        reactions.replay(tenant, events[start : start + size], force=force, dry_run=dry_run)
        for start in range(0, len(events), size)
    ]
    effects = [effect for outcome in slices for effect in outcome.effects]
    failed = [each for outcome in slices for each in outcome.failed]
    suppressed = sum(outcome.suppressed for outcome in slices)
    return Replayed(len(events) - len(failed), unknown, failed, effects, suppressed, left_out)
