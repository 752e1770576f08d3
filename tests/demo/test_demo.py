"""`make demo` as a newcomer runs it, without a terminal."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo.examples import DOCUMENTS, Example, differences, parse_curl
from tests.demo.commands import curls
from tests.demo.conftest import ROOT, Staying, environ
from tests.seeds.examples import document

# Starts its server, shows nothing, and ends as the demo does: what it shows is looked at in the run that stays.
EMPTY = """
import sys

sys.path.insert(0, sys.argv.pop(1))
import demo

demo.show_all = demo.Demo.start
sys.exit(demo.main())
"""


def test_with_exit_it_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    closed_stdin = ["sh", "-c", 'exec "$@" <&-', "sh"]
    done = subprocess.run(
        [*closed_stdin, sys.executable, "-c", EMPTY, ROOT / "demo", "--exit"],
        env=environ(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode, list(tmp_path.iterdir())) == (0, []), done.stdout
    assert "The server has stopped and its data is removed." in done.stdout


@pytest.mark.timeout(300)  # the fixture's time counts
def test_every_example_of_every_document_is_sent(staying: Staying) -> None:
    for each in DOCUMENTS:
        assert each.title in staying.output
        for example in each.examples:
            request = parse_curl(example.curl)
            path = request.target.partition("?")[0]
            assert re.search(rf"^{request.method} +{example.status} .* {path}", staying.output, re.MULTILINE)


def test_it_proves_what_it_promises(staying: Staying) -> None:
    for line in (
        r"ok   The same event in all three; Flux writes its id\n +evt_[0-9a-f]{32}\.",
        r"ok   Sent twice, counted once\.",
        r"ok   Acknowledged in [\d.]+ s, and every one counted immediately after\.",
        r"ok   All [\d,]+ are stored exactly once, plus (0|100) from the unanswered batch\.",
        r"ok   Three days in a row, one of them sent late, and 550 in a month: three\n +badges\.",
        r"ok   One new effect, and nothing happened twice\.",
        r"ok   The receiver answered, and what it answered decided how the journey went\n +on\.",
        r"ok   Replayed twice, fired once\.",
        r"ok   Together they have reached the goal: one badge, paid once, under either id\.",
        r"ok   Each has its own visits again, and what only both together had earned was\n +taken back\.",
        r"ok   20,014 from before the crash and [\d,]+ from around it: none lost, none\n +doubled\.",
    ):
        assert re.search(line, staying.output), staying.output


def test_what_the_readme_shows_is_what_it_prints(staying: Staying) -> None:
    shown = (ROOT / "README.md").read_text().split("```\n")[3]
    printed = _masked(staying.output)
    for line in shown.splitlines():
        assert line == "…" or _masked(line) in printed, line


def _masked(text: str) -> str:
    """Without what differs from run to run: ids, addresses, times and counts."""
    text = re.sub(r"[0-9a-f]{8}[0-9a-f-]{24,}", "<id>", text)
    return re.sub(r"[ \d]*\d[\d.,:TZ-]*", "<n>", text)


def test_without_a_terminal_it_prints_plain_lines_of_at_most_80_columns(staying: Staying) -> None:
    for line in staying.output.splitlines():
        assert line.isprintable()
        assert line == line.rstrip()
        assert len(line) <= 80 or "headrace-demo-" in line


@pytest.mark.parametrize(
    ("name", "example"),
    [
        (name, example)
        for name, each in zip(("flux", "bricqs", "solute", "hogsend"), DOCUMENTS, strict=True)
        for example in each.examples
        if not example.note.startswith("Ours")
    ],
)
def test_an_example_is_its_documents_byte_for_byte(name: str, example: Example) -> None:
    body = parse_curl(example.curl).body
    assert example.curl.strip() in document(name) or (body and body.decode() in document(name))


def test_it_stays_up_with_commands_that_work_until_ctrl_c(staying: Staying) -> None:
    paragraphs = staying.invitation.split("\n\n")
    script = "\n".join(each for each in paragraphs if each.startswith("curl "))
    requests = curls(script, {})
    assert len(requests) == script.count("curl ") == 6
    url = re.findall(r"now at (http://\S+)", staying.output)[-1]
    with httpx.Client(base_url=url, trust_env=False, verify=False, timeout=60) as client:
        replies = [
            client.request(each.method, each.target, headers=each.headers, content=each.body) for each in requests
        ]
        assert client.get("/docs", follow_redirects=True).status_code == 200
    assert [reply.status_code for reply in replies] == [201, 200, 200, 200, 200, 200]
    assert replies[1].json()["meta"]["total"] == 1
    assert replies[-1].json()["total"] == 3
    staying.process.send_signal(signal.SIGINT)
    assert staying.process.stdout is not None
    assert "Stopped." in staying.process.stdout.read()
    assert staying.process.wait(60) == 0


def test_a_difference_is_told_apart_and_named() -> None:
    expected = {"data": {"id": re.compile("evt_.*"), "n": 1, "list": [1, 2]}}
    assert list(differences(expected, {"data": {"id": "evt_1", "n": 1.0, "list": [1, 2]}})) == []
    for got, told in (
        ({"data": {"id": "x", "n": 1, "list": [1, 2]}}, ".data.id: expected evt_.*, got 'x'"),
        ({"data": {"id": "evt_1", "n": 2, "list": [1, 2]}}, ".data.n: expected 1, got 2"),
        ({"data": {"id": "evt_1", "n": True, "list": [1, 2]}}, ".data.n: expected 1, got True"),
        ({"data": {"id": "evt_1", "n": 1, "list": [1]}}, ".data.list: expected [1, 2], got [1]"),
    ):
        assert list(differences(expected, got)) == [told]
    assert list(differences({"a": 1}, {"a": 1, "b": 2}))
    assert list(differences({"a": 1}, {}))
