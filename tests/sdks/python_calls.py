"""Runs in .venv/sdks: the vendors' Python SDKs, unmodified, given a host and a key. Imports nothing of ours.

    python python_calls.py SDK URL KEY table       every call of the SDK's public API that sends something
    python python_calls.py SDK URL KEY burst 30    so many events named burst-0, burst-1, …
    python python_calls.py SDK URL KEY purchase    one person, one purchase
    python python_calls.py SDK URL KEY code        runs the code on standard input, with URL and KEY set

Ends once the SDK says that all is delivered; exit code 1 when it gave something up.
"""

import logging
import sys
import threading
from datetime import UTC, datetime

WHEN = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
WHEN_S = int(WHEN.timestamp())
LOST = []  # what an SDK gave up


def segment(url, key, **more):
    from segment.analytics import Client

    return Client(
        key, host=url, on_error=lambda error, items: LOST.append((error, items)), upload_interval=0.05, **more
    )


def rudderstack(url, key, **more):
    from rudderstack.analytics import Client

    return Client(
        key, host=url, on_error=lambda error, items: LOST.append((error, items)), upload_interval=0.05, **more
    )


def segment_table(client):
    client.track("user_1", "Order Completed", {"revenue": 49.99}, timestamp=WHEN, message_id="m-track")
    client.track(anonymous_id="anon_1", event="Product Viewed", timestamp=WHEN, message_id="m-anonymous")
    client.identify("user_1", {"plan": "pro"}, timestamp=WHEN, message_id="m-identify")
    client.page("user_1", "Docs", "Pricing", {"url": "/pricing"}, timestamp=WHEN, message_id="m-page")
    client.screen("user_1", "Main", "Home", {"tab": 1}, timestamp=WHEN, message_id="m-screen")
    client.group("user_1", "acme", {"size": 5}, timestamp=WHEN, message_id="m-group")
    client.alias("anon_1", "user_1", timestamp=WHEN, message_id="m-alias")
    client.shutdown()


def segment_burst(client, count):
    for number in range(count):
        client.track("user_1", f"burst-{number}", {"n": number})
    client.shutdown()


def posthog(url, key, **more):
    from posthog import Posthog

    given_up = lambda error, items: LOST.append((error, items))  # noqa: E731
    return Posthog(key, host=url, on_error=given_up, flush_interval=0.05, max_retries=10, **more)


def posthog_table(client):
    uuid = "0192f0a6-8a3c-7cc1-9a51-2b6f6c9e4d{:02x}".format
    client.capture("Order Completed", distinct_id="user_1", properties={"revenue": 49.99}, timestamp=WHEN, uuid=uuid(1))
    client.capture("Product Viewed", timestamp=WHEN, uuid=uuid(2))
    client.set(distinct_id="user_1", properties={"plan": "pro"}, timestamp=WHEN, uuid=uuid(3))
    client.set_once(distinct_id="user_1", properties={"first": True}, timestamp=WHEN, uuid=uuid(4))
    client.group_identify("company", "acme", {"size": 5}, timestamp=WHEN, uuid=uuid(5), distinct_id="user_1")
    client.alias("anon_1", "user_1", timestamp=WHEN, uuid=uuid(6))
    client.capture(
        "$pageview", distinct_id="user_1", properties={"$current_url": "/pricing"}, timestamp=WHEN, uuid=uuid(7)
    )
    client.capture("$screen", distinct_id="user_1", properties={"$screen_name": "Home"}, timestamp=WHEN, uuid=uuid(8))
    client.capture_exception(ValueError("broken"), distinct_id="user_1", timestamp=WHEN, uuid=uuid(9))
    client.capture("With Groups", distinct_id="user_1", groups={"company": "acme"}, timestamp=WHEN, uuid=uuid(10))
    client.capture_ai("$ai_generation", distinct_id="user_1", properties={"$ai_cost": 1}, timestamp=WHEN, uuid=uuid(11))
    assert client.get_all_flags("user_1") == {}
    client.shutdown()


