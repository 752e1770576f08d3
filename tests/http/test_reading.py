"""What reads show: one event in every view, every write before the read, whole pages, times and tags as the contract has them."""

import math
import random
import statistics
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.http.routes import stored
from tests.server import Client, Server

FLUX = "/api/v1/events"
BRICQS = "/api/v1/ingest/events"
HOGSEND = "/v1/admin/events"


def track(client: Client, **event: Any) -> str:
    """Send one Flux event; its id."""
    response = client.post(FLUX, json={"name": "n"} | event)
    assert response.status_code == 201, response.text
    return response.json()["data"]["id"]


def total(client: Client, **parameters: Any) -> int:
    response = client.get(f"{FLUX}/count", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()["data"]["total"]


def names(client: Client, **parameters: Any) -> list[str]:
    response = client.get(FLUX, params=parameters)
    assert response.status_code == 200, response.text
    return [row["name"] for row in response.json()["data"]]


# One event, many views


def sent_by_flux(client: Client) -> str:
    event = {"name": "n", "user_id": "u", "timestamp": "2025-01-15T10:30:00.5Z", "properties": {"p": 1}}
    return track(client, **event)


def sent_by_bricqs(client: Client) -> str:
    event = {"event_name": "n", "participant_id": "u", "properties": {"p": 1}}
    event["timestamp"] = "2025-01-15T10:30:00.5Z"
    return client.post(f"{BRICQS}/sync", json=event).json()["event_id"]


def sent_by_solute(client: Client) -> str:
    event = {"type": "track", "event": "n", "userId": "u", "properties": {"p": 1}}
    event |= {"timestamp": "2025-01-15T10:30:00.5Z", "messageId": "m", "context": {}}
    reply = client.post("/api/events", json={"batch": [event], "sentAt": "2025-01-15"})
    assert reply.json()["processed"] == 1
    return client.get(FLUX).json()["data"][0]["id"]


@pytest.mark.parametrize(
    ("send", "source"), [(sent_by_flux, "flux"), (sent_by_bricqs, "bricqs"), (sent_by_solute, "solute")]
)
def test_an_event_of_any_dialect_is_in_every_view(client: Client, send: Any, source: str) -> None:
    event_id = send(client)
    row = {
        "id": event_id,
        "name": "n",
        "timestamp": "2025-01-15T10:30:00.500Z",
        "user_id": "u",
        "value": None,
        "properties": {"p": 1},
        "tags": {},
    }
    event = {
        "id": str(UUID(event_id.removeprefix("evt_"))),
        "userId": "u",
        "event": "n",
        "properties": {"p": 1},
        "occurredAt": "2025-01-15T10:30:00.500Z",
    }
    assert client.get(FLUX).json()["data"] == [row]
    shown = client.get(f"{FLUX}/{event_id}").json()["data"]
    assert {key: shown[key] for key in row} == row
    assert (shown["source"], shown["type"]) == (source, "track")
    assert total(client, name="n", user_id="u") == 1
    assert client.get(f"{FLUX}/stats", params={"field": "p"}).json()["data"]["sum"] == 1
    assert client.get(HOGSEND, params={"source": source}).json()["events"] == [event]
    assert client.get(f"{HOGSEND}/{event_id}").json() == {"event": event}
    assert [each["name"] for each in client.get(f"{HOGSEND}/names").json()["events"]] == ["n"]
    assert [each["name"] for each in client.get(f"{HOGSEND}/sources").json()["sources"]] == [source]


def test_an_id_is_found_in_every_form_by_every_read(client: Client) -> None:
    event_id = track(client)
    digits = event_id.removeprefix("evt_")
    uuid = str(UUID(digits))
    assert UUID(digits).version == 7
    for form in (event_id, digits, uuid, uuid.upper(), digits.upper(), f"EVT_{digits}"):
        assert client.get(f"{FLUX}/{form}").json()["data"]["id"] == event_id
        assert client.get(f"{HOGSEND}/{form}").json()["event"]["id"] == uuid
        reply = client.post(f"{HOGSEND}/replay", json={"eventIds": [form]})
        assert reply.json() == {"replayed": 1, "errors": []}


def test_a_whole_event_has_all_its_keys_also_where_nothing_was_sent(client: Client) -> None:
    event = client.get(f"{FLUX}/{track(client, timestamp='2025-01-15')}").json()["data"]
    received_at = datetime.fromisoformat(event.pop("received_at"))
    assert abs(received_at - datetime.now(UTC)) < timedelta(minutes=1)
    absent = ("user_id", "value", "anonymous_id", "session_id", "group_id", "previous_id")
    absent += ("environment", "service", "host", "message_id", "sent_at")
    assert event == {
        "id": event["id"],
        "name": "n",
        "timestamp": "2025-01-15T00:00:00Z",
        "type": "track",
        "source": "flux",
        **{key: {} for key in ("properties", "tags", "context", "traits")},
        **dict.fromkeys(absent),
    }


def test_properties_come_back_byte_for_byte(client: Client) -> None:
    text = r'{"z":1.10,"a":[ 1e2 ,-0.0],"big":123456789012345678901234567890,"A":"é😀\n\/","a":{}}'
    body = b'{"name":"n","properties":%b}' % text.encode()
    event_id = client.post(FLUX, content=body).json()["data"]["id"]
    for path in (FLUX, f"{FLUX}/{event_id}", HOGSEND, f"{HOGSEND}/{event_id}"):
        assert f'"properties":{text}' in client.get(path).text


# Read your writes


def test_a_read_sees_every_write_acknowledged_before_it(client: Client) -> None:
    for number in range(1, 11):
        event_id = track(client, value=1)
        assert client.get(f"{FLUX}/{event_id}").status_code == 200
        assert total(client) == number
        assert client.get(f"{FLUX}/stats").json()["data"]["count"] == number
        assert stored(client) == number


def test_every_thread_sees_its_own_writes_at_once(client: Client) -> None:
    def write_and_read(thread: int) -> None:
        for number in range(1, 4):
            batch = [{"name": "n", "user_id": f"u{thread}"}] * 5
            assert client.post(f"{FLUX}/batch", json=batch).json()["data"]["accepted"] == 5
            assert total(client, user_id=f"u{thread}") == number * 5

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(write_and_read, thread) for thread in range(8)]:
            done.result()
    assert total(client) == 8 * 3 * 5


