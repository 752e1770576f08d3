"""`headrace webhooks …` against a real server and real receivers."""

import json
from collections.abc import Callable

import pytest
from standardwebhooks.webhooks import Webhook

from headrace.cli.main import app
from headrace.model.errors import InvalidRequest
from tests.delivery.receivers import OK, Receiver, answer
from tests.http.test_webhooks import ended, hooking, hooks
from tests.server import Client, Server

__all__ = ["hooking", "hooks"]  # fixtures


@pytest.fixture
def command(hooking: Server, project: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `headrace webhooks …` for the test's project, and returns what it prints."""

    def run(*words: str) -> str:
        app(["webhooks", *words, "--project", project, "--data", str(hooking.data)])
        return capsys.readouterr().out

    return run


def test_the_commands_set_a_webhook_up_and_send_to_it(hooks: Client, command: Callable[..., str]) -> None:
    with Receiver() as receiver:
        made = json.loads(command("create", receiver.url, "event", "badge.awarded", "--id", "w", "--name", "order.*"))
        assert (made["topics"], made["filter"]) == (["event", "badge.awarded"], {"name": "order.*"})
        header, row = (line.split("\t") for line in command("list").splitlines())
        assert header == ["id", "status", "waiting", "topics", "url", "problem"]
        assert row == ["w", "enabled", "0", "event,badge.awarded", receiver.url, "-"]
        assert json.loads(command("show", "w"))["id"] == "w"
        sent = json.loads(command("test", "w"))
        assert sent["status"] == "delivered"
        secret = command("rotate", "w", "--overlap-seconds", "60").strip()
        assert command("redeliver", "w", sent["id"]) == "1 delivery is sent again\n"
        receiver.wait_for(lambda: len(receiver.posted) == 2)
        for each in (made["secret"], secret):
            Webhook(each).verify(receiver.posted[1].body, receiver.posted[1].headers)
        assert json.loads(command("change", "w", "event", "journey.ended"))["topics"] == ["event", "journey.ended"]
        assert json.loads(command("change", "w", "--url", receiver.url))["url"] == receiver.url
        assert json.loads(command("disable", "w"))["status"] == "disabled"
        assert json.loads(command("enable", "w"))["status"] == "enabled"
        assert command("delete", "w") == "deleted w\n"
        assert len(command("list").splitlines()) == 1


def test_the_commands_show_dead_letters_and_send_them_again(
    hooks: Client, command: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Receiver(answer(500)) as receiver:
        command("create", receiver.url, "event", "--id", "w")
        with pytest.raises(SystemExit, match="1"):
            command("test", "w")
        key = json.loads(capsys.readouterr().out)["id"]
        [line] = command("deliveries", "w", "--status", "dead").splitlines()[1:]
        assert line.split("\t")[:4] == [key, "test", "dead", "1"]
        assert line.endswith("The receiver answered 500.")
        assert json.loads(command("deliveries", "w", key))["attempts"][0]["status"] == 500
        receiver.behave = lambda _connection, _posted: OK
        assert command("redeliver", "w", "--from", "2026-01-01") == "1 delivery is sent again\n"
        ended(hooks, "w", key, "delivered")
        assert command("redeliver", "w", "--to", "2020-01-01") == "0 deliveries are sent again\n"


def test_a_command_that_fails_says_what_the_server_said(command: Callable[..., str]) -> None:
    with pytest.raises(InvalidRequest, match=r"There is no webhook 'a b'\."):
        command("show", "a b")
    with pytest.raises(InvalidRequest, match="no topic"):
        command("create", "https://example.com/", "badges")