def posthog_burst(client, count):
    for number in range(count):
        client.capture(f"burst-{number}", distinct_id="user_1", properties={"n": number})
    client.shutdown()


class AmplitudeRun:
    """The SDK has no flush that waits for its retries, but calls back for each event."""

    def __init__(self, url, key, path, **more):
        from amplitude import Amplitude, Config

        self.delivered, self.changed = 0, threading.Condition()
        self.client = Amplitude(
            key, Config(server_url=f"{url}{path}", callback=self.called_back, flush_interval_millis=50, **more)
        )

    def called_back(self, event, code, message):
        with self.changed:
            self.delivered += 1
            self.changed.notify()
        if code != 200:
            LOST.append((code, message, event))

    def finish(self, count):
        self.client.flush()
        with self.changed:
            self.changed.wait_for(lambda: self.delivered >= count, timeout=90)
        self.client.shutdown()
        if self.delivered < count:
            LOST.append((self.delivered, count))


def amplitude(url, key, **more):
    return AmplitudeRun(url, key, "/2/httpapi", **more)


def amplitude_batch(url, key, **more):
    return AmplitudeRun(url, key, "/batch", **more)


def amplitude_table(run):
    from amplitude import BaseEvent, EventOptions, Identify, Revenue

    def options(insert_id):
        return EventOptions(user_id="user_1", device_id="anon_1", time=WHEN_S * 1000, insert_id=insert_id)

    client = run.client
    client.track(
        BaseEvent(
            "Order Completed",
            user_id="user_1",
            device_id="anon_1",
            time=WHEN_S * 1000,
            insert_id="m-track",
            event_properties={"revenue": 49.99},
            platform="Web",
        )
    )
    client.track(BaseEvent("Product Viewed", device_id="anon_1", time=WHEN_S * 1000, insert_id="m-anonymous"))
    client.identify(Identify().set("plan", "pro").add("logins", 1), options("m-identify"))
    client.group_identify("company", "acme", Identify().set("size", 5), options("m-group"))
    client.set_group("company", "acme", options("m-set-group"))
    client.revenue(Revenue(price=16.0, quantity=3, product_id="p1"), options("m-revenue"))
    run.finish(6)


def amplitude_burst(run, count):
    from amplitude import BaseEvent

    for number in range(count):
        run.client.track(BaseEvent(f"burst-{number}", user_id="user_1", event_properties={"n": number}))
    run.finish(count)


def mixpanel(url, key, **more):
    import mixpanel as module

    consumer = module.BufferedConsumer(
        events_url=f"{url}/track",
        people_url=f"{url}/engage",
        groups_url=f"{url}/groups",
        import_url=f"{url}/import",
        **more,
    )
    return module.Mixpanel(key, consumer=consumer)


def mixpanel_flush(client):
    """Its buffer keeps what was not delivered until the next flush."""
    import mixpanel as module

    while True:
        try:
            return client._consumer.flush()
        except module.MixpanelException as error:
            print("again:", error, file=sys.stderr)


def mixpanel_table(client):
    def meta(name):
        return {"time": WHEN_S, "$insert_id": name}

    client.track("user_1", "Order Completed", {"revenue": 49.99} | meta("m-track"))
    client.import_data(None, "user_1", "Imported", WHEN_S, {"$insert_id": "m-import"})
    client.merge(None, "user_1", "user_2")
    client.people_set("user_1", {"plan": "pro"})
    client.people_set_once("user_1", {"first": True})
    client.people_increment("user_1", {"logins": 1})
    client.people_append("user_1", {"items": "a"})
    client.people_union("user_1", {"items": ["b"]})
    client.people_unset("user_1", ["old"])
    client.people_remove("user_1", {"items": "a"})
    client.people_track_charge("user_1", 49.99)
    client.people_clear_charges("user_1")
    client.people_delete("user_1")
    client.people_update({"$distinct_id": "user_1", "$set": {"raw": 1}})
    client.group_set("company", "acme", {"size": 5})
    client.group_set_once("company", "acme", {"first": True})
    client.group_union("company", "acme", {"items": ["b"]})
    client.group_unset("company", "acme", ["old"])
    client.group_remove("company", "acme", {"items": "a"})
    client.group_delete("company", "acme")
    client.group_update({"$group_key": "company", "$group_id": "acme", "$set": {"raw": 1}})
    mixpanel_flush(client)


