"""The longest that conditions keep the interpreter's lock: random conditions over random events of up to the largest size.

python -m bench.conditions [--conditions 2000] [--seed 1] [--record]

For each condition that is taken and each of some events: how long one evaluation took at most, how long handing the event over, and
how long everything that one event set off under 100 such rules. Times are the least of three, so that they are those of the work and
not those of what else the machine did.
"""

import argparse
import gc
import time
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from bench import report
from headrace.reactions import cost
from headrace.reactions.conditions import Condition, Malformed, TooCostly, load_cel
from headrace.reactions.document import FactRule
from headrace.reactions.facts import FactMaker, facts_of
from headrace.reactions.reading import Reading
from tests.reactions import arbitrary

_EVENTS = 40
_RULES_AT_ONCE = 100


class Worst(NamedTuple):
    ms: float = 0.0
    bound_ms: float = 0.0  # what was worked out for it
    what: str = ""


def least_ms(run: Callable[[], Any], bound_ms: float) -> float:
    """The least of three; one that is far below what it may take is not repeated."""
    least = 1e9
    for _ in range(3):
        begin = time.thread_time()
        run()
        least = min(least, (time.thread_time() - begin) * 1e3)
        if least < bound_ms / 5:
            break
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conditions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="into RESULTS.md")
    given = parser.parse_args()
    random = Random(given.seed)
    gc.disable()
    taken: list[Condition] = []
    refused = {"kinds": 0, "cost": 0}
    while len(taken) < given.conditions:
        try:
            taken.append(Condition(arbitrary.condition(random)))
        except TooCostly:
            refused["cost"] += 1
        except Malformed:
            refused["kinds"] += 1
    events = [arbitrary.event(random, arbitrary.LARGEST_BYTES if number % 2 else None) for number in range(_EVENTS)]
    evaluation, handing, beyond, passed_over, looks = Worst(), Worst(), Worst(), 0, 0
    for condition in taken:
        for event in random.sample(events, 8):
            looks += 1
            reading = Reading(event)
            sizes = {path: size for path in condition.paths if (size := reading.size(path))}
            work = condition.work.at(sizes)
            hand = sum(size.handing() for size in sizes.values())
            if not cost.admitted([cost.Wanted(work, condition.paths)], {p: s.handing() for p, s in sizes.items()}, 0.0)[
                0
            ]:
                passed_over += 1
                continue
            bound = hand / 1e6
            values = reading.values(condition.paths)[0]
            took = least_ms(lambda: load_cel().Context(variables={"event": values}), bound)  # noqa: B023
            handing = max(handing, Worst(took, bound, condition.text[:60]))
            context = load_cel().Context(variables={"event": values})
            took = least_ms(lambda: _evaluate(condition, context), work / 1e6)  # noqa: B023
            evaluation = max(evaluation, Worst(took, work / 1e6, condition.text[:60]))
            if work > 100_000:  # below that the clock decides
                beyond = max(beyond, Worst(took * 1e6 / work, work / 1e6, condition.text[:60]))
    whole = Worst()
    for start in range(0, len(taken), _RULES_AT_ONCE):
        makers = [
            FactMaker(
                FactRule(id=f"r{number}", event="order.*", when=each.text, fields={"s": "properties.s"}), number + 1
            )
            for number, each in enumerate(taken[start : start + _RULES_AT_ONCE])
        ]
        for event in random.sample(events, 8):
            took = least_ms(lambda: facts_of("0" * 32, event, makers), 5.0)  # noqa: B023
            whole = max(whole, Worst(took, cost.EVENT_NS / 1e6, f"{len(makers)} rules"))
    heads = ["of the processor's time", "longest, ms", "counted as at most, ms", "where"]
    table = report.table(
        heads,
        [
            ["one evaluation", f"{evaluation.ms:.2f}", f"{cost.EVALUATION_NS / 1e6:.1f}", f"`{evaluation.what}…`"],
            ["handing one event over", f"{handing.ms:.2f}", f"{cost.EVALUATION_NS / 1e6:.1f}", f"`{handing.what}…`"],
            [f"an event under {_RULES_AT_ONCE} of them", f"{whole.ms:.2f}", f"{cost.EVENT_NS / 1e6:.1f}", ""],
        ],
    )
    said = (
        f"{len(taken)} random conditions that were taken (refused: {refused['kinds']} for what they say, {refused['cost']} for "
        f"their cost), seed {given.seed}; {looks} looks at events of up to 256 KiB, {passed_over} of which were not evaluated. An "
        f"evaluation of more than 0.1 ms took at most {beyond.ms:.2f} times what was counted."
    )
    print(said, table, sep="\n\n")
    if given.record:
        report.record("bench.conditions", f"## Conditions, the longest\n\n{report.machine()}\n\n{said}\n\n{table}")


def _evaluate(condition: Condition, context: Any) -> None:
    try:
        condition.holds(context)
    except Malformed:
        pass


if __name__ == "__main__":
    main()
