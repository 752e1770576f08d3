"""Every way in which each dialect can give a key, and what is known of it once the index of keys is lost from the disk."""

import shutil
from typing import Any, NamedTuple

import httpx
import pytest

from tests.crash.test_lost_files import TRIMMED, trim_all
from tests.server import Server

WHEN = "2025-01-15T10:30:00Z"
HEADER = {"Idempotency-Key": "h"}
BINARY = {"ce-specversion": "1.0", "ce-id": "k", "ce-source": "/a", "ce-type": "t"}


class Sent(NamedTuple):
    path: str
    body: Any
    headers: dict[str, str] = {}


def segment(**event: Any) -> dict[str, Any]:
    return {"type": "track", "event": "e", "userId": "u"} | event


def solute(*ids: str) -> dict[str, Any]:
    events = [{"type": "page", "timestamp": WHEN, "messageId": each, "context": {}} for each in ids]
    return {"batch": events, "sentAt": WHEN}


def posthog(**event: Any) -> dict[str, Any]:
    return {"batch": [{"event": "e", "distinct_id": "u"} | event]}


def amplitude(**event: Any) -> dict[str, Any]:
    return {"events": [{"event_type": "e", "user_id": "u"} | event]}


def mixpanel(event: str = "e", **properties: Any) -> list[dict[str, Any]]:
    return [{"event": event, "properties": {"distinct_id": "u", "time": 1736937000} | properties}]


def cloudevent(**attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "k", "source": "/a", "type": "t"} | attributes


FLUX, BRICQS, SOLUTE, METRICS = "/api/v1/events", "/api/v1/ingest/events", "/api/events", "/api/v1/metrics"
EVENT: dict[str, Any] = {"name": "e"}
POINT: dict[str, Any] = {"name": "m", "type": "gauge", "value": 1}
DONE: dict[str, Any] = {"event_name": "e", "participant_id": "p"}
CALL: dict[str, Any] = {"name": "e", "userId": "u"}
KEY: dict[str, Any] = {"idempotency_key": "k"}