def mixpanel_burst(client, count):
    from mixpanel import MixpanelException

    for number in range(count):
        try:
            client.track("user_1", f"burst-{number}", {"n": number})
        except MixpanelException as error:
            print("later:", error, file=sys.stderr)
    mixpanel_flush(client)


class CloudEventsRun:
    """The SDK makes requests and sends none; this sends them, again where a retry can help."""

    def __init__(self, url, key, **_):
        import requests

        self.url, self.session = url, requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def send(self, message):
        import requests

        while True:
            try:
                reply = self.session.post(f"{self.url}/v1/cloudevents", data=message.body, headers=message.headers)
            except requests.ConnectionError as error:
                print("again:", error, file=sys.stderr)
                continue
            if reply.status_code not in (429, 500, 502, 503):
                return None if reply.ok else LOST.append((reply.status_code, reply.text))


def cloudevent(event_type, event_id, data, **more):
    from cloudevents.core.v1.event import CloudEvent

    attributes = {"type": event_type, "source": "/shop", "id": event_id, "time": WHEN, "subject": "user_1"} | more
    return CloudEvent(attributes | {"datacontenttype": "application/json"}, data)


def cloudevents_table(run):
    from cloudevents.core.bindings.http import to_binary_event, to_structured_event

    run.send(to_binary_event(cloudevent("Order Completed", "m-binary", {"revenue": 49.99})))
    run.send(to_structured_event(cloudevent("Order Completed", "m-structured", {"revenue": 49.99})))
    run.send(to_binary_event(cloudevent("user.identified", "m-identify", {"plan": "pro"}, anonymousid="anon_1")))
    run.send(to_structured_event(cloudevent("group.identified", "m-group", {"size": 5}, groupid="acme")))
    run.send(to_binary_event(cloudevent("user.aliased", "m-alias", None, previousid="anon_1")))
    run.send(to_structured_event(cloudevent("page.viewed", "m-page", {"url": "/pricing"})))


def cloudevents_burst(run, count):
    from cloudevents.core.bindings.http import to_binary_event

    for number in range(count):
        run.send(to_binary_event(cloudevent(f"burst-{number}", f"b-{number}", {"n": number})))


# By name: what makes a client, what calls all of its API, what sends many events, and how it is told to send few at once.
SDKS = {
    "segment": (segment, segment_table, segment_burst, {"upload_size": 5}),
    "rudderstack": (rudderstack, segment_table, segment_burst, {"upload_size": 5}),
    "posthog": (posthog, posthog_table, posthog_burst, {"flush_at": 5}),
    "posthog-gzip": (posthog, posthog_table, posthog_burst, {"flush_at": 5, "gzip": True}),
    "amplitude": (amplitude, amplitude_table, amplitude_burst, {"flush_queue_size": 5}),
    "amplitude-batch": (amplitude_batch, amplitude_table, amplitude_burst, {"flush_queue_size": 5}),
    "mixpanel": (mixpanel, mixpanel_table, mixpanel_burst, {"max_size": 5}),
    "cloudevents": (CloudEventsRun, cloudevents_table, cloudevents_burst, {}),
}


def main():
    name, url, key, what, *more = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    if what == "code":
        exec(compile(sys.stdin.read(), name, "exec"), {"URL": url, "KEY": key})
        return
    make, table, burst, small = SDKS[name]
    if what == "table":
        table(make(url, key))
    else:
        burst(make(url, key, **small), int(more[0]))
    if LOST:
        raise SystemExit(f"{name} gave up: {LOST}")


if __name__ == "__main__":
    main()