def test_a_fact_of_the_sync_route_follows_from_its_event_and_stays_the_same(client: Client) -> None:
    event = {"event_name": "level up", "participant_id": "p", "idempotency_key": "k"}
    first = client.post(f"{BRICQS}/sync", json=event).json()
    again = client.post(f"{BRICQS}/sync", json=event).json()
    assert {**again, "processed_at": ""} == {**first, "processed_at": ""}
    other = client.post(f"{BRICQS}/sync", json=event | {"idempotency_key": "l"}).json()
    assert other["event_id"] != first["event_id"]
    assert other["fact_id"] != first["fact_id"]
    assert first["fact_type"] == other["fact_type"] == "custom.level up"
    replay = {"eventIds": [first["event_id"]], "force": True, "dryRun": True}
    [effect] = client.post(f"{HOGSEND}/replay", json=replay).json()["effects"]
    assert effect["factId"] == first["fact_id"]


# Pages


def pages(client: Client, **parameters: Any) -> list[str]:
    """The ids of all pages by cursor, in the order in which they came."""
    ids: list[str] = []
    cursor = ""
    while True:
        document = client.get(FLUX, params={"cursor": cursor} | parameters).json()
        ids += [row["id"] for row in document["data"]]
        if "next_cursor" not in document["meta"]:
            return ids
        cursor = document["meta"]["next_cursor"]
        assert cursor


def test_pages_neither_skip_nor_repeat_while_events_arrive(client: Client) -> None:
    # Three events to each time, so that pages also break among equal times.
    batch = [{"name": "old", "timestamp": f"2025-01-01T00:{n // 3:02d}:00Z"} for n in range(45)]
    client.post(f"{FLUX}/batch", json=batch)
    there = [row["id"] for row in client.get(FLUX).json()["data"]]
    assert len(there) == 45
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            client.post(f"{FLUX}/batch", json=[{"name": "new"}] * 3)

    with ThreadPoolExecutor(2) as writers:
        done = [writers.submit(write) for _ in range(2)]
        try:
            seen = pages(client, limit=5)
        finally:
            stop.set()
        for writer in done:
            writer.result()
    assert len(seen) == len(set(seen))
    assert [event_id for event_id in seen if event_id in set(there)] == there
    assert total(client, name="new") > 0


