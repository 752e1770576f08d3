"""The long form of test_cluster.py: python -m tests.scale.soak --minutes 12 --deeds 110

Two gateways and two workers under traffic, on Valkey, PostgreSQL and the face of a ClickHouse, each behind a proxy. Every few seconds
something is done to one of them (deeds.py): it is killed, stopped, suspended for longer than its lease, delayed, cut off, or loses
replies. Nobody shortens leases. At the end the books have to balance: who sent what, what the store has, what reactions have booked.
guards.py runs it over changed source, to see that it can fail.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from tests.scale.books import booked, order_of_effects
from tests.scale.cluster import Cluster, wait_until
from tests.scale.deeds import USUAL, Deeds, answers
from tests.scale.parts import Parts
from tests.scale.store_process import StoreProcess
from tests.scale.traffic import RULES, Traffic

WRONG = "WRONG: "
_MARK = "if(message_id = '', user_id, message_id)"
_SHOWN = 10  # of each kind


class Books:
    """What the store has, given its rows (mark, person) in the order of the log. A mark is its person and a number, if it has a key."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self.stored = Counter[str]()
        self.out_of_order: list[str] = []
        by_person: dict[str, list[int]] = {}
        for mark, person in rows:
            self.stored[mark] += 1
            if mark != person and self.stored[mark] == 1:
                by_person.setdefault(person, []).append(int(mark.rpartition("-")[2]))
        for person, numbers in by_person.items():
            self.out_of_order += [
                f"{person}: {later} after {earlier}" for earlier, later in pairwise(numbers) if later < earlier
            ]


def rows_of(store: StoreProcess) -> list[tuple[str, str]]:
    sql = f"SELECT {_MARK}, user_id FROM events WHERE name = 'n' ORDER BY position, tail"
    return [(mark, person) for mark, person in store.ask(sql)]


def doubled(store: StoreProcess) -> list[str]:
    """What is wrong already, while traffic goes on. Nothing, while the store does not answer."""
    try:
        [[more]] = store.ask(f"SELECT count() - uniqExact({_MARK}) FROM events WHERE name = 'n'")
    except OSError:
        return []
    return [f"doubled: {more} events"] if int(more) else []


def disordered(effects: Mapping[int, list[str]]) -> list[str]:
    """effects: by participant, the events in the order in which they were booked."""
    return [f"out of order: the effects of participant {no}" for no, ids in effects.items() if ids != sorted(ids)]


def quantiles(seconds: list[float], /) -> str:
    """p50 and p99, in ms."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    middle, most = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"p50 {middle * 1000:,.0f} ms, p99 {most * 1000:,.0f} ms ({len(ordered)})"


class Soak:
    """One run. wrong: what nobody should ever see; each begins with what kind it is of."""

    def __init__(self, cluster: Cluster, parts: Parts, seed: int) -> None:
        self._cluster = cluster
        self._parts = parts
        self.wrong: list[str] = []
        with cluster.client() as client:
            wait_until(lambda: client.put("/api/v1/rules", content=RULES).is_success, "rules")
        self.traffic = Traffic(cluster, people=3, unkeyed=1, seed=seed)
        self.deeds = Deeds(cluster, parts, self.traffic.ledger, seed)

    def run(self, seconds: float, deeds: int, times: Mapping[str, int], *, until_wrong: bool) -> None:
        """Until the time is up or so many deeds are done; or, if asked, until something is seen to be wrong."""
        until = time.monotonic() + seconds
        self.traffic.start()
        try:
            for name in self.deeds.plan(times):
                if time.monotonic() > until or self.deeds.done.total() >= deeds:
                    break
                self.deeds.do(name)
                print(f"{self.deeds.done.total()} {name}", file=sys.stderr, flush=True)
                self.wrong = self._seen()
                if self.wrong and until_wrong:
                    return
            self.deeds.calm()
        finally:
            self.traffic.stop()
        with self._cluster.client(1) as client:
            wait_until(lambda: answers(client, "/api/v1/events/count"), "a count")
        self._balance()

    def _seen(self) -> list[str]:
        traffic = self.traffic
        stale = [f"stale: {each}" for each in traffic.stale[:_SHOWN]]
        refused = [f"refused: {each}" for each in traffic.refused[:_SHOWN]]
        return [*self.deeds.wrong, *self.deeds.strange(), *stale, *refused, *doubled(self._parts.store)]

    def _balance(self) -> None:
        books = Books(rows_of(self._parts.store))
        points = booked(self._cluster)
        balance = self.traffic.ledger.balance(books.stored)
        print(balance)
        print(f"{points} points booked for {balance.stored} events; out of order: {len(books.out_of_order)}")
        self.wrong = self._seen()
        self.wrong += [f"lost: {each}" for each in balance.lost[:_SHOWN]]
        self.wrong += [f"phantom: {each}" for each in balance.phantom[:_SHOWN]]
        self.wrong += [f"out of order: {each}" for each in books.out_of_order[:_SHOWN]]
        self.wrong += disordered(order_of_effects(self._cluster))[:_SHOWN]
        if points != balance.stored:
            self.wrong.append(f"effects: {points} points for {balance.stored} events")

    def _stored_again(self) -> int:
        """How often. Nothing else puts right at the next take-over what a store has lost."""
        return sum("store_lost_events" in str(line) for each in self._cluster.workers for line in list(each.logs))

    def __str__(self) -> str:
        deeds, traffic = self.deeds, self.traffic
        lines = [
            f"{deeds.done.total()} deeds: {dict(deeds.done)}",
            f"stored events that a worker found gone, and stored again: {self._stored_again()}",
            f"late commits that met a project that was behind: {deeds.late.schedules} of {deeds.done['late_commits']}",
            f"{traffic.retries} requests sent again; {traffic.reads} counts, of which {len(traffic.stale)} stale",
            *(f"taken over after {why}: {quantiles(took)}" for why, took in sorted(deeds.taken_over_s.items())),
            f"counts answered at once: {quantiles(traffic.waits_s)}",
        ]
        return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--minutes", type=float, default=12.0)
    arguments.add_argument("--deeds", type=int, default=110, help="stop after so many")
    arguments.add_argument(
        "--only", nargs="+", choices=list(USUAL), metavar="DEED", help="a name for each time in a round"
    )
    arguments.add_argument("--until-wrong", action="store_true", help="stop once something is seen to be wrong")
    arguments.add_argument(
        "--partitions", type=int, default=1, help="of the log: both workers store if there are several"
    )
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    given = arguments.parse_args()
    print(f"soak-scale: {given.minutes:g} minutes, seed {given.seed}", file=sys.stderr, flush=True)
    began = time.monotonic()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        parts = Parts(Path(folder))
        try:
            own, shared = parts.own_control_url, {"HEADRACE_LOG_PARTITIONS": str(given.partitions)}
            cluster = Cluster(Path(folder), *parts.urls, own_control_url=own, of_workers=parts.of_workers, **shared)
            soak = Soak(cluster.start(), parts, given.seed)
            times = Counter(given.only) if given.only else USUAL
            try:
                soak.run(given.minutes * 60, given.deeds, times, until_wrong=given.until_wrong)
                wrong += soak.wrong
            except AssertionError as error:  # what was waited for has not come about
                wrong += [*soak.wrong, f"stuck: {error}"]
            print(soak)
            if not wrong:
                wrong += [f"exit code {code}" for code in cluster.stop() if code]
        finally:
            parts.close()
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    print(*(f"{WRONG}{each}" for each in wrong), sep="\n", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
