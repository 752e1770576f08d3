"""Reads the reactions' state of one project and mode. Writes nothing."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from headrace.control.journeys import load_runs
from headrace.control.participants import Places, in_slices, places_of
from headrace.control.tables.ledger import points
from headrace.control.tables.reactions import effects, markers, reaction_progress
from headrace.control.tables.scores import awards, buckets, shares, standings
from headrace.model.event import Tenant
from headrace.model.reaction_state import Caused, HeldAward, Needs, Share, Standing, State


class Loading:
    """Reads one tenant's state."""

    def __init__(self, connection: sa.Connection, tenant: Tenant) -> None:
        self._connection = connection
        self._tenant = tenant

    def state(self, needs: Needs) -> State:
        # Read first, so that a change while the rest is read is noticed when this state is saved.
        version = self._connection.scalar(sa.select(reaction_progress.c.version).where(*_is_of(self._tenant)))
        state = State(version or 0)
        places = places_of(self._connection, self._tenant, [*needs.participants, *needs.whole])
        numbers = places.numbers
        names = {number: name for name, number in numbers.items()}
        state.known, state.tracked = set(numbers), set(places.wholes)
        for first, ids in places.ids.items():
            state.gather(first, ids)
        self._load_events(needs.event_ids, state, names)
        for some in in_slices(list(names)):
            asked = sa.select(standings).where(standings.c.participant_no.in_(some))
            for row in self._connection.execute(asked):
                state.standings[row.rule_no, names[row.participant_no]] = Standing(row.completions, row.best)
                state.stood_in.add(row.rule_no)
            asked = sa.select(awards.c.participant_no, awards.c.badge, awards.c.revoked_at_ms, awards.c.stands)
            for row in self._connection.execute(asked.where(awards.c.participant_no.in_(some))):
                if row.stands:
                    badges = state.held if row.revoked_at_ms is None else state.revoked
                    badges.setdefault(state.participant(names[row.participant_no]), set()).add(row.badge)
        self._load_buckets(needs, state, numbers, names)
        self._load_shares(state, places, names)
        if needs.whole:
            regrouped = {state.participant(each) for each in needs.whole}
            whole = {number for name, number in numbers.items() if state.participant(name) in regrouped}
            self._load_whole(needs.rule_nos, state, sorted(whole), names)
        if needs.travellers or needs.runs:  # of projects with journeys alone
            travellers = {each for name in needs.travellers for each in state.ids_of(state.participant(name))}
            people = {name: numbers[name] for name in travellers if name in numbers}
            load_runs(self._connection, self._tenant, people, needs.runs, state.journeys)
        self._load_credits(needs, state, names)
        return state

    def _load_shares(self, state: State, places: Places, names: dict[int, str]) -> None:
        tracked = sorted(places.numbers[name] for name in places.wholes)
        for some in in_slices(tracked):
            for row in self._connection.execute(sa.select(shares).where(shares.c.participant_no.in_(some))):
                state.shares[row.rule_no, names[row.participant_no]] = Share(row.completions, row.corrected)
        # An id whose person's others the reactions have seen nothing of so far: see participants.point_to.
        alone = [each for each in places.participants if each in places.numbers and each not in places.wholes]
        state.tracked.update(places.participants)
        for (no, name), held in state.standings.items() if alone else ():
            if name in alone and held.completions:
                state.shares[no, name] = Share(held.completions)
        for some in in_slices(sorted(places.numbers[each] for each in alone)):
            asked = sa.select(awards.c.participant_no, awards.c.rule_no).where(awards.c.participant_no.in_(some))
            for number, rule_no in self._connection.execute(asked):
                state.shares[rule_no, names[number]] = Share(1)

    def _load_whole(self, rule_nos: Sequence[int], state: State, numbers: Sequence[int], names: dict[int, str]) -> None:
        """All that there is of some ids, so that they can be regrouped."""
        for some in in_slices(numbers):
            for row in self._connection.execute(sa.select(awards).where(awards.c.participant_no.in_(some))):
                state.badges.add(row.badge)
                state.awards[names[row.participant_no], row.badge] = HeldAward(
                    row.rule_no, row.event_id, row.at_ms, row.revoked_at_ms, row.revoked_why, row.stands
                )
            booked = (
                sa.select(points.c.rule_no, points.c.participant_no, sa.func.sum(points.c.points))
                .where(points.c.participant_no.in_(some), points.c.kind == "merged")
                .group_by(points.c.rule_no, points.c.participant_no)
            )
            for rule_no, number, together in self._connection.execute(booked):
                state.booked[rule_no, names[number]] = int(together)
            for some_rules in in_slices(sorted(rule_nos)):
                asked = sa.select(buckets).where(buckets.c.rule_no.in_(some_rules), buckets.c.participant_no.in_(some))
                for row in self._connection.execute(asked):
                    held = state.buckets.setdefault((row.rule_no, names[row.participant_no]), {})
                    held[row.bucket] = row.value

    def _load_credits(self, needs: Needs, state: State, names: dict[int, str]) -> None:
        """What other versions of each rule have paid to each participant, less the credits used so far."""
        if not needs.others:
            return
        wanted = sorted({*needs.others, *(other for others in needs.others.values() for other in others)})
        paid: dict[tuple[int, int], tuple[int, int]] = {}
        for some_rules in in_slices(wanted):
            for some in in_slices(sorted(names)):
                asked = (
                    sa.select(
                        points.c.participant_no,
                        points.c.rule_no,
                        sa.func.sum(points.c.points),
                        sa.func.sum(points.c.credited),
                    )
                    .where(points.c.participant_no.in_(some), points.c.rule_no.in_(some_rules))
                    .group_by(points.c.participant_no, points.c.rule_no)
                )
                paid |= {(row[0], row[1]): (int(row[2]), int(row[3])) for row in self._connection.execute(asked)}
        for rule_no, others in needs.others.items():
            credit: dict[str, int] = {}
            for number, name in names.items():
                by_others = sum(paid.get((number, other), (0, 0))[0] for other in others)
                whose = state.participant(name)
                credit[whose] = credit.get(whose, 0) + by_others - paid.get((number, rule_no), (0, 0))[1]
            state.credits |= {(rule_no, whose): left for whose, left in credit.items() if left > 0}

    def _load_buckets(self, needs: Needs, state: State, numbers: dict[str, int], names: dict[int, str]) -> None:
        """One query for all rules that need the same buckets: a project's rules usually share a few windows."""
        wanted: dict[tuple[int, int], tuple[set[int], set[int]]] = {}
        for (rule_no, first, last), who in needs.spans.items():
            known = {numbers[each] for name in who for each in state.ids_of(state.participant(name)) if each in numbers}
            if known:
                rule_nos, participant_nos = wanted.setdefault((first, last), (set(), set()))
                rule_nos.add(rule_no)
                participant_nos |= known
        for (first, last), (rule_nos, participant_nos) in wanted.items():
            for some_rules in in_slices(sorted(rule_nos)):
                for some in in_slices(sorted(participant_nos)):
                    asked = sa.select(buckets).where(
                        buckets.c.rule_no.in_(some_rules),
                        buckets.c.participant_no.in_(some),
                        buckets.c.bucket.between(first, last),
                    )
                    for row in self._connection.execute(asked):
                        held = state.buckets.setdefault((row.rule_no, names[row.participant_no]), {})
                        held[row.bucket] = row.value

    def _load_events(self, event_ids: Sequence[str], state: State, names: dict[int, str]) -> None:
        """Loads markers and effects. New events have none, which one query of their range shows."""
        if not event_ids:
            return
        first, last = min(event_ids), max(event_ids)
        for table in (markers, effects):
            seen = sa.select(sa.literal(1)).where(table.c.event_id.between(first, last)).limit(1)
            if self._connection.scalar(seen) is None:
                continue
            for some in in_slices(sorted(event_ids)):
                for row in self._connection.execute(sa.select(table).where(table.c.event_id.in_(some))):
                    if table is markers:
                        state.counted[row.event_id] = set(map(int, row.counted.split()))
                    else:
                        state.caused.setdefault(row.event_id, []).append(
                            caused_by(row, names.get(row.participant_no, ""))
                        )
        for event_id, found in state.caused.items():
            latest: dict[tuple[int, int], Caused] = {}
            for effect in sorted(found, key=lambda each: each.generation):
                latest[effect.rule_no, effect.ordinal] = effect
            state.caused[event_id] = list(latest.values())


def caused_by(row: sa.Row[Any], participant: str) -> Caused:
    detail = cast("dict[str, object]", msgspec.json.decode(row.detail))
    return Caused(row.event_id, row.rule_no, row.ordinal, row.generation, row.kind, participant, row.at_ms, detail)


def _is_of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return reaction_progress.c.project == tenant.project, reaction_progress.c.mode == tenant.mode
