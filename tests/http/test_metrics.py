"""/metrics: what was refused and why, which program runs, and what its process uses."""

import httpx

from headrace import __version__
from tests.server import Server


def metrics(server: Server) -> dict[str, float]:
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_each_refusal_is_counted_by_its_reason(server: Server) -> None:
    before = metrics(server)
    with server.client("sk_live_wrong") as client:
        client.post("/api/v1/events", json={"name": "a"})
        client.get("/api/v1/events")
    with server.client() as client:
        client.get("/no/such/route")
        client.put("/api/v1/events", json={})
    with httpx.Client(base_url=server.url) as client:  # past the direct way's path, with a slash at the end
        client.post("/api/v1/events/", json={"name": "a"})
    after = metrics(server)
    reasons = ("unauthorized", "not_found", "method_not_allowed")
    names = {reason: f'headrace_refused_total{{reason="{reason}"}}' for reason in reasons}
    grown = {reason: after.get(name, 0) - before.get(name, 0) for reason, name in names.items()}
    assert grown == {"unauthorized": 3, "not_found": 1, "method_not_allowed": 1}


def test_the_version_and_the_process_are_shown(server: Server) -> None:
    found = metrics(server)
    assert found[f'headrace_build_info{{version="{__version__}"}}'] == 1
    assert found["process_resident_memory_bytes"] > 0
    assert found["process_open_fds"] > 0
