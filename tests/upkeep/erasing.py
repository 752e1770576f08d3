"""An eraser over the reactions' machine: a store and a log in memory, a control database in a file."""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.control.erasures import ControlErasedEvents
from headrace.control.forgetting import ControlForgetting
from headrace.control.people import ControlPeople
from headrace.control.quarantine import ControlQuarantine
from headrace.model.entries import Entry, Held, Receipt, Record
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.model.quarantine import Quarantined
from headrace.pipeline.statement_watch import StatementWatch
from headrace.upkeep.erasing import Eraser
from tests.fakes import emptied
from tests.reactions.given import TENANT, Crash, GivenLog, Machine, event, record_of


class CommandLog:
    """As much of a log as the eraser needs, over the machine's.

    `is_full`: it takes nothing. `held_after`: it holds nothing up to there any more.
    """

    is_full = False
    held_after = 0

    def __init__(self, log: GivenLog) -> None:
        self._log = log
        self.read, self.last = log.read, log.last

    def append(self, entries: Sequence[Entry], /) -> list[Receipt]:
        if self.is_full:
            raise Unavailable("The log is full.")
        records = [Record(event("place").position, 7, each.payload, each.kind) for each in entries]
        self._log.append(records)
        return [Receipt(each.position, each.tail) for each in records]

    def held(self, upto: int, /) -> Held:
        return Held(0, self.held_after, 0)

    def redact(self, positions: Collection[int], /) -> None:
        self._log.records = [emptied(each) if each.position in positions else each for each in self._log.records]

    def overwrite(self) -> None: ...


class PutAsideList:
    def __init__(self, quarantine: ControlQuarantine) -> None:
        self._quarantine = quarantine
        self.forget = quarantine.remove

    def listed(self, after: int, limit: int, /) -> list[Quarantined]:
        return self._quarantine.listed(after, limit)


class ErasingMachine(Machine):
    """`dies_after`: the step after which the eraser's process is gone. `told`: what the eraser said and did, in order.

    `looked`: set once the eraser has asked whether events were reacted to.
    """

    dies_after = ""

    def __init__(self, folder: Path, template: Path) -> None:
        super().__init__(folder, template)
        self._begin()

    def _begin(self) -> None:
        self.quarantine = ControlQuarantine(self.engine)
        self.commands = CommandLog(self.log)
        self.told: list[str] = []
        self.looked = threading.Event()
        self.eraser = Eraser(
            *(self.erasures, ControlForgetting(self.engine), ControlErasedEvents(self.engine)),
            people=ControlPeople(self.engine),
            log=self.commands,
            store=self.store,
            put_aside=PutAsideList(self.quarantine),
            holds=self.holds,
            watch=StatementWatch(1 << 62),
            has_passed=self._has_passed,
            feed_paused=self._paused,
            on_append=lambda entries: self.told.append(f"{entries} appended"),
            on_detached=lambda: self.told.append("held" if self.holds.held() else "lifted"),
            tell_backups=lambda: None,
            clock_ms=lambda: 5,
            on_step=self._step,
        )

    def _has_passed(self, tenant: Tenant, position: int) -> bool:
        has_passed = self.reactor.has_passed(tenant, position)
        self.looked.set()
        return has_passed

    @contextmanager
    def _paused(self) -> Iterator[None]:
        self.told.append("feed paused")
        yield

    def _step(self, step: str) -> None:
        self.told.append(step)
        if step == self.dies_after:
            self.dies_after = ""
            raise Crash

    def restart(self) -> None:
        super().restart()
        self._begin()

    def take(self, *events: Any) -> None:
        """Store events, and have them in the log, to be reacted to when their turn comes."""
        records = [record_of(each) for each in events]
        self.store.insert(records)
        self.log.append(records)

    def erase(self, user_id: str) -> str:
        return self.eraser.request(TENANT, user_id).id

    def work(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  no replay jobs here
        """React, and erase, until there is nothing to do."""
        while True:
            self.drain()
            if not self.eraser.step():
                self.drain()
                return

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that control keeps of people and their events, by name."""
        named = "JOIN participants p ON p.no = t.participant_no"
        own = "JOIN rules r ON r.no = t.rule_no"
        return {name: self.rows(sql.format(named=named, own=own)) for name, sql in _STATE.items()}


_STATE = {
    "participants": "SELECT project, mode, name FROM participants",
    # How shares come about depends on which events were judged together, so only that none is left of anybody who is gone.
    "shares of nobody": "SELECT participant_no FROM shares WHERE participant_no NOT IN (SELECT no FROM participants)",
    "persons of nobody": "SELECT name FROM participants WHERE whole_no NOT IN (SELECT no FROM participants)",
    "effects": "SELECT p.name, event_id, r.rule_id, ordinal, t.kind, detail FROM effects t {own} LEFT {named}",
    "markers": "SELECT event_id FROM markers",
    "standings": "SELECT p.name, r.rule_id, completions, best FROM standings t {own} LEFT {named}",
    "buckets": "SELECT p.name, r.rule_id, bucket, value FROM buckets t {own} LEFT {named}",
    "awards": "SELECT p.name, badge, event_id, stands FROM awards t LEFT {named}",
    "points": "SELECT p.name, event_id, points FROM points t LEFT {named}",
    "balances": "SELECT p.name, balance FROM balances t LEFT {named} WHERE balance != 0",
    "passed_over": "SELECT event_id FROM passed_over",
    "counts": "SELECT rule_id, passed_over FROM rules",
    "ids": "SELECT i.id, o.id, i.known, i.traits FROM person_ids i JOIN person_ids o ON o.no = i.person_no",
    "terms": "SELECT term, i.id FROM person_terms t LEFT JOIN person_ids i ON i.no = t.id_no",
    "joins": "SELECT a.id, b.id FROM person_joins t LEFT JOIN person_ids a ON a.no = t.kept_no "
    "LEFT JOIN person_ids b ON b.no = t.other_no",
    "members": "SELECT g.key, i.id FROM group_members t LEFT JOIN person_groups g ON g.no = t.group_no "
    "LEFT JOIN person_ids i ON i.no = t.id_no",
}
