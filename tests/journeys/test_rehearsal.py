"""The dry run of a rebuild moves the runs of journeys through its slices as one replay of all events would."""

import threading
from pathlib import Path

from headrace.control.scratch import ScratchFile
from headrace.control.settlement import Settlement
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.replay.rebuild import Rebuild
from headrace.replay.rehearsal import Rehearsals
from tests.fakes import MemoryStore
from tests.journeys.machine import TENANT, Machine
from tests.reactions.given import TwoByTwo

WAITS = [{"id": "paid", "wait_for": {"event": "order.paid", "timeout": "30d"}}]
JOURNEYS = [
    {"id": "j", "trigger": {"event": "order.placed"}, "entry": "once", "exit": ["order.cancelled"], "steps": WAITS},
    {"id": "k", "trigger": {"event": "order.placed"}, "entry": {"at_most": 3}, "steps": WAITS},
]


def test_slices_of_a_rehearsal_change_nothing(machine: Machine, tmp_path: Path) -> None:
    before = [machine.send("order.placed", "known"), machine.send("order.placed", "other")]
    names = ["order.placed", "order.paid", "order.placed", "order.cancelled", "order.placed", "order.placed"]
    machine.apply({"journeys": JOURNEYS[:1]})
    later = [machine.send(name, user) for name in names for user in ("known", "new")]
    machine.settle()
    machine.apply({"journeys": JOURNEYS})
    events = [*before, *later]
    runs = machine.runs()
    whole = machine.replay(*events, dry_run=True)

    rehearsed = _rehearsals(machine, tmp_path).run(TENANT, events[-1].position, threading.Event())
    assert rehearsed.first_effects == whole.effects
    assert (rehearsed.events, rehearsed.suppressed, rehearsed.failed) == (len(events), whole.suppressed, 0)
    assert {str(effect.detail["did"]) for effect in whole.effects} >= {"entered", "moved"}
    assert machine.runs() == runs
    assert machine.replay(*events).effects == whole.effects


def _rehearsals(machine: Machine, folder: Path) -> Rehearsals:
    store = MemoryStore()
    store.insert(machine.log.read(0, 10**6, 1 << 30))
    timelines = RuleTimelines(machine.rulebook, machine.journeys)
    return Rehearsals(
        *(store, machine.states, lambda over: Reactions(over, timelines, lambda: machine.now_ms)),
        Rebuild(Settlement(machine.engine), machine.reactions.payers, lambda: machine.now_ms),
        scratch=lambda: ScratchFile(folder),
        pace=lambda: TwoByTwo(1.0, is_quiet=lambda: True, ask=lambda: lambda: 0.0),
    )
