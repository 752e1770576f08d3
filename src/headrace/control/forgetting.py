"""Removes a person from the control database: everything that is kept of them, and of their events. Decides nothing.

`detach` is one transaction, after which no answer shows the person and nothing new can join what is left; what is left is then
removed in small transactions. Each may be repeated, so a crash anywhere costs nothing. Counts what it removes in the receipt.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, transact
from headrace.control.erasing import count_removed
from headrace.control.forgotten_deliveries import drop_deliveries, drop_deliveries_named, erased_among
from headrace.control.journeys import discount, run_of
from headrace.control.locks import lock_tenant
from headrace.control.people_states import slices
from headrace.control.sqlite import rewrite_file
from headrace.control.tables import metadata
from headrace.control.tables.erasures import erasures
from headrace.control.tables.journeys import emits, replies, runs
from headrace.control.tables.ledger import grants, points
from headrace.control.tables.people import group_members, person_ids, person_joins, person_terms
from headrace.control.tables.reactions import attempts, effects, markers, reaction_progress
from headrace.control.tables.replays import replays
from headrace.control.tables.rules import firings, overruns, passed_over, rules
from headrace.control.tables.scores import buckets, participants
from headrace.model.erasure import OpenErasure
from headrace.model.event import Tenant, parse_id
from headrace.model.journeys import Emitted
from headrace.model.ledger import hidden_key
from headrace.model.webhook import key_of_entry

_AT_ONCE = 1_000  # rows of one transaction, which holds up others who write to control
# Of the tables whose rows belong to a participant: what is removed with the runs, by event, or by rule.
_REMOVED_BEFORE = (runs, effects, points, buckets)
_ENDED_REPLAYS = ("done", "cancelled", "failed")
_emitted_decoder = msgspec.json.Decoder(Emitted)
_strings = msgspec.json.Decoder(list[str])
_errors = msgspec.json.Decoder(list[tuple[str, str]])


class ControlForgetting:
    """Fits the Forgetting port. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def detach(self, erasure: OpenErasure, /) -> bool:
        """See the Forgetting port."""

        def cut(connection: sa.Connection) -> bool:
            lock_tenant(connection, erasure.tenant)
            _bump(connection, erasure.tenant, erasure.position or 0)
            row = connection.execute(
                sa.select(erasures.c.status, erasures.c.ids).where(erasures.c.id == erasure.id).with_for_update()
            ).one()
            if row.status != "requested":
                return True
            ids = _strings.decode(row.ids)
            if not _is_whole(connection, erasure.tenant, ids):
                return False
            counts = Counter(_forget_person(connection, erasure.tenant, ids))
            numbers = _hide_participants(connection, erasure, ids)
            counts.update(_forget_runs(connection, erasure.tenant, numbers, ids))
            count_removed(connection, erasure.id, counts)
            connection.execute(
                sa.update(erasures)
                .where(erasures.c.id == erasure.id)
                .values(status="detached", participants=msgspec.json.encode(numbers).decode())
            )
            return True

        return transact(self._engine, cut)

    def forget_events(self, erasure: OpenErasure, event_ids: Sequence[str], /) -> None:
        """See the Forgetting port."""
        for some in slices(sorted(event_ids)):
            transact(self._engine, lambda connection, some=some: _forget_events(connection, erasure, some))

    def forget_participants(self, erasure: OpenErasure, /) -> None:
        """See the Forgetting port."""
        transact(self._engine, lambda connection: _forget_replays(connection, erasure))
        for number in erasure.participants:
            for take in (_forget_effects, _forget_points):
                while transact(
                    self._engine, lambda connection, take=take, number=number: take(connection, erasure, number)
                ):
                    pass
            transact(self._engine, lambda connection, number=number: _forget_progress(connection, erasure, number))

    def forget_deliveries(self, erasure: OpenErasure, /) -> None:
        """See the Forgetting port."""
        after: int | None = 0
        while after is not None:

            def drop(connection: sa.Connection, after: int = after) -> int | None:
                gone, upto = drop_deliveries(connection, erasure.tenant, after, _AT_ONCE)
                count_removed(connection, erasure.id, {"deliveries": gone})
                return upto

            after = transact(self._engine, drop)

    def overwrite(self) -> None:
        """See the Forgetting port. PostgreSQL's own vacuum reuses the room; that is its operator's to tune."""
        if self._engine.dialect.name == "sqlite":
            rewrite_file(self._engine)


def _bump(connection: sa.Connection, tenant: Tenant, position: int) -> None:
    """Have whoever has loaded the state of the tenant's reactions load it again before saving.

    And note that all up to a position has been reacted to: no restart may react to the person's events once more.
    """
    own = {"project": tenant.project, "mode": tenant.mode}
    new = insert(connection, reaction_progress).values(**own, position=position, behind=False, version=1)
    held = reaction_progress.c
    reached = sa.case((held.position < position, position), else_=held.position)
    more = {"version": held.version + 1, "position": reached}
    connection.execute(new.on_conflict_do_update(index_elements=list(own), set_=more))