def test_pages_by_cursor_are_newest_first_and_end_without_a_next_one(client: Client) -> None:
    ids = [track(client, timestamp=f"2025-01-0{day}") for day in (1, 2, 3, 4)]
    assert pages(client, limit=1) == pages(client, limit=4) == pages(client, limit=3) == ids[::-1]
    document = client.get(FLUX, params={"cursor": "", "limit": 4}).json()
    assert document["meta"] == {"total": 4, "limit": 4, "offset": 0}
    assert "next_cursor" not in client.get(FLUX, params={"limit": 1}).json()["meta"]
    assert pages(client, limit=1, name="other") == []


def test_events_of_one_time_are_listed_by_id_newest_first(client: Client) -> None:
    ids = [track(client, timestamp="2025-01-15") for _ in range(5)]
    assert [row["id"] for row in client.get(FLUX).json()["data"]] == sorted(ids, reverse=True)
    shown = [UUID(event["id"]).hex for event in client.get(HOGSEND).json()["events"]]
    assert shown == sorted((event_id.removeprefix("evt_") for event_id in ids), reverse=True)


# Times


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z"),
        ("2024-01-15T10:30:00.1239999Z", "2024-01-15T10:30:00.123Z"),
        ("2024-01-15T10:30:00.5+05:30", "2024-01-15T05:00:00.500Z"),
        ("2024-01-15T10:30:00-0800", "2024-01-15T18:30:00Z"),
        ("2024-01-15T10:30:00+0000", "2024-01-15T10:30:00Z"),
        ("2024-01-15 10:30:00", "2024-01-15T10:30:00Z"),
        ("2024-01-15T10:30", "2024-01-15T10:30:00Z"),
        ("2024-01-15t10:30:00z", "2024-01-15T10:30:00Z"),
        ("20240115T103000Z", "2024-01-15T10:30:00Z"),
        ("2024-01-15", "2024-01-15T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2261-12-31T23:59:59.999Z", "2261-12-31T23:59:59.999Z"),
        ("2024-02-29T23:59:59-12:00", "2024-03-01T11:59:59Z"),
    ],
)
def test_a_time_is_understood_in_every_form_and_shown_in_one(client: Client, sent: str, shown: str) -> None:
    event_id = track(client, timestamp=sent)
    assert client.get(f"{FLUX}/{event_id}").json()["data"]["timestamp"] == shown
    assert names(client, **{"from": sent}) == ["n"]
    assert names(client, to=shown) == names(client, **{"from": shown}) == ["n"]
    full = shown if "." in shown else shown.replace("Z", ".000Z")
    assert client.get(f"{HOGSEND}/{event_id}").json()["event"]["occurredAt"] == full


def test_a_date_alone_as_upper_bound_is_the_end_of_that_day_in_every_dialect(client: Client) -> None:
    track(client, timestamp="2024-01-31T23:59:59.999Z")
    track(client, timestamp="2024-02-01T00:00:00Z")
    for bound in ("2024-01-31", "20240131"):
        assert total(client, to=bound) == total(client, until=bound) == 1
        assert client.get(f"{FLUX}/stats", params={"to": bound}).status_code == 200
        assert client.get(HOGSEND, params={"to": bound}).json()["total"] == 1
        replay = client.post(f"{HOGSEND}/replay", json={"filter": {"to": bound}})
        assert replay.json()["replayed"] == 1


def test_an_unescaped_plus_of_an_offset_is_understood_in_a_query(client: Client) -> None:
    track(client, timestamp="2024-01-15T10:30:00Z")
    for path, key in ((FLUX, "meta"), (HOGSEND, "")):
        for query in (
            "from=2024-01-15T12:30:00+02:00&to=2024-01-15T12:30:00+02:00",
            "from=2024-01-15T12:30:00%2B02:00&to=2024-01-15+12:30:00+0200",
            "from=2024-01-15%2010:30:00&to=2024-01-15+10:30",
        ):
            document = client.get(f"{path}?{query}").json()
            assert (document[key] if key else document)["total"] == 1
        document = client.get(f"{path}?from=2024-01-15T12:30:00.001+02:00").json()
        assert (document[key] if key else document)["total"] == 0


