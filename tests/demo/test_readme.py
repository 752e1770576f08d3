"""What README.md says to type exists and works; test_demo.py has what it shows."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx
import pytest

from demo.examples import Request
from headrace import __version__
from headrace.model.keys import STYLES
from tests.demo.commands import curls
from tests.demo.conftest import ROOT
from tests.forks import run as run_forked
from tests.server import Server

README = (ROOT / "README.md").read_text()
SCRIPT = "".join(re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))


def test_its_make_commands_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b(?= |`|$)", README))
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"\bheadrace ((?:keys )?[a-z]+)\b", SCRIPT))))
def test_its_headrace_commands_exist(command: str) -> None:
    shown = run_forked([sys.executable, "-m", "headrace.cli.main", *command.split(), "--help"])
    assert (shown.returncode, shown.stderr) == (0, "")


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


_MANAGED = (
    "import pathlib, sys, sysconfig, ensurepip, venv, pip\n"
    "print(sys.version_info[:2] == {}, (pathlib.Path(sysconfig.get_path('stdlib')) / 'EXTERNALLY-MANAGED').exists())"
)


@pytest.mark.timeout(400)
def test_its_install_line_works_with_a_python_that_the_system_manages(tmp_path: Path) -> None:
    """As Debian marks it (PEP 668). Packages are those of this environment: what is tried is the line, not the registry."""
    system = Path("/usr/bin/python3")
    asked = [str(system), "-c", _MANAGED.format(tuple(sys.version_info[:2]))]
    if not system.exists() or subprocess.run(asked, capture_output=True, text=True).stdout != "True True\n":
        pytest.skip("no Python like this one is managed by the system here; `make test-fresh` installs one")
    text = README.replace("\n", " ")
    line = re.search(r"`(python3 -m venv (\S+) && \S+/pip install) \.`", text)
    assert line is not None
    assert f"`{line[2]}/bin/headrace`" in text
    environ = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "HEADRACE_CONSOLE": "skip",  # its build needs a registry
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)

    assert "externally-managed-environment" in run("env -u PYTHONPATH python3 -m pip install .").stderr
    offline = "--no-deps --no-build-isolation --no-index --ignore-installed --no-compile -q ."
    done = run(f"{line[1]} {offline} && {line[2]}/bin/headrace --version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == __version__


def _send(server: Server, request: Request) -> httpx.Response:
    with server.client() as client:
        return client.request(request.method, request.target, headers=request.headers, content=request.body)
