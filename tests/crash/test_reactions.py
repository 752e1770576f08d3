"""A crash between any two steps, and in the middle of the reactions' transaction, counts and causes nothing twice and loses nothing."""

import itertools
import signal
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.server import Server

RULES = """
facts:
  - {id: visit, event: visit, fact_type: visited}
  - {id: heavy, event: visit, when: size(event.properties.l) > 0, fact_type: heavy}
challenges:
  - {id: often, fact: visited, goal: 3, repeat: true, points: 1}
badges:
  - {id: regular, fact: visited, count: 2, points: 10}
"""


HASTY = {
    "HEADRACE_PUT_ASIDE_EVENTS": "3",
    "HEADRACE_PUT_ASIDE_S": "0.0001",
}  # less than a millisecond: any time will do
LARGE = {"l": [1] * 3000}  # more than the rule `heavy` may look at


@pytest.mark.parametrize("step", ["insert:2", "react:1", "react:3", "commit:2"])
def test_a_crash_counts_and_causes_nothing_twice_and_loses_nothing(tmp_path: Path, step: str) -> None:
    server = Server(tmp_path, HASTY, [sys.executable, "-m", "tests.crash.serve_and_die", step]).start()
    key = server.key()
    acknowledged = 0
    with server.client(key) as client:
        try:
            assert client.put("/api/v1/rules", content=RULES).status_code == 200
            for number in itertools.count():
                body = [
                    {"name": "visit", "user_id": f"u{(number + each) % 5}", "properties": LARGE} for each in range(12)
                ]
                assert client.post("/api/v1/events/batch", json=body).status_code == 201
                acknowledged += len(body)
                one = {"event_name": "visit", "participant_id": f"u{number % 3}"}
                # Waits for its reactions, or it would be a thousand events before the worker has done three steps.
                assert client.post("/ingest/events/sync", json=one).status_code in (200, 202)
                acknowledged += 1
        except httpx.TransportError:
            pass
    assert server.wait() == -signal.SIGKILL

    server = Server(tmp_path, HASTY).start()
    try:
        with server.client(key) as client:
            events = client.get("/api/v1/events", params={"limit": "1000"}).json()["data"]
            assert len(events) >= acknowledged
            visits = Counter(event["user_id"] for event in events)
            for user, count in visits.items():
                participant = client.get(f"/api/v1/participants/{user}").json()["data"]
                [often] = participant["challenges"]
                assert (often["progress"], often["completions"]) == (count, count // 3)
                assert participant["points"]["balance"] == count // 3 + 10 * (count >= 2)
                assert len(participant["badges"]) == (count >= 2)
            effects = Counter(
                effect["kind"]
                for event in events
                for effect in client.get(f"/api/v1/events/{event['id']}/effects").json()["data"]
            )
            completed = sum(count // 3 for count in visits.values())
            badges = sum(count >= 2 for count in visits.values())
            wanted = {"fact": len(events), "challenge": completed, "badge": badges, "points": completed + badges}
            assert effects == Counter(wanted)
            [heavy] = [each for each in client.get("/api/v1/rules").json()["data"]["rules"] if each["id"] == "heavy"]
            assert [each["mode"] for each in heavy["put_aside"]] == ["live"]
            assert heavy["passed_over"] == len(events), "each event is passed over once"
            replayed = client.post("/v1/admin/events/replay", json={"filter": {"event": "visit"}, "dryRun": True})
            assert replayed.json()["effects"] == []
    finally:
        assert server.stop() == 0