def test_since_and_until_are_spans_before_now_or_times(client: Client) -> None:
    now = datetime.now(UTC)
    for minutes in (5, 60, 60 * 30, 60 * 24 * 10):
        track(client, timestamp=(now - timedelta(minutes=minutes)).isoformat(), value=1)
    for since, found in (("15m", 1), ("2h", 2), ("24h", 2), ("7d", 3), ("2w", 4), ("2024-01-01", 4)):
        assert total(client, since=since) == found
        assert total(client, until=since) == 4 - found
        assert client.get(f"{FLUX}/stats", params={"since": since}).json()["data"]["count"] == found
        assert len(names(client, since=since)) == found
    assert total(client, since="2w", until="2h") == 2
    assert total(client, since="7d", **{"from": "2024-01-01"}) == 3


# Filters


def test_an_empty_parameter_is_as_if_absent(client: Client) -> None:
    track(client, user_id="u", timestamp="2025-01-15")
    empty = "name=&from=&to=&user_id=&since=&until=&session_id=&environment=&service=&host="
    for query in (f"{empty}&limit=&offset=", f"{empty}&interval=&group_by=&fill=", f"{empty}&field="):
        for path in (FLUX, f"{FLUX}/count", f"{FLUX}/stats"):
            assert client.get(f"{path}?{query}").status_code == 200
    assert client.get(f"{FLUX}?{empty}&limit=&offset=").json()["meta"] == {"total": 1, "limit": 100, "offset": 0}
    document = client.get(f"{HOGSEND}?userId=&event=&from=&to=&limit=&offset=&source=").json()
    assert (document["total"], document["limit"], document["offset"]) == (1, 50, 0)


def test_an_empty_tag_or_property_matches_the_empty_string_and_not_an_absent_one(client: Client) -> None:
    track(client, name="tag", tags={"k": ""})
    track(client, name="property", properties={"k": ""})
    track(client, name="both", tags={"k": "v"}, properties={"k": ""})
    track(client, name="null", properties={"k": None})
    track(client, name="neither")
    assert set(names(client, **{"tags[k]": ""})) == {"tag", "property"}
    assert set(names(client, **{"properties[k]": ""})) == {"property", "both"}
    assert total(client, **{"tags[k]": "", "properties[k]": ""}) == 1


def test_a_tag_is_the_property_of_that_name_where_there_is_no_such_tag(client: Client) -> None:
    track(client, name="tag", tags={"plan": "pro"})
    track(client, name="property", properties={"plan": "pro"})
    track(client, name="shadowed", tags={"plan": "free"}, properties={"plan": "pro"})
    track(client, name="number", properties={"plan": 1})
    assert set(names(client, **{"tags[plan]": "pro"})) == {"tag", "property"}
    assert set(names(client, **{"properties[plan]": "pro"})) == {"property", "shadowed"}
    for group_by in ("tags.plan", "plan"):
        data = client.get(f"{FLUX}/count", params={"group_by": group_by}).json()["data"]
        assert data == {"total": 4, "groups": {"pro": 2, "free": 1}}


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ("name", {"b": 2, "a": 1}),
        ("user_id", {"u": 2}),
        ("properties.k", {"x": 2}),
        ("tags.k", {"x": 2}),
        ("properties.none", {}),
    ],
)
def test_counts_are_grouped_by_what_group_by_names(client: Client, group_by: str, groups: Any) -> None:
    track(client, name="a", user_id="u", properties={"k": "x"})
    track(client, name="b", user_id="u")
    track(client, name="b", properties={"k": "x"})
    data = client.get(f"{FLUX}/count", params={"group_by": group_by}).json()["data"]
    assert data == {"total": 3, "groups": groups}


def test_a_count_gives_series_and_groups_together_and_fills_only_when_told(client: Client) -> None:
    for day in (1, 1, 3):
        track(client, timestamp=f"2024-01-0{day}T12:00:00Z", tags={"k": f"v{day}"})
    asked = {"interval": "1d", "group_by": "tags.k"}
    first, second, third = ({"timestamp": f"2024-01-0{day}T00:00:00Z"} for day in (1, 2, 3))
    data = client.get(f"{FLUX}/count", params=asked).json()["data"]
    assert list(data) == ["total", "series", "groups"]
    assert data["series"] == [first | {"count": 2}, third | {"count": 1}]
    data = client.get(f"{FLUX}/count", params=asked | {"fill": "true"}).json()["data"]
    assert data["series"] == [first | {"count": 2}, second | {"count": 0}, third | {"count": 1}]
    whole = asked | {"fill": "true", "from": "2023-12-31", "to": "2024-01-05"}
    data = client.get(f"{FLUX}/count", params=whole).json()["data"]
    assert [bucket["count"] for bucket in data["series"]] == [0, 2, 0, 1, 0, 0]


