"""People at size: applying statements, listing, searching, one profile, one history, and a merge of two people with many events.

python -m bench.people [--people 1000000] [--events 100000] [--folder F] [--prepare] [--record]

Each person has two ids, joined by an identify, an email and a plan. Then two more people get `--events` events each in an embedded
store, beside as many of others, and become one, without rules and with some. Times are medians of several, in milliseconds; memory is not measured.

--folder keeps the people there: a run that finds them measures at once, on a copy of its own. --prepare only makes them, which may run
beside other work. The rate of statements is that of the last 100,000 people, which each run adds.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa

from bench import report
from headrace.control.database import open_database, transact
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.rulebook import Rulebook
from headrace.control.tables.people import person_ids, person_joins, person_terms
from headrace.model.entries import Record
from headrace.model.event import Event, Tenant, encode, event_id, first_position
from headrace.model.filters import Cursor, Filters, Page
from headrace.model.person import Op, Statement
from headrace.people import applying
from headrace.pipeline.applying_rules import apply_rules
from headrace.pipeline.people import PeopleAdmin
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines, load_rules
from headrace.reactions import event_facts, regrouping
from headrace.store.clickhouse import ClickHouseStore

TENANT = Tenant("bench", "live")
RULES = b"""{
  "facts": [{"id": "all", "event": "event-*", "fact_type": "done", "points": 1}],
  "challenges": [{"id": "often", "fact": "done", "goal": 1000, "repeat": true, "points": 5},
                 {"id": "daily", "fact": "done", "goal": 10, "window": {"per": "day"}, "repeat": true, "points": 1},
                 {"id": "streak", "fact": "done", "measure": "streak", "goal": 3}],
  "badges": [{"id": "gold", "challenge": "often", "times": 10}]
}"""
_AT_ONCE = 2000
_APPLIED = 100_000
_NOW_MS = 1_767_225_600_000
_STEP_MS = 1000


def statements(first: int, end: int) -> Iterator[Statement]:
    for number in range(first, end):
        ops = (Op("set", "email", f"{number % 97}.{number}@example.com"), Op("set", "plan", "pro"))
        yield Statement(f"user-{number}", (f"anonymous-{number}",), "identify", ops=ops)


def apply(engine: sa.Engine, first: int, people: int) -> float:
    """Statements applied in a second, of the people from `first` on."""
    states = ControlPeopleStates(engine)
    begun = time.perf_counter()
    for start in range(first, people, _AT_ONCE):
        batch = list(statements(start, min(start + _AT_ONCE, people)))
        state = states.load(TENANT, applying.needs(batch))
        for position, each in enumerate(batch, start + 1):
            applying.apply(state, each, position, position)
        transact(engine, lambda connection, state=state: states.save(connection, TENANT, state))
    return (people - first) / (time.perf_counter() - begun)


def write(engine: sa.Engine, people: int) -> None:
    """The rows of the first people, without applying statements one by one: ten million take minutes, not an hour."""
    for start in range(0, people, _WRITTEN_AT_ONCE):
        numbers = {"first": start, "end": min(start + _WRITTEN_AT_ONCE, people)}
        with engine.begin() as connection:
            for insert in _ROWS:
                connection.execute(sa.text(f"WITH RECURSIVE n(n) AS ({_NUMBERS}) {insert} FROM n"), numbers)


_WRITTEN_AT_ONCE = 200_000
_NUMBERS = "SELECT :first UNION ALL SELECT n + 1 FROM n WHERE n + 1 < :end"
_EMAIL = "(n % 97) || '.' || n || '@example.com'"
_TRAITS = f"""'{{"email":["' || {_EMAIL} || '",' || (n+1) || ',' || (n+1) || ',"set"],"plan":["pro",' || (n+1) || ',' || (n+1) || ',"set"]}}'"""
_ROWS = (
    f"INSERT INTO person_ids SELECT 2*n+1, 'bench', 'live', 'user-' || n, 2*n+1, 1, {_TRAITS}".replace(":", "\\:"),
    "INSERT INTO person_ids SELECT 2*n+2, 'bench', 'live', 'anonymous-' || n, 2*n+1, 0, '{}'",
    "INSERT INTO person_joins SELECT 2*n+1, 2*n+2, 'identify', n+1, 0",
    f"INSERT INTO person_terms SELECT 'bench', 'live', {_EMAIL}, 2*n+1",
)


def check_written(folder: Path) -> None:
    """Both ways of making people leave the same rows."""
    found: list[list[list[sa.Row[Any]]]] = []
    for number, make in enumerate((lambda engine: write(engine, 300), lambda engine: apply(engine, 0, 300))):
        engine = open_database(folder / f"check-{number}.sqlite")
        make(engine)
        with engine.connect() as connection:
            tables = (person_ids, person_joins, person_terms)
            found.append([list(connection.execute(sa.select(each).order_by(*each.primary_key))) for each in tables])
        engine.dispose()
    assert found[0] == found[1]


def milliseconds(run: Callable[[int], object], times: int = 7) -> float:
    """The median of a few runs, each given its number."""
    took: list[float] = []
    for number in range(times):
        begun = time.perf_counter()
        run(number)
        took.append((time.perf_counter() - begun) * 1000)
    return round(median(took), 2)


def fill_store(store: ClickHouseStore, events: int) -> None:
    """Events of two people, as anonymous visitors and as users, among as many of others."""
    position = first_position(_NOW_MS)
    records: list[Record] = []
    for number in range(events * 4):
        who = ("one", "two", f"user-{number}", f"user-{number + 1}")[number % 4]
        is_anonymous = number % 4 < 2 and number % 8 < 4
        event = Event(
            TENANT.project,
            TENANT.mode,
            "segment",
            f"event-{number % 40}",
            _NOW_MS + number * _STEP_MS,
            user_id="" if is_anonymous else who,
            anonymous_id=f"anonymous-{who}" if is_anonymous else "",
            properties='{"amount":5}',
        )
        position += 64
        records.append(Record(position, 7, encode(event)))
        if len(records) == 50_000 or number == events * 4 - 1:
            store.insert(records)
            records = []


def prepare(folder: Path, people: int) -> None:
    """Make control.sqlite with all but the last of the people in the folder; a run that was ended begins again."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        check_written(Path(scratch))
    begun, control = folder / "begun.sqlite", folder / "control.sqlite"
    for path in folder.glob("begun.sqlite*"):
        path.unlink()
    engine = open_database(begun)
    write(engine, people - min(people, _APPLIED))
    engine.dispose()
    begun.rename(control)