def _is_whole(connection: sa.Connection, tenant: Tenant, ids: Sequence[str]) -> bool:
    """Whether no person has some of the ids and some others: somebody may have undone a merge, or made one, meanwhile."""
    persons = sa.select(person_ids.c.person_no).where(*_people_of(tenant), person_ids.c.id.in_(ids))
    whole = connection.scalars(sa.select(person_ids.c.id).where(person_ids.c.person_no.in_(persons)))
    return set(whole) <= set(ids)


def _forget_person(connection: sa.Connection, tenant: Tenant, ids: Sequence[str]) -> dict[str, int]:
    numbers: list[int] = []
    for some in slices(sorted(ids)):
        own = sa.select(person_ids.c.no).where(*_people_of(tenant), person_ids.c.id.in_(some))
        numbers += connection.scalars(own)
    counts = {"ids": len(numbers), "memberships": 0}
    for some in slices(sorted(numbers)):
        term = (person_terms.c.project == tenant.project, person_terms.c.mode == tenant.mode)
        connection.execute(sa.delete(person_terms).where(*term, person_terms.c.id_no.in_(some)))
        for column in (person_joins.c.kept_no, person_joins.c.other_no):
            connection.execute(sa.delete(person_joins).where(column.in_(some)))
        gone = connection.execute(sa.delete(group_members).where(group_members.c.id_no.in_(some)))
        counts["memberships"] += gone.rowcount
        connection.execute(sa.delete(person_ids).where(person_ids.c.no.in_(some)))
    return counts


def _hide_participants(connection: sa.Connection, erasure: OpenErasure, ids: Sequence[str]) -> list[int]:
    """Take the names from the numbers. A number is given to nobody else while anything is kept under it."""
    tenant = erasure.tenant
    numbers: list[int] = []
    for some in slices(sorted(ids)):
        own = (participants.c.project == tenant.project, participants.c.mode == tenant.mode)
        numbers += connection.scalars(sa.select(participants.c.no).where(*own, participants.c.name.in_(some)))
    for number in numbers:
        connection.execute(
            sa.update(participants)
            .where(participants.c.no == number)
            .values(project="", name=f"{erasure.id}:{number}")  # no key is of a project without a name
        )
    return sorted(numbers)


def _forget_runs(
    connection: sa.Connection, tenant: Tenant, numbers: Sequence[int], ids: Sequence[str]
) -> dict[str, int]:
    """In the transaction that detaches: a timer of a run that is left would bring the person back."""
    counts = {"journey_runs": 0, "journey_messages": 0, "deliveries": 0}
    for some in slices(numbers):
        found = connection.execute(
            sa.select(runs.c.id, runs.c.state, runs.c.rule_no).where(runs.c.participant_no.in_(some))
        )
        own = [run_of(row) for row in found.all()]
        discount(connection, tenant, own)
        connection.execute(sa.delete(runs).where(runs.c.participant_no.in_(some)))
        counts["journey_runs"] += len(own)
        names = [run.id for run in own]
        for few in slices(names):
            gone = connection.execute(sa.delete(replies).where(replies.c.run_id.in_(few)))
            counts["journey_messages"] += gone.rowcount
        counts["deliveries"] += drop_deliveries_named(connection, tenant, names)
    own_emits = sa.select(emits.c.no, emits.c.emitted).where(
        emits.c.project == tenant.project, emits.c.mode == tenant.mode
    )
    theirs = [
        row.no
        for row in connection.execute(own_emits)
        if (emitted := _emitted_decoder.decode(row.emitted)) and (emitted.user_id or emitted.anonymous_id) in ids
    ]
    for some in slices(theirs):
        connection.execute(sa.delete(emits).where(emits.c.no.in_(some)))
    counts["journey_messages"] += len(theirs)
    return counts


def _forget_effects(connection: sa.Connection, erasure: OpenErasure, number: int) -> bool:
    """Some of a participant's effects, with the markers of their events; whether there may be more."""
    asked = sa.select(effects.c.event_id, effects.c.kind).where(effects.c.participant_no == number)
    found = connection.execute(asked.order_by(effects.c.event_id).limit(_AT_ONCE)).all()
    events = sorted({row.event_id for row in found})
    for some in slices(events):
        gone = sa.delete(effects).where(effects.c.participant_no == number, effects.c.event_id.in_(some))
        kinds = Counter(connection.scalars(gone.returning(effects.c.kind)))
        connection.execute(sa.delete(markers).where(markers.c.event_id.in_(some)))
        count_removed(connection, erasure.id, {"facts": kinds["fact"]})
    return len(found) == _AT_ONCE


