"""Rules over HTTP: a change is based on what is in force, texts are kept as they were sent, and a dry run judges events."""

from typing import Any

import pytest

from tests.server import Client, Server

SOURCE = "# Who has placed an order.\nfacts:\n  - {id: order, event: order, fact_type: order}\n"
BADGE = "badges:\n  - {id: first, title: First, fact: order, count: 1}\n"


def put(client: Client, text: str, *, match: str | None = None, none: str | None = None, **query: str) -> Any:
    headers = {"If-Match": match, "If-None-Match": none}
    given = {name: value for name, value in headers.items() if value is not None}
    return client.put("/api/v1/rules", content=text.encode(), headers=given, params=query)


def test_somebody_elses_change_in_between_is_refused_and_not_overwritten(client: Client) -> None:
    assert "etag" not in client.get("/api/v1/rules").headers
    first = put(client, SOURCE, none="*")
    assert first.status_code == 200
    tag = client.get("/api/v1/rules").headers["etag"]
    assert tag == first.headers["etag"] == f'"{first.json()["data"]["version"]}"'
    theirs = put(client, SOURCE + BADGE, match=tag)
    assert theirs.status_code == 200

    for dry_run in ("true", "false"):
        refused = put(client, "facts: []", match=tag, dry_run=dry_run)
        assert refused.status_code == 412
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["status"] == 412
        assert theirs.json()["data"]["version"] in refused.json()["detail"]
    assert client.get("/api/v1/rules").json()["data"]["source"] == SOURCE + BADGE
    assert put(client, SOURCE, match=theirs.headers["etag"]).status_code == 200


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({}, (200, 200)),
        ({"match": "*"}, (412, 200)),
        ({"none": "*"}, (200, 412)),
        ({"match": '"{}"'}, (412, 200)),
        ({"match": '"another", "{}"'}, (412, 200)),
        ({"match": 'W/"{}"'}, (412, 412)),
        ({"match": '"another"'}, (412, 412)),
        ({"match": "{}"}, (400, 400)),
        ({"match": ""}, (400, 400)),
        ({"match": '"{}" "{}"'}, (400, 400)),
        ({"none": '"{}"'}, (400, 400)),
        ({"match": "*", "none": "*"}, (400, 400)),
    ],
    ids=str,
)
def test_a_change_says_which_rules_it_replaces(
    client: Client, headers: dict[str, str], statuses: tuple[int, int]
) -> None:
    version = put(client, SOURCE, dry_run="true").json()["data"]["version"]
    given = {name: text.replace("{}", version) for name, text in headers.items()}
    assert put(client, SOURCE, dry_run="true", **given).status_code == statuses[0]
    put(client, SOURCE)
    assert put(client, SOURCE + BADGE, dry_run="true", **given).status_code == statuses[1]


def test_the_text_is_kept_as_it_was_sent_and_earlier_ones_can_be_restored(client: Client) -> None:
    assert client.get("/api/v1/rules").json()["data"]["source"] == ""
    first = put(client, SOURCE).json()["data"]["version"]
    second = put(client, SOURCE + BADGE).json()["data"]["version"]
    history = client.get("/api/v1/rules").json()["meta"]["history"]
    assert [each["version"] for each in history] == [second, first]
    earlier = client.get(f"/api/v1/rules/versions/{first}").json()["data"]
    assert (earlier["version"], earlier["source"]) == (first, SOURCE)
    assert earlier["document"] == {"facts": [{"id": "order", "event": "order", "fact_type": "order"}]}
    assert put(client, earlier["source"]).json()["data"]["version"] == first
    # Another comment is no other version, but it is what the next author sees.
    again = put(client, f"# A new comment.\n{SOURCE}")
    assert again.json()["data"]["applied"] is False
    assert client.get("/api/v1/rules").json()["data"]["source"].startswith("# A new comment.")
    assert client.get("/api/v1/rules/versions/0000000000000000").status_code == 404


def test_another_projects_versions_are_not_shown(client: Client, server: Server, project: str) -> None:
    version = put(client, SOURCE).json()["data"]["version"]
    with server.client(server.key(f"{project}-other")) as stranger:
        assert stranger.get(f"/api/v1/rules/versions/{version}").status_code == 404


def test_a_dry_run_says_what_the_newest_events_would_cause_and_changes_nothing(client: Client) -> None:
    put(client, SOURCE)
    sent = [{"name": "order", "user_id": f"u{number}"} for number in range(3)] + [{"name": "other", "user_id": "u0"}]
    client.post("/api/v1/events/batch", json={"events": sent})

    def judged(text: str, events: int) -> Any:
        return put(client, text, dry_run="true", events=str(events)).json()["data"]["would_cause"]

    assert put(client, SOURCE, dry_run="true").json()["data"]["would_cause"] is None
    assert judged(SOURCE, 1000) == {"events": 4, "failed": 0, "suppressed": 4, "effects": []}
    for _ in range(2):  # the first has changed nothing
        found = judged(SOURCE + BADGE, 1000)
        assert (found["events"], found["suppressed"]) == (4, 4)
        assert found["effects"] == [{"kind": "badge", "rule": "first", "count": 3}]
    assert judged(SOURCE + BADGE, 2)["effects"] == [{"kind": "badge", "rule": "first", "count": 1}]
    other = "facts:\n  - {id: order, event: other, fact_type: order}\n"
    assert {"kind": "fact", "rule": "order", "count": 1} in judged(other, 1000)["effects"]
    assert client.get("/api/v1/participants/u0").json()["data"]["badges"] == []


@pytest.mark.parametrize(
    "query", [{"events": "5"}, {"events": "0", "dry_run": "1"}, {"events": "1001", "dry_run": "1"}]
)
def test_events_to_judge_belong_to_a_dry_run_and_are_at_most_1000(client: Client, query: dict[str, str]) -> None:
    refused = put(client, SOURCE, **query)
    assert refused.status_code == 400
    assert "'events'" in refused.json()["detail"]
    assert client.get("/api/v1/rules").json()["data"]["version"] is None
