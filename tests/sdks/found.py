"""What the server has of what an SDK sent."""

from typing import Any

from tests.server import Client


def whole(client: Client) -> list[dict[str, Any]]:
    """Every event, with all its fields."""
    rows = client.get("/api/v1/events", params={"limit": 1000}).json()["data"]
    return [client.get(f"/api/v1/events/{row['id']}").json()["data"] for row in rows]
