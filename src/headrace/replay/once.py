"""Replay: stored events through the reactions again. Reads and reacts; adds no event and changes no count."""

import msgspec

from headrace.model.effects import Effect
from headrace.model.event import Tenant, parse_id
from headrace.model.filters import MAX_REPLAY, Page, Selection
from headrace.ports.control import Reactions
from headrace.ports.store import Reader

_SLICE = 500  # the worker waits while one runs


class Replayed(msgspec.Struct, frozen=True):
    """`events` went through the reactions and set off `effects`; `suppressed` effects had been set off before.

    `unknown` are the selected ids, as they were sent, that no event has; `failed` the ids of those that could not be
    reacted to, with what was wrong.
    """

    events: int
    unknown: list[str]
    failed: list[tuple[str, str]]
    effects: list[Effect]
    suppressed: int


def replay(
    reader: Reader, reactions: Reactions, tenant: Tenant, selection: Selection, /, *, force: bool, dry_run: bool
) -> Replayed:
    """Run the selected events through the reactions, oldest first, each once. Raises what the two raise."""
    unknown: list[str] = []
    if selection.ids is None:
        page = Page(limit=selection.limit or MAX_REPLAY, oldest_first=True)
        events = reader.events(tenant, selection.filters, page).events
    else:
        ids = {text: parse_id(text) for text in selection.ids}
        wanted = list(dict.fromkeys(event_id for event_id in ids.values() if event_id))
        events = reader.get(tenant, wanted)
        found = {event.id for event in events}
        unknown = [text for text, event_id in ids.items() if event_id not in found]
        events = events[: selection.limit]
    # A dry run goes through in one piece, for what an event would cause rests on what those before it would.
    size = len(events) or 1 if dry_run else _SLICE
    slices = [
        reactions.replay(tenant, events[start : start + size], force=force, dry_run=dry_run)
        for start in range(0, len(events), size)
    ]
    effects = [effect for outcome in slices for effect in outcome.effects]
    failed = [each for outcome in slices for each in outcome.failed]
    suppressed = sum(outcome.suppressed for outcome in slices)
    return Replayed(len(events) - len(failed), unknown, failed, effects, suppressed)
