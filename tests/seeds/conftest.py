"""A key of its own for every test, shown the way the documents show it: in a command."""

import shutil
from collections.abc import Callable
from functools import partial

import pytest

from tests.seeds.examples import Reply, send_by_curl, send_by_httpx
from tests.server import Client, Server

Send = Callable[[str], Reply]


@pytest.fixture(params=["curl", "httpx"])
def send(request: pytest.FixtureRequest, server: Server, client: Client) -> Send:
    """Sends a document's command to this server with the key of `client`."""
    if request.param == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed; the same command is sent by httpx")
    transport = send_by_curl if request.param == "curl" else send_by_httpx
    key = client.headers["Authorization"].removeprefix("Bearer ")
    return partial(transport, url=server.url, key=key)