REPEATS: dict[str, Sent] = {
    "flux idempotency_key": Sent(FLUX, EVENT | KEY),
    "flux messageId": Sent(FLUX, EVENT | {"messageId": "k"}),
    "flux odd key": Sent(FLUX, EVENT | {"idempotency_key": "\0 '\"\\\n\x1f\u2028é\U0001f600"}),
    "flux long key": Sent(FLUX, EVENT | {"idempotency_key": "\U0001f600" * 255}),
    "flux header": Sent(FLUX, EVENT, HEADER),
    "flux header of any bytes": Sent(FLUX, EVENT, {"Idempotency-Key": "a \xe9\tb"}),
    "flux header and own": Sent(FLUX, EVENT | KEY | {"request_id": "r"}, HEADER),
    "flux batch": Sent(f"{FLUX}/batch", [EVENT | KEY, EVENT | {"messageId": "l"}]),
    "flux batch header": Sent(f"{FLUX}/batch", [EVENT, {}, EVENT | KEY], HEADER),
    "flux gem": Sent("/api/v1/flux/batch", {"events": [EVENT | KEY], "metrics": [POINT | KEY]}),
    "flux gem header": Sent("/api/v1/flux/batch", {"events": [EVENT], "metrics": [POINT]}, HEADER),
    "metric": Sent(METRICS, POINT | KEY),
    "metric header": Sent(METRICS, POINT, HEADER),
    "metrics batch": Sent(f"{METRICS}/batch", [POINT | {"messageId": "k"}]),
    "metrics batch header": Sent(f"{METRICS}/batch", [POINT | KEY, POINT], HEADER),
    "bricqs idempotency_key": Sent(BRICQS, DONE | KEY),
    "bricqs header": Sent(BRICQS, DONE | KEY, HEADER),
    "bricqs batch": Sent(f"{BRICQS}/batch", {"events": [DONE | KEY]}),
    "bricqs batch header": Sent(f"{BRICQS}/batch", {"events": [DONE, DONE | KEY]}, HEADER),
    "bricqs sync": Sent(f"{BRICQS}/sync", DONE | {"messageId": "k"}),
    "solute messageId": Sent(SOLUTE, solute("k", "l")),
    "solute header": Sent(SOLUTE, solute("k", "k"), HEADER),
    "hogsend idempotencyKey": Sent("/v1/events", CALL | {"idempotencyKey": "k"}),
    "hogsend header": Sent("/v1/events", CALL, HEADER),
    "segment messageId": Sent("/v1/batch", {"batch": [segment(messageId="k"), segment(messageId=7)]}),
    "segment call": Sent("/v1/track", segment(messageId="k")),
    "segment header": Sent("/v1/track", segment(messageId="k"), HEADER),
    "segment batch header": Sent("/v1/batch", {"batch": [segment(), segment(messageId="k")]}, HEADER),
    "posthog uuid": Sent("/batch", posthog(uuid="k")),
    "posthog insert id": Sent("/batch", posthog(properties={"$insert_id": "k"})),
    "posthog header": Sent("/batch", posthog(uuid="k"), HEADER),
    "amplitude insert_id": Sent("/2/httpapi", amplitude(insert_id="k")),
    "amplitude insert_id of a device": Sent("/2/httpapi", amplitude(insert_id="k", device_id="d")),
    "amplitude numbers": Sent("/2/httpapi", amplitude(insert_id=1.5, device_id=7, user_id=None)),
    "amplitude header": Sent("/2/httpapi", amplitude(), HEADER),
    "amplitude header and own": Sent("/batch", amplitude(insert_id="k"), HEADER),
    "mixpanel insert id": Sent("/track", mixpanel(**{"$insert_id": "k"})),
    "mixpanel without a time": Sent("/track", [{"event": "e", "properties": {"distinct_id": "u", "$insert_id": "k"}}]),
    "mixpanel time as text": Sent("/import", mixpanel(time="1736937000", **{"$insert_id": "k"})),
    "mixpanel time with a fraction": Sent("/import", mixpanel(time=1736937000.1234567, **{"$insert_id": "k"})),
    "mixpanel numbers": Sent("/import", mixpanel(distinct_id=12345678901234567890, **{"$insert_id": 7})),
    "mixpanel device": Sent("/track", mixpanel("$mp_web_page_view", distinct_id="$device:d", **{"$insert_id": "k"})),
    "mixpanel alias": Sent("/track", mixpanel("$create_alias", alias="v", **{"$insert_id": "k"})),
    "mixpanel header": Sent("/track", mixpanel(), HEADER),
    "mixpanel header and own": Sent("/track", mixpanel(**{"$insert_id": "k"}), HEADER),
    "mixpanel update": Sent("/engage", [{"$distinct_id": "u", "$time": 1736937000.25, "$add": {"n": 1}}]),
    "mixpanel group update": Sent(
        "/groups", [{"$group_key": "c", "$group_id": "g", "$time": 1736937000250, "$set": {"a": "b"}}]
    ),
    "mixpanel update header": Sent("/engage", [{"$distinct_id": "u", "$add": {"n": 1}}], HEADER),
    "cloudevents": Sent("/v1/cloudevents", cloudevent()),
    "cloudevents odd source": Sent("/v1/cloudevents", cloudevent(source='/\xe9?a=%20&"\\\n', data={"source": "/b"})),
    "cloudevents batch": Sent("/v1/cloudevents", [cloudevent(), cloudevent(source="/b")]),
    "cloudevents binary": Sent("/v1/cloudevents", {"source": "/b"}, BINARY),
    "cloudevents header": Sent("/v1/cloudevents", cloudevent(), HEADER),
}

# What shares something with what was sent, and is no repeat of it.
OTHERS: dict[str, tuple[Sent, Sent]] = {
    "flux: the key that a header won over": (Sent(FLUX, EVENT | KEY, HEADER), Sent(FLUX, EVENT | KEY)),
    "solute: the id that a header won over": (Sent(SOLUTE, solute("k"), HEADER), Sent(SOLUTE, solute("k"))),
    "amplitude: the id that a header won over": (
        Sent("/2/httpapi", amplitude(insert_id="k"), HEADER),
        Sent("/2/httpapi", amplitude(insert_id="k")),
    ),
    "amplitude: another device": (
        Sent("/2/httpapi", amplitude(insert_id="k", device_id="d")),
        Sent("/2/httpapi", amplitude(insert_id="k", device_id="e")),
    ),
    "mixpanel: another time": (
        Sent("/track", mixpanel(**{"$insert_id": "k"})),
        Sent("/track", mixpanel(time=1736937001, **{"$insert_id": "k"})),
    ),
    "mixpanel: another person": (
        Sent("/track", mixpanel(**{"$insert_id": "k"})),
        Sent("/track", mixpanel(distinct_id="v", **{"$insert_id": "k"})),
    ),
    "mixpanel: an update of the same second": (
        Sent("/engage", [{"$distinct_id": "u", "$time": 1736937000, "$add": {"n": 1}}]),
        Sent("/engage", [{"$distinct_id": "u", "$time": 1736937000, "$add": {"n": 1}}]),
    ),
    "cloudevents: another source": (
        Sent("/v1/cloudevents", cloudevent()),
        Sent("/v1/cloudevents", cloudevent(source="/b")),
    ),
    "a point and an event": (Sent(METRICS, POINT | KEY), Sent(FLUX, EVENT | KEY)),
    "another dialect": (Sent(FLUX, EVENT | KEY), Sent(BRICQS, DONE | KEY)),
}


