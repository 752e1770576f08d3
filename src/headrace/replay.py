"""Replay: stored events through the reactions again. Reads and reacts; adds no event and changes no count."""

import msgspec

from headrace.event import Tenant, parse_id
from headrace.filters import MAX_REPLAY, Page, Selection
from headrace.ports import Effect, Reader
from headrace.reactions import stage


class Replayed(msgspec.Struct, frozen=True):
    """`events` went through the reactions and set off `effects`; `suppressed` effects had been set off before.

    `unknown` are the selected ids, as they were sent, that no event has.
    """

    events: int
    unknown: list[str]
    effects: list[Effect]
    suppressed: int


def replay(reader: Reader, tenant: Tenant, selection: Selection, /, *, force: bool) -> Replayed:
    """Run the selected events through the reactions, oldest first, each once. Raises what the reader raises."""
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
    outcome = stage.replay(events, force=force)
    return Replayed(len(events), unknown, outcome.effects, outcome.suppressed)
