"""The store: ClickHouse through clickhouse-connect. Put together here; each part is described in its own file."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.ports.store import StoreFailed
from headrace.store.analysis import AnalysisReader
from headrace.store.answers import Answers
from headrace.store.catalog import CatalogReader
from headrace.store.copies import PartCopies
from headrace.store.engine import Engine, let_merges_give_way
from headrace.store.events import EventReader
from headrace.store.exports import ExportReader
from headrace.store.fence import InsertFence
from headrace.store.funnels import FunnelReader
from headrace.store.known_people import IdsOf, KnownPeople
from headrace.store.merged import MergedEditions, MergedIds
from headrace.store.metrics import MetricsReader
from headrace.store.migrations import migrate, require_current
from headrace.store.old_parts import recompress
from headrace.store.own_columns import OwnColumns
from headrace.store.people import PersonReader
from headrace.store.row_copies import RowCopies
from headrace.store.stderr import stderr_logged
from headrace.store.upkeep import UpkeepReader
from headrace.store.writer import EventWriter


class ClickHouseStore:
    """Fits the ErasableStore, AgingStore, OwnedEvents, CancellableReader, EventsInOrder, MatchingEvents, Exports, StoredTwins,
    FrozenParts, EmptyStore and CopiedRows ports.

    Its methods are those of its parts, bound once: a call costs nothing more for it.
    """

    def __init__(
        self,
        dsn: str,
        *,
        query_timeout_s: float = 30.0,
        query_max_memory_bytes: int = 1 << 29,
        hot_tags: Sequence[str] = (),
        max_page_bytes: int = 64 * 1024 * 1024,
        raise_fence: Callable[[], int] | None = None,
        fence_number: int = 0,
        remember_bytes: int = 0,
        recompress_after_s: float | None = None,
        is_owner: bool = True,
    ) -> None:
        """Connect and bring the schema up to date. Raises StoreFailed.

        is_owner: otherwise another process looks after the tables, and has to have brought them up to date if this one inserts.
        This one uses no columns that the other may drop.

        raise_fence, fence_number: for a store on a network: see `InsertFence`.
        hot_tags: tags that get their own column, which makes queries cheaper and changes no answer.
        remember_bytes: memory for results of what is asked `within` a scope. Only for a store that no other process writes to.
        recompress_after_s: how old events are once they are compressed harder, 0 for never; None leaves it as it was.
        """
        self._is_owner = is_owner
        self.answers = Answers(remember_bytes) if remember_bytes else None
        self.engine = engine = Engine(
            dsn,
            query_timeout_s=query_timeout_s,
            query_max_memory_bytes=query_max_memory_bytes,
            answers=self.answers,
        )
        try:
            # A server prints nothing here, and other threads may.
            with stderr_logged() if dsn.startswith("chdb:") else nullcontext():
                if is_owner:
                    migrate(engine)
                    if recompress_after_s is not None:
                        recompress(engine, recompress_after_s)
                elif raise_fence is not None:
                    require_current(engine)
                self.own = hot = OwnColumns(engine, hot_tags, are_used=is_owner)
                fence = None if raise_fence is None else InsertFence(engine, raise_fence, fence_number)
                if fence is not None:
                    fence.prepare()
            engine.on_asked = hot.on_asked
            if fence is None and is_owner:
                let_merges_give_way()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error
        self.people = people = KnownPeople()
        self.forget_merged = people.forget_merged
        self.asking, self.cancel, self.close = engine.asking, engine.cancel, engine.close
        self.within = engine.within

        writer = EventWriter(engine, fence)
        self.settle = _nothing if fence is None else fence.settle
        self.insert, self.probe, self.erase, self.prune = writer.insert, writer.probe, writer.erase, writer.prune
        upkeep = UpkeepReader(engine)
        self.present, self.last, self.held, self.damaged = upkeep.present, upkeep.last, upkeep.held, upkeep.damaged
        self.held_of = upkeep.held_of
        self.stored, self.owned, self.old = upkeep.stored, upkeep.owned, upkeep.old
        self.marked = upkeep.marked
        self.keyed, self.keyed_at = upkeep.keyed, upkeep.keyed_at
        copies = PartCopies(engine)
        self.freeze, self.frozen = copies.freeze, copies.frozen
        self.arriving_parts, self.attach = copies.arriving_parts, copies.attach
        ranges = RowCopies(engine)
        self.minutes, self.figures, self.rows, self.add_rows = (
            ranges.minutes,
            ranges.figures,
            ranges.rows,
            ranges.add_rows,
        )

        events = EventReader(engine, people, hot, max_page_bytes=max_page_bytes)
        self.events, self.get, self.oldest = events.events, events.get, events.oldest
        self.in_order, self.matching = events.in_order, events.matching
        self.count, self.stats = events.count, events.stats
        catalog = CatalogReader(engine)
        self.observed, self.catalog = catalog.observed, catalog.catalog
        metrics = MetricsReader(engine)
        self.metrics, self.metric, self.measure = metrics.metrics, metrics.metric, metrics.measure
        persons = PersonReader(engine)
        self.seen_by_id, self.seen_by_name = persons.seen_by_id, persons.seen_by_name
        self.measure_events = AnalysisReader(engine, people, hot, events).measure_events
        funnels = FunnelReader(engine, people, hot)
        self.funnel, self.retention, self.paths = funnels.funnel, funnels.retention, funnels.paths
        exports = ExportReader(engine, people, hot)
        self.left, self.places, self.whole = exports.left, exports.places, exports.whole
        self.columns, self.twins = exports.columns, exports.twins

    def know_people(self, ids_of: IdsOf, /) -> None:
        """From now on the filter `person` matches whole people."""
        self.people.ids_of = ids_of

    def know_merged(self, merged_ids: MergedIds, /) -> None:
        """From now on people are counted once, whatever their ids. Called in the reader's thread; may raise Unavailable."""
        self.people.editions = MergedEditions(
            self.engine.writers,
            merged_ids,
            may_vanish=not self._is_owner,
            place=self.engine.place,
            inserting=self.engine.inserting,
        )


def _nothing() -> None:
    """An insert into the embedded engine has ended when its call has."""