class Outcome(NamedTuple):
    """What is stored, and whether a repeat would be known: first, once the index was lost, and stored after sending again."""

    stored: list[list[str]]
    repeat_known: list[list[bool]]


CASES = {name: (sent, sent) for name, sent in REPEATS.items()} | OTHERS


class Sender:
    """Each case in a project of its own. Without `Client`, which would look each of some hundred replies up in its document."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = {name: server.key(f"p{number}") for number, name in enumerate(CASES)}

    def _ask(self, case: str, method: str, path: str, **options: Any) -> Any:
        headers = [("Authorization", f"Bearer {self._keys[case]}"), *options.pop("headers", ())]
        reply = self._http.request(method, self._server.url + path, headers=headers, **options)
        assert reply.is_success, reply.text
        return reply.json() if method == "GET" else None

    def send(self, case: str, sent: Sent) -> None:
        headers = [(name, value.encode("latin-1")) for name, value in sent.headers.items()]
        self._ask(case, "POST", sent.path, json=sent.body, headers=headers)

    def stored(self, case: str) -> list[str]:
        """The ids of events, and as many other marks as there are points."""
        ids = [row["id"] for row in self._ask(case, "GET", FLUX)["data"]]
        sends_points = any("metric" in sent.path or "flux/batch" in sent.path for sent in CASES[case])
        points = sum(metric["points"] for metric in self._ask(case, "GET", METRICS)["data"]) if sends_points else 0
        return [*ids, *(f"point {number}" for number in range(points))]

    def repeats_known(self, case: str, ids: list[str]) -> list[bool]:
        traces = [self._ask(case, "GET", f"{FLUX}/{each}/trace")["data"] for each in ids if "point" not in each]
        return [each["deduplicated"]["repeat_known"] for each in traces]

    def __enter__(self) -> "Sender":
        self._http = httpx.Client(trust_env=False, verify=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Each case in a project of its own, all on one server, whose index of keys is lost and whose log is empty by then."""
    data = tmp_path_factory.mktemp("data")
    server = Server(data, TRIMMED).start()
    found = {name: Outcome([], []) for name in CASES}
    with Sender(server) as sender:
        for case, (first, _) in CASES.items():
            sender.send(case, first)
        for case, outcome in found.items():
            outcome.stored.append(sender.stored(case))
            outcome.repeat_known.append(sender.repeats_known(case, outcome.stored[0]))
        with server.client(server.key()) as client:
            trim_all(client, server)
        server.kill()
        shutil.rmtree(data / "log.keys")
        server.start()
        for case, outcome in found.items():
            outcome.stored.append(sender.stored(case))
            outcome.repeat_known.append(sender.repeats_known(case, outcome.stored[0]))
        for case, (_, second) in CASES.items():
            sender.send(case, second)
        for case, outcome in found.items():
            outcome.stored.append(sender.stored(case))
    assert server.stop() == 0
    return found


@pytest.mark.parametrize("case", REPEATS)
def test_a_repeat_is_known_by_whatever_is_its_key_also_when_the_index_was_lost(
    outcomes: dict[str, Outcome], case: str
) -> None:
    before, lost, after = outcomes[case].stored
    assert before
    assert lost == before, "what was stored is there"
    assert after == before, "and not stored once more"


@pytest.mark.parametrize("case", REPEATS)
def test_a_trace_says_of_each_of_them_that_a_repeat_would_be_known(outcomes: dict[str, Outcome], case: str) -> None:
    assert all(map(all, outcomes[case].repeat_known)), outcomes[case]


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_no_repeat_is_stored_also_when_keys_were_learnt_again(outcomes: dict[str, Outcome], case: str) -> None:
    before, lost, after = outcomes[case].stored
    assert lost == before
    assert len(after) == len(before) + 1
