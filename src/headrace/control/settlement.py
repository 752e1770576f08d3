"""Adds ledger entries that correct the points paid by rules to what the rules in force give. Knows rules by number.

It uses the reactions' state: facts made, challenges completed and badges held under the versions in force. So the result is right
once these versions have counted every event. Running it again changes nothing.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from headrace.control.balances import change_balances
from headrace.control.database import reading, transact
from headrace.control.locks import lock_tenant
from headrace.control.participants import in_slices, is_whole
from headrace.control.tables.ledger import points
from headrace.control.tables.reactions import effects, reaction_progress
from headrace.control.tables.rules import rules
from headrace.control.tables.scores import awards, participants, standings
from headrace.model.event import MAX_TAIL, Tenant, event_id, first_position
from headrace.model.ledger import Change, Correction, Payer, Settled
from headrace.model.webhook import Message, message_of_entry
from headrace.ports.deliveries import Outbox
from headrace.ports.ledger import Taking

_PAGE = 500  # participants per transaction
_Key = tuple[int, str, str]  # participant, kind, rule id


class Settlement:
    """Fits the Settlement port. Any thread may call it."""

    def __init__(self, engine: sa.Engine, outbox: Outbox | None = None) -> None:
        """outbox: gets the corrections that webhooks want."""
        self._engine = engine
        self._outbox = outbox

    def settle(
        self,
        tenant: Tenant,
        payers: Sequence[Payer],
        after: int,
        now_ms: int,
        /,
        before_commit: Callable[[object, Sequence[Correction]], None],
    ) -> Settled:
        """See the Settlement port."""

        def work(connection: sa.Connection) -> Settled:
            lock_tenant(connection, tenant)  # else a concurrent deduction could go below zero unnoticed
            # A reactor that is judging events finds the state changed, and judges again: nothing is paid in between.
            own = reaction_progress.c.project == tenant.project, reaction_progress.c.mode == tenant.mode
            more = {"version": reaction_progress.c.version + 1}
            connection.execute(sa.update(reaction_progress).where(*own).values(more))
            page = _Page(connection, tenant, payers, after)
            corrections = page.corrections({})
            messages = page.write(now_ms)
            if self._outbox is not None:
                self._outbox.publish(connection, tenant, messages)
            before_commit(connection, corrections)
            return Settled(corrections, page.last)

        return transact(self._engine, work)

    def foresee(self, tenant: Tenant, payers: Sequence[Payer], take: Taking, /) -> Iterator[Sequence[Correction]]:
        """See the Settlement port."""
        after: int | None = 0
        while after is not None:
            with reading(self._engine) as connection:
                page = _Page(connection, tenant, payers, after)
                corrections = page.corrections(take(page.participants))
                after = page.last
            yield corrections


class _Page:
    """Some participants of a tenant, after a number: the points that each rule has paid and is due to pay to each."""

    def __init__(self, connection: sa.Connection, tenant: Tenant, payers: Sequence[Payer], after: int) -> None:
        self._connection = connection
        self._tenant = tenant
        self._payers = {(payer.kind, payer.rule_id): payer for payer in payers}
        asked = (
            sa.select(participants.c.no, participants.c.name)
            .where(participants.c.project == tenant.project, participants.c.mode == tenant.mode)
            .where(participants.c.no > after, is_whole())
            .order_by(participants.c.no)
            .limit(_PAGE)
        )
        self._names = {row.no: row.name for row in connection.execute(asked)}
        self.last = max(self._names) if len(self._names) == _PAGE else None
        self._whole = {number: number for number in self._names}  # by id: the participant that its person is
        for some in in_slices(list(self._names)):
            members = sa.select(participants.c.no, participants.c.whole_no).where(participants.c.whole_no.in_(some))
            self._whole |= {row.no: row.whole_no for row in connection.execute(members)}
        self._known = {
            row.no: (row.kind, row.rule_id)
            for row in connection.execute(
                sa.select(rules.c.no, rules.c.kind, rules.c.rule_id)
                .where(rules.c.project == tenant.project)
                .order_by(rules.c.no)
            )
        }
        self._paid: dict[_Key, int] = {}
        self._by_others: dict[_Key, int] = {}  # under versions other than the one in force
        self._credited: dict[_Key, int] = {}  # under the version in force
        self._read_ledger()
        self._due = self._read_due()

    @property
    def participants(self) -> list[str]:
        return list(self._names.values())

    def corrections(self, changes: dict[tuple[str, str, str], Change]) -> list[Correction]:
        """The corrections that are not zero. changes: of these participants, what a replay before would change."""
        found: list[Correction] = []
        numbers = {name: no for no, name in self._names.items()}
        also = {(numbers[name], kind, rule_id) for name, kind, rule_id in changes}
        for key in sorted({*self._paid, *self._due, *also}):
            number, kind, rule_id = key
            change = changes.get((self._names[number], kind, rule_id), Change())
            due = self._due.get(key, 0) + change.due
            paid = self._paid.get(key, 0) + change.paid
            if due != paid:
                found.append(Correction(self._names[number], kind, rule_id, due, paid))
        return found

    def write(self, now_ms: int) -> list[Message]:
        """Add the entries. Returns the messages about them for webhooks.

        This uses up the credits of the versions in force, because nothing is left unpaid.
        """
        rows: list[dict[str, object]] = []
        messages: list[Message] = []
        changed: dict[int, int] = {}
        for key in sorted({*self._paid, *self._due}):
            number, kind, rule_id = key
            due, paid = self._due.get(key, 0), self._paid.get(key, 0)
            is_credited = kind == "challenge" and (kind, rule_id) in self._payers
            credit = self._by_others.get(key, 0) - self._credited.get(key, 0) if is_credited else 0
            if due == paid and credit <= 0:
                continue
            changed[number] = changed.get(number, 0) + due - paid
            entry_id = event_id(first_position(now_ms) + len(rows), secrets.randbelow(MAX_TAIL))
            rule_no = self._number_of(kind, rule_id)
            reason = f"the rules in force give {due} for it; {paid} had been paid"
            if due != paid:
                what = (self._names[number], due - paid, "rebuilt", reason, rule_id)
                messages.append(message_of_entry(entry_id, rule_no, now_ms, *what))
            rows.append(
                {
                    "event_id": entry_id,
                    "rule_no": rule_no,
                    "ordinal": 0,
                    "participant_no": number,
                    "points": due - paid,
                    "at_ms": now_ms,
                    "kind": "rebuilt",
                    "credited": max(0, credit),
                    "reason": reason,
                }
            )
        if rows:
            self._connection.execute(sa.insert(points), rows)
            change_balances(self._connection, self._tenant, changed)
        return messages

    def _number_of(self, kind: str, rule_id: str) -> int:
        """The number of the version in force or, for a rule no longer in force, of its latest version."""
        if payer := self._payers.get((kind, rule_id)):
            return payer.rule_no
        return max(no for no, known in self._known.items() if known == (kind, rule_id))

    def _read_ledger(self) -> None:
        asked = (
            sa.select(
                points.c.participant_no, points.c.rule_no, sa.func.sum(points.c.points), sa.func.sum(points.c.credited)
            )
            .where(points.c.kind != "granted")
            .group_by(points.c.participant_no, points.c.rule_no)
        )
        for number, rule_no, paid, credited in self._rows(asked, points.c.participant_no):
            kind, rule_id = self._known[rule_no]
            key = self._whole[number], kind, rule_id
            self._paid[key] = self._paid.get(key, 0) + int(paid)
            payer = self._payers.get((kind, rule_id))
            if payer is not None and payer.rule_no == rule_no:
                self._credited[key] = self._credited.get(key, 0) + int(credited)
            else:
                self._by_others[key] = self._by_others.get(key, 0) + int(paid)

    def _read_due(self) -> dict[_Key, int]:
        of_rule = {payer.rule_no: payer for payer in self._payers.values() if payer.points}
        badges = {payer.rule_id: payer for payer in of_rule.values() if payer.kind == "badge"}
        made = (
            sa.select(effects.c.participant_no, effects.c.rule_no, sa.func.count())
            .where(effects.c.kind == "fact", effects.c.generation == 0)
            .group_by(effects.c.participant_no, effects.c.rule_no)
        )
        completed = sa.select(standings.c.participant_no, standings.c.rule_no, standings.c.completions)
        held = sa.select(awards.c.participant_no, awards.c.badge).where(awards.c.stands)
        found: dict[_Key, int] = {}
        for asked, column, wanted in (
            (made, effects.c.participant_no, "fact"),
            (completed, standings.c.participant_no, "challenge"),
        ):
            for number, rule_no, times in self._rows(asked, column):
                payer = of_rule.get(rule_no)
                if payer is not None and payer.kind == wanted and times:
                    key = self._whole[number], payer.kind, payer.rule_id
                    found[key] = found.get(key, 0) + times * payer.points
        for number, badge in self._rows(held, awards.c.participant_no):
            if payer := badges.get(badge):
                found[self._whole[number], "badge", badge] = payer.points
        return found

    def _rows(self, asked: Any, column: sa.ColumnElement[int]) -> Iterable[Any]:
        """What a query gives for all ids of the page's participants."""
        for some in in_slices(sorted(self._whole)):
            yield from self._connection.execute(asked.where(column.in_(some)))