def test_more_than_a_thousand_groups_are_cut_and_said_to_be(client: Client) -> None:
    for start in (0, 500, 1000):
        batch = [{"name": "n", "user_id": f"u{start + number}"} for number in range(500)]
        client.post(f"{FLUX}/batch", json=batch)
    track(client, user_id="u7")
    document = client.get(f"{FLUX}/count", params={"group_by": "user_id"}).json()
    assert document["meta"] == {"truncated": True}
    assert document["data"]["total"] == 1501
    assert len(document["data"]["groups"]) == 1000
    assert next(iter(document["data"]["groups"].items())) == ("u7", 2)


ODD = [
    *("\x00", "a\x00b", "'", "\\", "\\'", '"', "\n\r\t", "\\N", "{a:String}", "%s", "%(x)s", "?", "$1"),
    *("é", "😀", "\u2028", "\ufeff", "`", "--", "/*", "NULL", "true", "0", "[]", " x ", "\x7f", "a*"),
]


def test_odd_strings_are_filtered_and_grouped_by_like_any_other(client: Client) -> None:
    events = [
        {"name": "n", "user_id": odd, "session_id": f"s{number}", "tags": {odd: odd}, "properties": {odd: odd}}
        for number, odd in enumerate(ODD)
    ]
    assert client.post(f"{FLUX}/batch", json=events).json()["data"]["accepted"] == len(ODD)
    for number, odd in enumerate(ODD):
        one = {"user_id": odd, f"tags[{odd}]": odd, f"properties[{odd}]": odd}
        [row] = client.get(FLUX, params=one).json()["data"]
        assert (row["user_id"], row["tags"], row["properties"]) == (odd, {odd: odd}, {odd: odd})
        data = client.get(f"{FLUX}/count", params=one | {"session_id": f"s{number}", "group_by": f"tags.{odd}"}).json()[
            "data"
        ]
        assert data == {"total": 1, "groups": {odd: 1}}


def test_sums_are_right_to_fifteen_digits(client: Client) -> None:
    values = [0.1] * 300 + [1e15, -1e15] + [0.01] * 100
    client.post(f"{FLUX}/batch", json=[{"name": "n", "value": value} for value in values])
    stats = client.get(f"{FLUX}/stats").json()["data"]
    assert stats["sum"] == pytest.approx(31, rel=1e-15)
    assert (stats["min"], stats["max"]) == (-1e15, 1e15)


def test_a_figure_is_exact_unless_the_reply_calls_it_approximate(client: Client) -> None:
    """With more values than the engine's sampling percentiles look at."""
    chance = random.Random(5)
    values = [chance.lognormvariate(3, 2) for _ in range(9000)]
    for first in range(0, len(values), 500):
        batch = [
            {
                "name": "n",
                "value": value,
                "user_id": f"u{round(value) % 700}",
                "timestamp": f"2024-01-{number % 28 + 1:02}",
            }
            for number, value in enumerate(values[first : first + 500], first)
        ]
        assert client.post(f"{FLUX}/batch", json=batch).json()["data"]["accepted"] == 500
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    users, days = Counter(f"u{round(value) % 700}" for value in values), Counter(number % 28 for number in range(9000))
    exact = {
        "stats": {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "sum": math.fsum(values), "count": 9000},
        "count": {"total": 9000},
        "count?group_by=user_id": {"groups": users},
        "count?interval=1d": {"series": [days[day] for day in range(28)]},
    }
    for path, expected in exact.items():
        reply = client.get(f"{FLUX}/{path}").json()
        if reply.get("meta", {}).get("approximate"):
            continue
        found = {key: reply["data"][key] for key in expected}
        if "series" in found:
            found["series"] = [bucket["count"] for bucket in found["series"]]
        assert found == pytest.approx(expected, rel=1e-14) if path == "stats" else found == expected, path


def test_a_server_answers_about_one_key_while_others_write(server: Server, client: Client) -> None:
    track(client)
    with server.client(server.key("busy")) as other, ThreadPoolExecutor(1) as writer:
        done = writer.submit(lambda: [other.post(f"{FLUX}/batch", json=[{"name": "n"}] * 500) for _ in range(5)])
        while not done.done():
            assert total(client) == 1
        done.result()
