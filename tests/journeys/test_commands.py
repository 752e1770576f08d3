"""`headrace journeys` as an operator calls it: a rehearsal without a server, and questions to a running one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import run as run_forked
from tests.server import Server

RULES = """
journeys:
  - id: welcome
    trigger: {event: signed_up, when: event.properties.plan == "pro"}
    exit: [account.deleted]
    steps:
      - {id: settle, wait: 1h}
      - {id: crm, call: {webhook: crm}}
      - id: bought
        branch:
          when: steps.crm.reply.ok == true && person.traits.vip
          then:
            - {id: hello, emit: {event: welcome.sent}}
  - id: follow
    trigger: {event: welcome.sent}
    steps:
      - {id: later, wait: 1d}
"""
EVENTS = [
    {"name": "user.identified", "type": "identify", "user_id": "ada", "traits": {"vip": True}},
    {"name": "signed_up", "user_id": "ada", "properties": {"plan": "pro"}, "message_id": "m1"},
    {"name": "signed_up", "user_id": "ada", "properties": {"plan": "pro"}, "message_id": "m1"},
    {"name": "signed_up", "user_id": "bob", "properties": {"plan": "free"}},
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_forked([sys.executable, "-m", "headrace.cli.main", "journeys", *arguments])


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


def events(folder: Path, *rows: object) -> Path:
    path = folder / "events.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_a_rehearsal_prints_what_would_happen_in_the_order_of_time(tmp_path: Path, rules: Path) -> None:
    rows = [row | {"timestamp": "2025-01-06T10:00:00Z"} for row in EVENTS]
    (tmp_path / "replies.json").write_text('{"crm": {"ok": true}}')
    done = run(
        *("simulate", str(rules), "--events", str(events(tmp_path, *rows)), "--json"),
        *("--replies", str(tmp_path / "replies.json")),
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["at"][8:16], each["person"], each["journey"], each.get("step"), each["what"]) for each in found] == [
        ("06T10:00", "ada", "welcome", None, "entered"),
        ("06T10:00", "ada", "welcome", "settle", "waits"),
        ("06T11:00", "ada", "welcome", "settle", "waited"),
        ("06T11:00", "ada", "welcome", "crm", "waits"),
        ("06T11:00", "ada", "welcome", "crm", "replied"),
        ("06T11:00", "ada", "welcome", "bought", "then"),
        ("06T11:00", "ada", "welcome", "hello", "emitted"),
        ("06T11:00", "ada", "welcome", None, "done"),
        ("06T11:00", "ada", "follow", None, "entered"),
        ("06T11:00", "ada", "follow", "later", "waits"),
        ("07T11:00", "ada", "follow", "later", "waited"),
        ("07T11:00", "ada", "follow", None, "done"),
    ]
    assert "1 repeats of a message id were left out" in done.stderr


def test_a_bad_document_or_event_is_named_with_its_line(tmp_path: Path, rules: Path) -> None:
    good = {"name": "x", "timestamp": "2025-01-06"}
    for bad, said in (
        ({"name": "x"}, "timestamp"),
        (good | {"timestamp": "soon"}, "soon"),
        (good | {"value": "1"}, "value"),
    ):
        done = run("simulate", str(rules), "--events", str(events(tmp_path, good, bad)))
        assert (done.returncode, done.stdout) == (2, "")
        assert "events.jsonl:2:" in done.stderr
        assert said in done.stderr
    rules.write_text(RULES.replace("wait: 1h", "wait: soon"))
    done = run("simulate", str(rules), "--events", str(events(tmp_path, good)))
    assert done.returncode == 2
    assert "rules.yaml:7: journeys[0].steps[0].wait: 'soon' is not a duration" in done.stderr


def test_the_running_server_is_asked_about_journeys_and_runs(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    try:
        with server.client(server.key()) as client:
            assert client.put("/api/v1/rules", content=RULES).status_code == 200
            event = {"name": "signed_up", "user_id": "ada", "properties": {"plan": "pro"}}
            assert client.post("/api/v1/events", json=event).status_code == 201
        data = ("--data", str(tmp_path / "data"))
        listed = run("list", *data).stdout.splitlines()
        assert [line.split("\t")[0] for line in listed] == ["id", "welcome", "follow"]
        assert listed[1].split("\t")[3:] == ["1", "0", "0", "0", "0"]
        assert run("runs", "welcome", "--person", "bob", *data).stdout.splitlines()[1:] == []
        row = run("runs", "welcome", "--person", "ada", *data).stdout.splitlines()[1].split("\t")
        assert row[1:4] == ["ada", "active", "settle"]
        assert json.loads(run("run", row[0], *data).stdout)["data"]["waits"]["for"] == "time"
        (tmp_path / "rules.yaml").write_text(RULES)
        rehearsed = run("simulate", str(tmp_path / "rules.yaml"), *data).stdout.splitlines()
        assert [line.split()[3:] for line in rehearsed[:2]] == [
            ["entered"],
            ["settle:", "waits", *rehearsed[1].split()[5:]],
        ]
        assert run("cancel", row[0], *data).stdout == f"{row[0]} is cancelled at settle\n"
        refused = run("retry", row[0], *data)
        assert (refused.returncode, "Only a failed run can be retried" in refused.stderr) == (2, True)
        assert "There is no journey 'x'" in run("show", "x", *data).stderr
    finally:
        assert server.stop() == 0


BY_TRAIT = """
journeys:
  - id: greet
    trigger: {event: opened, when: person.traits.plan == "pro"}
    steps:
      - {id: hello, emit: {event: hello}}
"""


def test_a_simulation_of_stored_events_knows_traits_and_anonymous_visitors(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    try:
        with server.client(server.key()) as client:
            for user, plan in (("ada", "pro"), ("bob", "free")):
                told = {"userId": user, "timestamp": "2025-01-15T10:30:00Z", "traits": {"plan": plan}}
                assert client.post("/api/identify", json=told).status_code < 300
                opened = {"name": "opened", "user_id": user, "timestamp": "2025-01-15T11:00:00Z"}
                assert client.post("/api/v1/events", json=opened).status_code == 201
            assert client.post("/api/v1/events", json={"name": "other", "user_id": "ada"}).status_code == 201
        (tmp_path / "rules.yaml").write_text(BY_TRAIT)
        shown = run("simulate", str(tmp_path / "rules.yaml"), "--data", str(tmp_path / "data"))
        assert [line.split()[1] for line in shown.stdout.splitlines()] == ["ada"] * 3, shown
    finally:
        assert server.stop() == 0
