"""The reactions' state of each project and mode, and their progress. Knows rules only by their numbers.

To change a tenant's state: load it, decide, save it. Every save increments the state's version, and a save with an outdated
version raises StateChanged. So no transaction is open during the decision, and no progress is lost, on either database.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.journey_messages import tell_of_runs
from headrace.control.leases import LastingLease, require
from headrace.control.locks import lock_tenant
from headrace.control.offsets import move
from headrace.control.reaction_loading import Loading, caused_by
from headrace.control.reaction_saving import Saving
from headrace.control.tables.positions import offsets
from headrace.control.tables.reactions import attempts, effects, reaction_progress
from headrace.control.tables.rules import rules
from headrace.control.tables.scores import participants
from headrace.model.event import Tenant
from headrace.model.lease import Lease
from headrace.model.reaction_state import Booking, Caused, Needs, State
from headrace.model.webhook import Message, message_of_entry
from headrace.ports.deliveries import Outbox

CONSUMER = "reactions"


class ControlReactionStates:
    """Fits the ReactionStates port. Any thread may call it."""

    def __init__(
        self, engine: sa.Engine, lease: Lease | LastingLease | None = None, outbox: Outbox | None = None
    ) -> None:
        """lease: saves raise LeaseLost once another process has taken it. None if there cannot be another process.

        outbox: gets new effects in the transaction that saves them.
        """
        self._engine = engine
        self._lease = lease
        self._outbox = outbox

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """See the ReactionStates port."""
        with reading(self._engine) as connection:
            return Loading(connection, tenant).state(needs)

    def save(
        self, tenant: Tenant, state: State, /, position: int = 0, before_commit: Callable[[object], None] | None = None
    ) -> None:
        """See the ReactionStates port."""

        def keep(connection: sa.Connection) -> None:
            if state.regrouped:
                lock_tenant(connection, tenant)  # else a concurrent grant could change a balance that is added up anew
            Saving(connection, tenant).save(state, position)
            if self._outbox is not None and state.new_effects:
                self._outbox.effects(connection, tenant, _told(state))
            if self._outbox is not None and state.bookings:
                self._outbox.publish(connection, tenant, [_message(each, state) for each in state.bookings])
            if self._outbox is not None and state.journeys.is_changed:
                tell_of_runs(self._outbox, connection, tenant, state.journeys)
            if before_commit is not None:
                before_commit(connection)
            if self._lease is not None:
                require(connection, self._lease)

        transact(self._engine, keep)

    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]:
        """See the ReactionStates port."""
        own = participants.alias()
        asked = (
            sa.select(effects, rules.c.rule_id, rules.c.version, participants.c.name)
            .join(rules, rules.c.no == effects.c.rule_no)
            .outerjoin(own, own.c.no == effects.c.participant_no)
            .outerjoin(participants, participants.c.no == sa.func.coalesce(own.c.whole_no, own.c.no))
            .where(effects.c.event_id == event_id)
            .order_by(effects.c.generation, effects.c.rule_no, effects.c.ordinal)
        )
        with reading(self._engine) as connection:
            return [(caused_by(row, row.name or ""), row.rule_id, row.version) for row in connection.execute(asked)]

    def progress(self) -> tuple[int, dict[Tenant, tuple[int, bool]]]:
        """See the ReactionStates port."""
        with reading(self._engine) as connection:
            found = connection.scalar(sa.select(offsets.c.position).where(offsets.c.consumer == CONSUMER))
            rows = connection.execute(sa.select(reaction_progress)).all()
        return found or 0, {Tenant(row.project, row.mode): (row.position, row.behind) for row in rows}

    def advance(self, position: int, /, behind: Mapping[Tenant, int], caught_up: Iterable[Tenant]) -> None:
        """See the ReactionStates port."""

        def move_all(connection: sa.Connection) -> None:
            for tenant, reached in sorted(behind.items(), key=lambda each: (each[0].project, each[0].mode)):
                _move_tenant(connection, tenant, reached, behind=True)
            for tenant in sorted(caught_up, key=lambda each: (each.project, each.mode)):
                _move_tenant(connection, tenant, position, behind=False)
            move(connection, CONSUMER, position, self._lease)

        transact(self._engine, move_all)

    def count_attempt(self, event_id: str, /) -> None:
        """See the ReactionStates port."""

        def count(connection: sa.Connection) -> None:
            new = insert(connection, attempts).values(event_id=event_id, attempts=1)
            more = {"attempts": attempts.c.attempts + 1}
            connection.execute(new.on_conflict_do_update(index_elements=["event_id"], set_=more))

        transact(self._engine, count)

    def poisonous(self, most_attempts: int, /) -> set[str]:
        """See the ReactionStates port."""
        with reading(self._engine) as connection:
            asked = sa.select(attempts.c.event_id).where(attempts.c.attempts >= most_attempts)
            return set(connection.scalars(asked))


def _told(state: State) -> list[Caused]:
    """The new effects, with the participants that their persons are."""
    if not state.participants:
        return state.new_effects
    return [
        msgspec.structs.replace(each, participant=state.participant(each.participant)) for each in state.new_effects
    ]


def _message(booking: Booking, state: State) -> Message:
    what = (state.participant(booking.id), booking.points, "merged", booking.reason, booking.rule_id)
    return message_of_entry(booking.event_id, booking.rule_no, booking.at_ms, *what, booking.ordinal)


def _move_tenant(connection: sa.Connection, tenant: Tenant, position: int, *, behind: bool) -> None:
    own = {"project": tenant.project, "mode": tenant.mode}
    new = insert(connection, reaction_progress).values(**own, position=position, behind=behind, version=0)
    held = reaction_progress.c.position
    moved = {"position": sa.case((held < position, position), else_=held), "behind": behind}
    connection.execute(new.on_conflict_do_update(index_elements=list(own), set_=moved))
