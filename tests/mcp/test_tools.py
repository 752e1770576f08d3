"""The tools for language models: over the official SDK's own client, against a running server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from headrace.cli.remote import base_of
from headrace.http.docs import document
from headrace.mcp import tools as tools_module
from headrace.mcp.server import Unanswered
from headrace.mcp.server import ask as ask_server
from headrace.mcp.tools import MAX_ANSWER_CHARS, Refused, Request, rendered, tools
from headrace.model.errors import SettingsError
from tests.ports import reserved_port
from tests.server import Client, Server
from tests.waiting import until

TOOLS = {tool.name: tool for tool in tools()}
COMMAND = [sys.executable, "-m", "headrace", "mcp"]


def test_every_tool_says_what_it_takes_without_references() -> None:
    assert list(TOOLS) == ["catalogue", "query", "funnel", "retention", "paths", "event", "trace", "explain_rule"]
    for tool in TOOLS.values():
        assert tool.schema["type"] == "object"
        assert "$ref" not in json.dumps(tool.schema)


def test_questions_are_limited_unless_asked_otherwise() -> None:
    assert TOOLS["query"].request({"measure": "users"}).body == {"measure": "users", "limit": 50}
    assert TOOLS["query"].request({"limit": 3}).body == {"limit": 3}
    assert TOOLS["retention"].request({"first": {}}).body == {"first": {}}
    assert TOOLS["catalogue"].request({"name": "a&b"}).path == "/api/v1/catalog?limit=20&name=a%26b"
    assert TOOLS["trace"].request({"id": "../x"}).path == "/api/v1/events/..%2Fx/trace"


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("catalogue", {"nmae": "x"}, "did you mean 'name'?"),
        ("event", {}, "'id' is required"),
        ("explain_rule", {"id": ""}, "'id' is required"),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_send(tool: str, arguments: Any, says: str) -> None:
    with pytest.raises(Refused, match=says.replace("?", r"\?")):
        TOOLS[tool].request(arguments)


def test_an_answer_that_is_too_long_is_refused_and_not_cut() -> None:
    assert rendered("x" * (MAX_ANSWER_CHARS - 2)) == '"' + "x" * (MAX_ANSWER_CHARS - 2) + '"'
    with pytest.raises(Refused, match="Ask for less"):
        rendered("x" * (MAX_ANSWER_CHARS - 1))


def test_a_rule_is_explained_by_its_text_and_its_state() -> None:
    answer = {
        "data": {
            "document": {"facts": [{"id": "a", "event": "e"}], "badges": [{"id": "a", "title": "t"}]},
            "rules": [{"kind": "fact", "id": "a", "failures": 1}, {"kind": "badge", "id": "a", "failures": 0}],
        },
        "meta": {"reactions": []},
    }
    pick = TOOLS["explain_rule"].pick
    found = pick({"id": "a", "kind": "fact"}, answer)
    assert found == {"rule": {"id": "a", "event": "e"}, "state": answer["data"]["rules"][0], "reactions": []}
    with pytest.raises(Refused, match="Several rules"):
        pick({"id": "a"}, answer)
    with pytest.raises(Refused, match="There is no rule 'b'"):
        pick({"id": "b"}, answer)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8080", "http://", "http://x/?a"])
def test_only_an_address_of_http_is_asked(url: str) -> None:
    with pytest.raises(SettingsError, match="--url must be an address"):
        base_of(url)


def test_without_a_key_the_command_says_how_to_give_one() -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, env=_environ(), timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "HEADRACE_KEY is not set" in done.stderr


def _environ(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")} | more


async def _over_stdio(
    url: str, key: str, *calls: tuple[str, dict[str, Any]], options: tuple[str, ...] = ()
) -> list[Any]:
    from mcp import Client as McpClient
    from mcp.client.stdio import StdioServerParameters

    parameters = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], "--url", url, *options], env=_environ(HEADRACE_KEY=key)
    )
    async with McpClient(parameters) as client:
        listed = await client.list_tools()
        return [listed, *[await client.call_tool(name, arguments) for name, arguments in calls]]


def _text(result: Any) -> str:
    [content] = result.content
    return content.text


def test_a_model_asks_what_there_is_counts_it_and_follows_an_event(server: Server, client: Client) -> None:
    event = {"name": "mcp.order", "user_id": "m", "properties": {"plan": "pro"}}
    sent = client.post("/api/v1/events", json=event).json()["data"]["id"]
    key = client.headers["Authorization"].removeprefix("Bearer ")
    named = {"filters": [{"field": "name", "value": "mcp.order"}], "breakdown": ["properties.plan"]}
    listed, *answers = asyncio.run(
        _over_stdio(
            server.url,
            key,
            ("catalogue", {"name": "mcp.order"}),
            ("query", named),
            ("funnel", {"steps": [{"event": "mcp.order"}]}),
            ("event", {"id": sent}),
            ("trace", {"id": sent}),
            ("query", {"intervall": "1d"}),
            ("event", {"id": "evt_" + "0" * 32}),
            ("no such tool", {}),
        )
    )
    assert {tool.name for tool in listed.tools} == set(TOOLS)
    assert all(tool.annotations.read_only_hint for tool in listed.tools)
    catalogue, query, funnel, whole, trace, *bad = answers
    assert json.loads(_text(catalogue))["data"][0]["name"] == "mcp.order"
    assert json.loads(_text(query))["data"] == {"value": 1, "groups": [{"key": ["pro"], "value": 1}]}
    assert json.loads(_text(funnel))["data"]["steps"][0]["users"] == 1
    assert json.loads(_text(whole))["data"]["properties"] == {"plan": "pro"}
    assert json.loads(_text(trace))["data"]["name"] == "mcp.order"
    assert [result.is_error for result in answers] == 5 * [False] + 3 * [True]
    assert "did you mean 'interval'?" in _text(bad[0])
    assert _text(bad[1]).startswith("The server answered 404")
    assert "There is no tool" in _text(bad[2])


def test_a_model_sends_an_event_only_where_that_was_asked_for(server: Server, client: Client) -> None:
    assert "send_event" not in TOOLS
    assert [tool.name for tool in tools(writing=True) if tool.writes] == ["send_event"]
    key = client.headers["Authorization"].removeprefix("Bearer ")
    event = ("send_event", {"name": "mcp.sent", "user_id": "m"})
    listed, sent, bad = asyncio.run(
        _over_stdio(server.url, key, event, ("send_event", {"user_id": "m"}), options=("--allow-writes",))
    )
    assert [tool.name for tool in listed.tools if not tool.annotations.read_only_hint] == ["send_event"]
    assert (sent.is_error, bad.is_error) == (False, True)
    assert client.get("/api/v1/events/count", params={"name": "mcp.sent"}).json()["data"]["total"] == 1
    _, refused = asyncio.run(_over_stdio(server.url, key, event))
    assert "There is no tool" in _text(refused)


def test_an_address_of_another_server_is_told(server: Server) -> None:
    with pytest.raises(Unanswered, match="is no Headrace server"):
        ask_server(server.url, "key", Request("GET", "/docs"))


@pytest.fixture
def over_http(server: Server) -> Iterator[str]:
    """The address of `headrace mcp --http` beside the server."""
    with reserved_port() as port:
        process = subprocess.Popen([*COMMAND, "--http", f"127.0.0.1:{port}", "--url", server.url], env=_environ())
        url = f"http://127.0.0.1:{port}/mcp"

        def listens() -> bool:
            assert process.poll() is None, "it has ended"
            with suppress(httpx.TransportError):
                httpx.get(url)
                return True
            return False

        until(listens)
        yield url
        process.terminate()
        process.wait(60)


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def test_over_http_each_request_brings_its_own_key(over_http: str, client: Client) -> None:
    assert client.post("/api/v1/events", json={"name": "mcp.http"}).status_code == 201
    named = {"filters": [{"field": "name", "value": "mcp.http"}]}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    mine = headers | {"Authorization": client.headers["Authorization"]}

    def ask(given: dict[str, str]) -> httpx.Response:
        return httpx.post(over_http, json=_call("query", named), headers=given, timeout=60)

    good = ask(mine).json()["result"]
    assert json.loads(good["content"][0]["text"])["data"] == {"value": 1}
    assert ask(headers).status_code == 401
    wrong = ask(headers | {"Authorization": "Bearer sk_live_wrong"}).json()["result"]
    assert (wrong["isError"], "401" in wrong["content"][0]["text"]) == (True, True)
    assert ask(mine | {"Host": "evil.example"}).status_code >= 400
    assert ask(mine | {"Origin": "http://evil.example"}).status_code >= 400


def test_the_schemas_are_those_of_the_openapi_document() -> None:
    assert set(TOOLS["query"].schema["properties"]) == set(
        document()["components"]["schemas"]["EventQuery"]["properties"]
    )
    assert tools_module.tools()[1].schema == TOOLS["query"].schema
