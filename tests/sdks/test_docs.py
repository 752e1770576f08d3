"""docs/sdks.md: each block of Python in it does what it is there for, as it stands."""

import re
from pathlib import Path

import pytest

from tests.sdks.children import run
from tests.server import Client, Server

PAGE = (Path(__file__).parents[2] / "docs" / "sdks.md").read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n+```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


def test_every_sdk_has_a_block() -> None:
    assert BLOCKS.keys() == {"Segment", "RudderStack", "PostHog", "Amplitude", "Mixpanel", "CloudEvents"}


@pytest.mark.parametrize("sdk", BLOCKS)
def test_the_block_delivers_its_event(server: Server, client: Client, sdk: str) -> None:
    key = client.headers["Authorization"].removeprefix("Bearer ")
    run(sdk, server.url, key, "code", code=BLOCKS[sdk])
    [event] = client.get("/api/v1/events").json()["data"]
    assert (event["name"], event["user_id"]) == ("Order Completed", "user_1")
    assert event["properties"]["revenue"] == 49.99
