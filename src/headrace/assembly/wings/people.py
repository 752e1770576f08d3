"""People: who waits until what events said of them is known, and undoing a merge."""

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.people_freshness import PeopleFreshness, merged_ids, whole_person
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.assembly.wings.reactions import ReactionWing
from headrace.pipeline.people import PeopleAdmin


class PeopleWing(msgspec.Struct, frozen=True):
    admin: PeopleAdmin
    freshness: PeopleFreshness


def people_of(
    adapters: Adapters, control: ControlAdapters, reacting: ReactionWing, pipeline: PipelineWing, /
) -> PeopleWing:
    """The store's readers learn from it which ids are one person's."""
    freshness = PeopleFreshness(pipeline.freshness, pipeline.watch)
    adapters.store.know_people(whole_person(control.people, freshness))
    adapters.store.know_merged(merged_ids(control.merged_ids, freshness))
    admin = PeopleAdmin(control.people, control.people_states, reacting.states, reacting.reactions)
    return PeopleWing(admin, freshness)
