"""Writes what is new in the reactions' state of one project and mode, in a transaction that the caller commits."""

from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.balances import change_balances, set_balance
from headrace.control.bulk import execute_many
from headrace.control.database import insert
from headrace.control.journeys import save_runs
from headrace.control.participants import enrol, in_slices, numbers_of
from headrace.control.tables.ledger import balances, points
from headrace.control.tables.reactions import effects, markers, reaction_progress
from headrace.control.tables.rules import firings, overruns, passed_over, rules
from headrace.control.tables.scores import awards, buckets, shares, standings
from headrace.model.event import Tenant
from headrace.model.reaction_state import State
from headrace.ports.reactions import StateChanged

MAX_PASSED_OVER = 10_000  # events listed per rule; more are only counted
_FIRED = ("fact", "challenge", "badge")  # the effects that say that a rule fired: its points go with them


class Saving:
    """Writes what is new in one tenant's state."""

    def __init__(self, connection: sa.Connection, tenant: Tenant) -> None:
        self._connection = connection
        self._tenant = tenant
        self._insert = partial(insert, connection)

    def save(self, state: State, position: int) -> None:
        """Raises StateChanged."""
        self._claim(state.version, position)
        if not state.is_changed:
            return
        numbers = self._enrol(state) | {"": 0}
        self._upsert(
            markers,
            [
                {"event_id": event_id, "counted": " ".join(map(str, sorted(state.counted[event_id])))}
                for event_id in sorted(state.changed_events)
            ],
        )
        self._add(
            effects,
            [
                {
                    "event_id": each.event_id,
                    "rule_no": each.rule_no,
                    "ordinal": each.ordinal,
                    "generation": each.generation,
                    "kind": each.kind,
                    "participant_no": numbers[each.participant],
                    "at_ms": each.at_ms,
                    "detail": msgspec.json.encode(each.detail).decode(),
                }
                for each in state.new_effects
            ],
        )
        self._upsert(
            standings,
            [
                {"participant_no": numbers[name], "rule_no": rule_no, "completions": held.completions}
                | {"best": held.best, "rank": float(held.best)}
                for rule_no, name in state.changed_standings
                if (held := state.standings[rule_no, name])
            ],
        )
        self._save_buckets(numbers, state)
        self._add(
            awards,
            [
                {"participant_no": numbers[name], "badge": badge, "rule_no": each.rule_no}
                | {"event_id": each.event_id, "at_ms": each.at_ms}
                for name, badge, each in state.new_badges
            ],
        )
        self._save_awards(numbers, state)
        self._save_shares(numbers, state)
        self._pay(state, numbers)
        save_runs(self._connection, self._tenant, numbers, state.journeys)
        self._count_fired(state)
        self._pass_over(state)
        self._save_overruns(state)
        for no, (count, event_id, why) in sorted(state.failures.items()):
            self._connection.execute(
                sa.update(rules)
                .where(rules.c.no == no)
                .values(failures=rules.c.failures + count, failed_event=event_id, failed_why=why)
            )

    def _enrol(self, state: State) -> dict[str, int]:
        """The numbers of all whom something is kept of. Regrouped ids point to their persons'; others are emptied."""
        wanted = _participants_in(state)
        regrouped = {each for ids in state.regrouped.values() for each in ids}
        known = numbers_of(self._connection, self._tenant, sorted(regrouped - wanted))
        whose = state.participants | {name: name for name in state.regrouped}
        numbers = enrol(self._connection, self._tenant, wanted | known.keys(), whose)
        if gone := sorted(numbers[each] for each in state.emptied if each in numbers):
            for table in (standings, balances):
                for some in in_slices(gone):
                    self._connection.execute(sa.delete(table).where(table.c.participant_no.in_(some)))
        return numbers

    def _save_awards(self, numbers: dict[str, int], state: State) -> None:
        kept: list[dict[str, Any]] = []
        for name, badge in sorted(state.changed_awards):
            key = {"participant_no": numbers[name], "badge": badge}
            if held := state.awards.get((name, badge)):
                kept.append(key | msgspec.structs.asdict(held))
            else:
                own = [awards.c[column] == value for column, value in key.items()]
                self._connection.execute(sa.delete(awards).where(*own))
        self._upsert(awards, kept)

    def _save_shares(self, numbers: dict[str, int], state: State) -> None:
        rows = [
            {"participant_no": numbers[name], "rule_no": rule_no, "completions": held.completions}
            | {"corrected": held.corrected}
            for rule_no, name in sorted(state.changed_shares)
            if (held := state.shares[rule_no, name])
        ]
        self._upsert(shares, rows)

    def _pay(self, state: State, numbers: dict[str, int]) -> None:
        if state.bookings:
            self._add(
                points,
                [
                    {"event_id": each.event_id, "rule_no": each.rule_no, "ordinal": each.ordinal}
                    | {"participant_no": numbers[each.id], "points": each.points, "at_ms": each.at_ms}
                    | {"kind": "merged", "reason": each.reason}
                    for each in state.bookings
                ],
            )
        self._pay_new(state, numbers)
        for name, ids in sorted(state.regrouped.items()):
            if name in numbers:
                set_balance(
                    self._connection, self._tenant, numbers[name], [numbers[each] for each in ids if each in numbers]
                )

    def _pay_new(self, state: State, numbers: dict[str, int]) -> None:
        if not state.new_points:
            return
        self._add(
            points,
            [
                {"event_id": each.event_id, "rule_no": each.rule_no, "ordinal": each.ordinal}
                | {"participant_no": numbers[name], "points": paid, "credited": credited, "at_ms": each.at_ms}
                for name, paid, credited, each in state.new_points
            ],
        )
        paid_to: dict[int, int] = {}
        for name, paid, _, _ in state.new_points:
            number = numbers[state.participant(name)]
            paid_to[number] = paid_to.get(number, 0) + paid
        change_balances(self._connection, self._tenant, paid_to)

    def _claim(self, version: int, position: int) -> None:
        """Lock the tenant's row, which every transaction locks first, and check that nobody else has saved since."""
        own = {"project": self._tenant.project, "mode": self._tenant.mode}
        insert = self._insert(reaction_progress).values(**own, position=position, behind=False, version=1)
        held = reaction_progress.c
        moved = {
            "version": held.version + 1,
            "position": sa.case((held.position < position, position), else_=held.position),
        }
        # RETURNING, because not every driver tells how many rows an INSERT has added.
        claim = insert.on_conflict_do_update(index_elements=list(own), set_=moved, where=held.version == version)
        if self._connection.scalar(claim.returning(held.version)) is None:
            raise StateChanged

    def _pass_over(self, state: State) -> None:
        if not state.passed_over:
            return
        by_rule: dict[int, int] = {}
        for no, _, _ in state.passed_over:
            by_rule[no] = by_rule.get(no, 0) + 1
        for no, count in sorted(by_rule.items()):
            self._connection.execute(
                sa.update(rules).where(rules.c.no == no).values(passed_over=rules.c.passed_over + count)
            )
        full = set(
            self._connection.scalars(
                sa.select(rules.c.no).where(rules.c.no.in_(sorted(by_rule)), rules.c.passed_over > MAX_PASSED_OVER)
            )
        )
        own = {"project": self._tenant.project, "mode": self._tenant.mode}
        rows = [
            own | {"rule_no": no, "event_id": event_id, "why": why}
            for no, event_id, why in state.passed_over
            if no not in full
        ]
        if rows:
            insert = self._insert(passed_over)
            self._connection.execute(insert.on_conflict_do_nothing(), rows)

    def _count_fired(self, state: State) -> None:
        """In the transaction of the effects, so that the counts are exact whatever crashes. See model.rulebook.Fired."""
        found: dict[int, list[str]] = {}
        for each in state.new_effects:
            if each.kind in _FIRED or (each.kind == "journey" and not each.ordinal):
                found.setdefault(each.rule_no, []).append(each.event_id)
        if not found:
            return
        rows = [
            {"rule_no": no, "mode": self._tenant.mode, "fired": len(events), "last_event": max(events)}
            for no, events in sorted(found.items())
        ]
        new = self._insert(firings)
        more = {
            "fired": firings.c.fired + new.excluded.fired,
            "last_event": sa.case(
                (new.excluded.last_event > firings.c.last_event, new.excluded.last_event), else_=firings.c.last_event
            ),
        }
        execute_many(self._connection, new.on_conflict_do_update(index_elements=["rule_no", "mode"], set_=more), rows)

    def _save_overruns(self, state: State) -> None:
        own = {"project": self._tenant.project, "mode": self._tenant.mode}
        rows = [
            own | {"rule_no": no} | msgspec.structs.asdict(each)
            for no, each in sorted(state.overruns.items())
            if each is not None
        ]
        self._upsert(overruns, rows)
        if ended := sorted(no for no, each in state.overruns.items() if each is None):
            is_own = overruns.c.project == self._tenant.project, overruns.c.mode == self._tenant.mode
            self._connection.execute(sa.delete(overruns).where(*is_own, overruns.c.rule_no.in_(ended)))

    def _save_buckets(self, numbers: dict[str, int], state: State) -> None:
        kept: list[dict[str, object]] = []
        gone: list[dict[str, object]] = []
        for rule_no, name, bucket in state.changed_buckets:
            value = state.bucket(rule_no, name, bucket)
            key: dict[str, object] = {"rule_no": rule_no, "participant_no": numbers[name], "bucket": bucket}
            if value:
                kept.append(key | {"value": value})
            else:
                gone.append({f"b_{column}": each for column, each in key.items()})
        self._upsert(buckets, kept)
        if gone:
            own = [column == sa.bindparam(f"b_{column.name}") for column in buckets.primary_key.columns]
            execute_many(self._connection, sa.delete(buckets).where(*own), gone)

    def _add(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert new rows. An existing row fails the transaction, because its effect would happen twice."""
        if rows:
            execute_many(self._connection, sa.insert(table), rows)

    def _upsert(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        statement = self._insert(table)
        keys = [column.name for column in table.primary_key.columns]
        new = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        execute_many(self._connection, statement.on_conflict_do_update(index_elements=keys, set_=new), rows)


def _participants_in(state: State) -> set[str]:
    return (
        {each.participant for each in state.new_effects if each.participant}
        | {name for _, name in state.changed_standings}
        | {name for _, name, _ in state.changed_buckets}
        | {name for name, _, _ in state.new_badges}
        | {name for name, _, _, _ in state.new_points}
        | {run.person for run in state.journeys.changed}
        | {name for _, name in state.changed_shares}
        | {name for name, _ in state.changed_awards}
        | {each.id for each in state.bookings}
    )