def measure(folder: Path, people: int, events: int) -> dict[str, float]:
    engine = open_database(folder / "control.sqlite")
    states, directory = ControlPeopleStates(engine), ControlPeople(engine)
    reaction_states = ControlReactionStates(engine)
    reactions = Reactions(reaction_states, RuleTimelines(Rulebook(engine)), lambda: _NOW_MS)
    admin = PeopleAdmin(directory, states, reaction_states, reactions)
    first = people - min(people, _APPLIED)
    with engine.connect() as connection:
        made = connection.scalar(sa.select(sa.func.count()).select_from(person_joins))
    assert made == first, f"the folder has {made:,} people and not {first:,}"
    found: dict[str, float] = {"statements applied a second": round(apply(engine, first, people))}
    found["control MiB"] = round((folder / "control.sqlite").stat().st_size / 2**20)
    step = max(1, people // 11)
    found["list, first page of 50"] = milliseconds(lambda _: directory.listed(TENANT, "", None, 50))
    found["list, page in the middle"] = milliseconds(lambda _: directory.listed(TENANT, "", people, 50))
    found["search, one email"] = milliseconds(
        lambda run: directory.listed(TENANT, f"{run * step % 97}.{run * step}@", None, 50)
    )
    found["search, one letter of an email"] = milliseconds(lambda run: directory.listed(TENANT, str(run), None, 50))
    found["search, a tenth of all, none of the newest"] = milliseconds(
        lambda _: directory.listed(TENANT, "user-1", None, 50), 3
    )
    found["search, every id"] = milliseconds(lambda _: directory.listed(TENANT, "user-", None, 50), 3)
    found["one profile by its anonymous id"] = milliseconds(
        lambda run: directory.person_of(TENANT, f"anonymous-{run * step}")
    )

    store = ClickHouseStore(f"chdb://{folder / 'store'}")
    fill_store(store, events)
    told = [Statement(who, (f"anonymous-{who}",), "identify") for who in ("one", "two")]
    say(engine, states, told, people + 1)
    before = directory.ids_of(TENANT, "one")
    page = Page(limit=50, brief=True)
    found["history of 50, two ids"] = milliseconds(lambda _: store.events(TENANT, Filters(people=before), page))
    found["counts by name, two ids"] = milliseconds(lambda _: store.seen_by_name(TENANT, before, 1000))
    found["merge"] = milliseconds(lambda _: say(engine, states, [Statement("one", (), "alias", "two")], people + 9), 1)
    after = directory.ids_of(TENANT, "two")
    assert len(after) == 4
    assert store.events(TENANT, Filters(people=after), page).total == 2 * events
    found["history of 50, four ids"] = milliseconds(lambda _: store.events(TENANT, Filters(people=after), page))
    found["counts by name, four ids"] = milliseconds(lambda _: store.seen_by_name(TENANT, after, 1000))
    found |= measure_rules(engine, states, admin, store, reactions, reaction_states)
    found["undo"] = milliseconds(lambda _: admin.part(TENANT, "one", "two"), 1)
    assert store.events(TENANT, Filters(people=directory.ids_of(TENANT, "two")), page).total == events
    store.close()
    engine.dispose()
    return found


def measure_rules(
    engine: Any,
    states: ControlPeopleStates,
    admin: PeopleAdmin,
    store: ClickHouseStore,
    reactions: Reactions,
    reaction_states: ControlReactionStates,
) -> dict[str, float]:
    """The same merge, where rules have made a fact, points and progress of every event. Both are one person before and after."""
    apply_rules(Rulebook(engine), TENANT.project, RULES, 1, last=lambda: 0, dry_run=False)
    admin.part(TENANT, "one", "two")
    cursor, replayed, begun = None, 0, time.perf_counter()
    ids = [*store_ids("one"), *store_ids("two")]
    while page := store.oldest(TENANT, Filters(people=ids), cursor, 500):
        reactions.replay(TENANT, page, force=False, dry_run=False)
        cursor, replayed = Cursor(page[-1].timestamp_ms, page[-1].position), replayed + len(page)
    found: dict[str, float] = {
        "events with a fact, points and progress a second": round(replayed / (time.perf_counter() - begun))
    }
    rules = load_rules(Rulebook(engine), TENANT.project)

    def merge(_: int) -> None:
        told = [Statement("one", (), "alias", "two")]
        people = states.load(TENANT, applying.needs(told))
        applying.apply(people, told[0], _NOW_MS, _NOW_MS)
        whole = tuple(sorted(people.ids, key=lambda each: each != "one"))
        state = reaction_states.load(TENANT, event_facts.needs(rules, [], whole=whole))
        seen = event_facts.EventFacts(
            event_id(first_position(_NOW_MS + 10**10), 1), "one", _NOW_MS, [], [], relevant=True
        )
        regrouping.merge(rules, state, seen, whole)
        reaction_states.save(TENANT, state, 0, lambda transaction: states.save(transaction, TENANT, people))

    found["merge, with rules"] = milliseconds(merge, 1)
    found["undo, with rules"] = milliseconds(lambda _: admin.part(TENANT, "one", "two"), 1)
    say(engine, states, [Statement("one", (), "alias", "two")], _NOW_MS + 1)
    return found


def store_ids(who: str) -> list[str]:
    return [who, f"anonymous-{who}"]


def say(engine: Any, states: ControlPeopleStates, told: list[Statement], first: int) -> None:
    state = states.load(TENANT, applying.needs(told))
    for position, each in enumerate(told, first):
        applying.apply(state, each, position, position)
    transact(engine, lambda connection: states.save(connection, TENANT, state))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--prepare", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        kept = given.folder or Path(scratch)
        if not (kept / "control.sqlite").exists():
            prepare(kept, given.people)
        if given.prepare:
            return
        if given.folder:
            shutil.copy(kept / "control.sqlite", scratch)
        found = measure(Path(scratch), given.people, given.events)
    lines = [f"| {what} | {value:g} |" for what, value in found.items()]
    text = "\n".join(("| what | figure |", "|---|---|", *lines))
    print(text)
    if given.record:
        title = f"## People: {given.people:,} of them, two with {given.events:,} events each"
        report.record("people", f"{title}\n\n{report.machine()}. Milliseconds, unless it says otherwise.\n\n{text}")


if __name__ == "__main__":
    main()