def _forget_points(connection: sa.Connection, erasure: OpenErasure, number: int) -> bool:
    """Some of a participant's entries in the ledger; whether there may be more."""
    tenant = erasure.tenant
    columns = (points.c.event_id, points.c.rule_no, points.c.ordinal, points.c.kind)
    asked = sa.select(*columns).where(points.c.participant_no == number)
    found = connection.execute(asked.order_by(points.c.event_id).limit(_AT_ONCE)).all()
    own = (grants.c.project == tenant.project, grants.c.mode == tenant.mode)
    by_hand = [row.event_id for row in found if row.kind != "earned"]
    named = [key_of_entry(row.event_id, row.rule_no, row.ordinal) for row in found if row.kind != "earned"]
    counts: Counter[str] = Counter(deliveries=drop_deliveries_named(connection, tenant, named))
    for some in slices(by_hand):
        for row in connection.execute(sa.select(grants.c.key).where(*own, grants.c.entry_id.in_(some))).all():
            # What stays is that the key was used: the same request, sent again, must not grant anything to somebody new.
            hidden = {"key": hidden_key(row.key), "request": "", "entry_id": "", "balance": 0}
            connection.execute(sa.update(grants).where(*own, grants.c.key == row.key).values(hidden))
            counts["grants"] += 1
    for some in slices(sorted({row.event_id for row in found})):
        gone = sa.delete(points).where(points.c.participant_no == number, points.c.event_id.in_(some))
        counts["points_entries"] += connection.execute(gone).rowcount
    count_removed(connection, erasure.id, counts)
    return len(found) == _AT_ONCE


def _forget_progress(connection: sa.Connection, erasure: OpenErasure, number: int) -> None:
    """All else that is kept under the number. The number itself is given to nobody else before the erasure is done."""
    own_rules = sa.select(rules.c.no).where(rules.c.project == erasure.tenant.project)
    connection.execute(sa.delete(buckets).where(buckets.c.rule_no.in_(own_rules), buckets.c.participant_no == number))
    removed = {
        table.name: connection.execute(sa.delete(table).where(table.c.participant_no == number)).rowcount
        for table in metadata.sorted_tables
        if "participant_no" in table.c and table not in _REMOVED_BEFORE
    }
    count_removed(connection, erasure.id, {"progress": removed["standings"], "badges": removed["awards"]})


def _forget_events(connection: sa.Connection, erasure: OpenErasure, event_ids: Sequence[str]) -> None:
    """What is kept of events and not of participants."""
    tenant = erasure.tenant
    kinds = Counter(
        connection.scalars(sa.delete(effects).where(effects.c.event_id.in_(event_ids)).returning(effects.c.kind))
    )
    connection.execute(sa.delete(markers).where(markers.c.event_id.in_(event_ids)))
    connection.execute(sa.delete(attempts).where(attempts.c.event_id.in_(event_ids)))
    own = (passed_over.c.project == tenant.project, passed_over.c.mode == tenant.mode)
    own_rules = [0, *connection.scalars(sa.select(rules.c.no).where(rules.c.project == tenant.project))]
    listed = sa.delete(passed_over).where(
        *own, passed_over.c.rule_no.in_(own_rules), passed_over.c.event_id.in_(event_ids)
    )
    for number, count in sorted(Counter(connection.scalars(listed.returning(passed_over.c.rule_no))).items()):
        fewer = {"passed_over": rules.c.passed_over - count}
        connection.execute(sa.update(rules).where(rules.c.no == number).values(fewer))
    told = {"failed_event": "", "failed_why": ""}
    its = (rules.c.project == tenant.project, rules.c.failed_event.in_(event_ids))
    connection.execute(sa.update(rules).where(*its).values(told))
    fired = (firings.c.rule_no.in_(own_rules), firings.c.mode == tenant.mode, firings.c.last_event.in_(event_ids))
    connection.execute(sa.update(firings).where(*fired).values(last_event=""))
    held = (overruns.c.project == tenant.project, overruns.c.mode == tenant.mode, overruns.c.event_id.in_(event_ids))
    connection.execute(sa.update(overruns).where(*held).values(why=""))
    count_removed(connection, erasure.id, {"facts": kinds["fact"]})


def _forget_replays(connection: sa.Connection, erasure: OpenErasure) -> None:
    """Replay jobs that were asked for by one of the ids, and what went wrong with the person's events."""
    tenant = erasure.tenant
    own = (replays.c.project == tenant.project, replays.c.mode == tenant.mode)
    columns = (replays.c.id, replays.c.status, replays.c.filters, replays.c.errors)
    named = [msgspec.json.encode(each).decode() for each in erasure.ids]
    about = sa.or_(replays.c.errors != "[]", *(replays.c.filters.contains(each, autoescape=True) for each in named))
    for row in connection.execute(sa.select(*columns).where(*own, about).order_by(replays.c.id)).all():
        values: dict[str, Any] = {}
        if any(each in row.filters for each in named):
            values["filters"] = "{}"
            if row.status not in _ENDED_REPLAYS:
                values |= {"status": "cancelled", "problem": "The person whose events it replays was erased."}
        errors = _errors.decode(row.errors)
        kept = [(event_id, why) for event_id, why in errors if not _has_erased(connection, event_id)]
        if len(kept) < len(errors):
            values["errors"] = msgspec.json.encode(kept).decode()
        if values:
            connection.execute(sa.update(replays).where(replays.c.id == row.id).values(values))
            count_removed(connection, erasure.id, {"replays": 1})


def _has_erased(connection: sa.Connection, event_id: str) -> bool:
    digits = parse_id(event_id)
    return digits is not None and bool(erased_among(connection, [digits]))


def _people_of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return person_ids.c.project == tenant.project, person_ids.c.mode == tenant.mode
