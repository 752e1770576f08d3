"""What was acknowledged is in the very next query: over a real server, by many writers and readers at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.server import Client, Server


def test_no_query_misses_an_event_acknowledged_before_it_was_sent(server: Server, project: str, client: Client) -> None:
    """Each writer counts after each write; whatever others write meanwhile, the count is at least what was acknowledged."""
    acknowledged = 0
    lock = threading.Lock()
    key = server.key(project)
    mine = {"/api/v1/events": {"name": "w"}, "/ingest/events": {"event_name": "w", "participant_id": "p"}}

    def write(number: int) -> list[str]:
        nonlocal acknowledged
        missed: list[str] = []
        with server.client(key) as own:
            for turn in range(20):
                path, body = list(mine.items())[(number + turn) % 2]
                assert own.post(path, json=body).is_success
                with lock:
                    acknowledged += 1
                    at_least = acknowledged
                total = own.get("/api/v1/events/count").json()["data"]["total"]
                if total < at_least:
                    missed.append(f"{total} of {at_least}")
        return missed

    with ThreadPoolExecutor(6) as threads:
        assert [missed for found in threads.map(write, range(6)) for missed in found] == []
    assert client.get("/v1/admin/events").json()["total"] == 120
