"""What README.md says to type exists and works; test_demo.py has what it shows."""

import re
import subprocess
import sys

import httpx
import pytest

from demo.examples import Request
from headrace.model.keys import STYLES
from tests.demo.commands import curls
from tests.demo.conftest import ROOT
from tests.server import Server

README = (ROOT / "README.md").read_text()
SCRIPT = "".join(re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))


def test_its_make_commands_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b(?= |`|$)", README))
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"\bheadrace ((?:keys )?[a-z]+)\b", SCRIPT))))
def test_its_headrace_commands_exist(command: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", *command.split(), "--help"], check=True, capture_output=True
    )


def test_its_curl_commands_work_one_after_the_other(server: Server, project: str) -> None:
    keys = {style: server.key(project, style=style) for style in STYLES}
    setup = re.sub(r"^(uv tool|headrace serve) .*\n", "", SCRIPT, flags=re.MULTILINE)
    requests = curls(setup, keys)
    assert len(requests) == SCRIPT.count("curl ") == 6
    replies = [_send(server, request) for request in requests]
    assert [reply.status_code for reply in replies] == [201, 200, 200, 200, 200, 200], replies
    assert replies[1].json()["data"]["total"] == 1
    assert replies[4].json()["total"] == 3
    assert replies[5].json()["replayed"] == 1


def _send(server: Server, request: Request) -> httpx.Response:
    with server.client() as client:
        return client.request(request.method, request.target, headers=request.headers, content=request.body)
