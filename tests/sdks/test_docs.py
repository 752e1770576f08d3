"""docs/sdks.md: each block of Python in it does what it is there for, as it stands."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.sdks.at_once import at_once
from tests.sdks.children import run
from tests.server import Server

PAGE = (Path(__file__).parents[2] / "docs" / "sdks.md").read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n+```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


def test_every_sdk_has_a_block() -> None:
    assert BLOCKS.keys() == {"Segment", "RudderStack", "PostHog", "Amplitude", "Mixpanel", "CloudEvents"}


@pytest.fixture(scope="module")
def sent(server: Server) -> Iterator[dict[str, "Future[str]"]]:
    """Each block has run; its key."""
    keys = {sdk: server.key(f"docs-{sdk.lower()}") for sdk in BLOCKS}

    def run_block(sdk: str) -> str:
        run(sdk, server.url, keys[sdk], "code", code=BLOCKS[sdk])
        return keys[sdk]

    yield from at_once(run_block, BLOCKS)


@pytest.mark.parametrize("sdk", BLOCKS)
def test_the_block_delivers_its_event(server: Server, sent: dict[str, "Future[str]"], sdk: str) -> None:
    with server.client(sent[sdk].result()) as client:
        [event] = client.get("/api/v1/events").json()["data"]
    assert (event["name"], event["user_id"]) == ("Order Completed", "user_1")
    assert event["properties"]["revenue"] == 49.99
