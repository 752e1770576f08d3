"""Webhooks, the outbox and the queue of deliveries, on SQLite and on PostgreSQL 18."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from headrace.control.database import reading, writing
from headrace.control.delivery_log import ControlDeliveryLog
from headrace.control.delivery_queue import ControlDeliveryQueue
from headrace.control.delivery_tidying import DISABLED, TOO_LATE
from headrace.control.event_feed import ControlEventFeed
from headrace.control.leases import ControlLeases
from headrace.control.outbox import FULL, ControlOutbox
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.rulebook import Rulebook
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.control.tables.positions import leases
from headrace.control.tables.projects import projects
from headrace.control.webhooks import ControlWebhooks
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import StoredEvent, Tenant, event_id
from headrace.model.filters import Filters
from headrace.model.lease import Lease
from headrace.model.times import render_time_short
from headrace.model.webhook import (
    Attempt,
    Call,
    Due,
    Message,
    Reply,
    Topic,
    Tried,
    Webhook,
    WebhookChange,
)
from headrace.pipeline.applying_rules import apply_rules
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.ports.control import LeaseLost
from headrace.ports.deliveries import DeliveryLog, DeliveryQueue, EventFeedQueue, Outbox, WebhookStore
from tests.contracts.rivals import Rival, before
from tests.engine import NOW_MS

TENANT = Tenant("p", "live")
OTHERS = (Tenant("p", "test"), Tenant("q", "live"))
DAY_MS = 86_400_000
RULES = b"""
facts:
  - {id: buy, event: n, fact_type: purchase, points: 1}
badges:
  - {id: gold, fact: purchase, count: 2, points: 7}
challenges:
  - {id: buyer, fact: purchase, goal: 2}
"""


class Handler:
    """Writes each reply into a table of control, as journeys do, so that a rolled back one is not there."""

    def __init__(self) -> None:
        self.fails = False
        self.times_kept = 0
        self.replies: list[tuple[Tenant, Reply]] = []

    def keep(self, transaction: object, tenant: Tenant, replies: Sequence[Reply], /) -> None:
        assert isinstance(transaction, sa.Connection)
        if self.fails:
            raise RuntimeError("journeys cannot write")
        for reply in replies:
            transaction.execute(sa.insert(projects).values(name=f"reply to {reply.reply_to}", created_at_ms=1))
        self.replies += [(tenant, reply) for reply in replies]

    def kept(self) -> None:
        self.times_kept += 1


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def outbox(handler: Handler) -> Outbox:
    return ControlOutbox(handler, clock_ms=lambda: NOW_MS, give_up_after_ms=DAY_MS)


@pytest.fixture
def store(engine: Engine) -> WebhookStore:
    return ControlWebhooks(engine, most=5, most_waiting=100)


@pytest.fixture
def queue(engine: Engine, handler: Handler) -> ControlDeliveryQueue:
    return make_queue(engine, handler)


@pytest.fixture
def feed(engine: Engine) -> EventFeedQueue:
    return ControlEventFeed(engine, give_up_after_ms=DAY_MS)


def make_queue(engine: Engine, handler: Handler, **given: int) -> ControlDeliveryQueue:
    usual = {"most_waiting": 100, "keep_ms": 7 * DAY_MS, "keep": 50}
    return ControlDeliveryQueue(engine, handler, **usual | given)


def new_webhook(webhook_id: str = "w", tenant: Tenant = TENANT, *topics: Topic, **fields: object) -> Webhook:
    usual: dict[str, object] = {
        "number": 0,
        "tenant": tenant,
        "id": webhook_id,
        "url": f"https://{webhook_id}.example/",
    }
    usual |= {
        "topics": topics or ("badge.awarded",),
        "filters": Filters(),
        "status": "enabled",
        "created_at_ms": NOW_MS,
    }
    return Webhook(**usual | fields)  # type: ignore[arg-type]


def make(store: WebhookStore, webhook_id: str = "w", tenant: Tenant = TENANT, *topics: Topic, last: int = 7) -> Webhook:
    return store.create(new_webhook(webhook_id, tenant, *topics), f"whsec_{webhook_id}", lambda: last)


def message(key: str = "k", topic: Topic = "badge.awarded") -> Message:
    return Message(key=key, topic=topic, at_ms=NOW_MS, data=b'{"n":"\\u0000\xc3\xa9"}')


def publish(engine: Engine, outbox: Outbox, *keys: str, tenant: Tenant = TENANT) -> None:
    with writing(engine) as connection:
        outbox.publish(connection, tenant, [message(key) for key in keys])


def call(engine: Engine, outbox: Outbox, webhook_id: str, key: str = "c") -> None:
    with writing(engine) as connection:
        outbox.call(
            connection, TENANT, [Call(webhook=webhook_id, message=message(key, "journey.called"), reply_to=key)]
        )


def due(queue: DeliveryQueue, now_ms: int = NOW_MS, besides: Sequence[int] = (), limit: int = 100) -> list[Due]:
    return [
        each for receiver in queue.ready(now_ms, None) for each in queue.due(receiver, now_ms, limit, 1 << 20, besides)
    ]


def taken(due: Due, **fields: object) -> Tried:
    usual: dict[str, object] = {"due": due, "attempt": Attempt(NOW_MS, 3, 200, "")}
    return Tried(**usual | fields)  # type: ignore[arg-type]


def refused(due: Due, status: int = 500, **fields: object) -> Tried:
    return taken(due, attempt=Attempt(NOW_MS, 3, status, f"The receiver answered {status}."), **fields)


def told(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return sorted(name for name in connection.scalars(sa.select(projects.c.name)) if name.startswith("reply"))


# Webhooks


def test_a_webhook_is_kept_as_it_was_made(store: WebhookStore) -> None:
    filters = Filters(name="a\x00b", tags=(("plan", "pro"),))
    made = store.create(new_webhook("w", TENANT, "event", "points.changed", filters=filters), "whsec_x", lambda: 7)
    kept = store.get(TENANT, "w")
    assert (kept.number, kept.url, kept.topics, kept.status) == (
        made.number,
        "https://w.example/",
        ("event", "points.changed"),
        "enabled",
    )
    assert kept.filters == filters
    assert store.listed(TENANT, "", 9) == [(kept, 0)]
    for tenant in OTHERS:
        assert store.listed(tenant, "", 9) == []
        with pytest.raises(NotFound):
            store.get(tenant, "w")


@pytest.mark.parametrize("webhook_id", ["", "\x00", "w\x00", "W", "é", "x" * 1000])
def test_a_webhook_of_any_other_id_is_not_found(store: WebhookStore, webhook_id: str) -> None:
    make(store)
    with pytest.raises(NotFound):
        store.get(TENANT, webhook_id)
    with pytest.raises(NotFound):
        store.change(TENANT, webhook_id, WebhookChange(), lambda: 1)
    with pytest.raises(NotFound):
        store.remove(TENANT, webhook_id)


def test_an_id_is_one_webhooks_and_free_again_once_it_is_removed(store: WebhookStore) -> None:
    first = make(store)
    with pytest.raises(InvalidRequest, match="already"):
        make(store)
    make(store, "w", OTHERS[0])
    store.remove(TENANT, "w")
    with pytest.raises(NotFound):
        store.get(TENANT, "w")
    assert make(store).number > first.number


def test_a_tenant_has_so_many_webhooks_and_no_more(store: WebhookStore) -> None:
    for number in range(5):
        make(store, f"w{number}")
    with pytest.raises(InvalidRequest, match="HEADRACE_MAX_WEBHOOKS"):
        make(store, "w5")
    make(store, "w5", OTHERS[1])
    assert [each.id for each, _ in store.listed(TENANT, "w1", 2)] == ["w2", "w3"]


def test_two_that_make_the_last_webhook_at_once_do_not_both_get_it(engine: Engine, other: Engine) -> None:
    rivals: list[Rival] = []

    def meet() -> None:
        rivals.append(Rival(lambda: make(ControlWebhooks(other, most=1, most_waiting=9), "b")))
        rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO webhooks", meet)
    make(ControlWebhooks(engine, most=1, most_waiting=9), "a")
    with pytest.raises(InvalidRequest):
        rivals[0].result()


def test_what_a_change_does_not_name_stays(store: WebhookStore) -> None:
    make(store, "w", TENANT, "event")
    assert store.change(TENANT, "w", WebhookChange(), lambda: 9) == store.get(TENANT, "w")
    changed = store.change(TENANT, "w", WebhookChange(url="https://b.example/"), lambda: 9)
    assert (changed.url, changed.topics) == ("https://b.example/", ("event",))
    changed = store.change(TENANT, "w", WebhookChange(topics=("badge.awarded",), filters=Filters(name="n")), lambda: 9)
    assert (changed.url, changed.topics, changed.filters.name) == ("https://b.example/", ("badge.awarded",), "n")


def test_during_the_overlap_both_secrets_sign_the_newest_first(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    make(store)
    publish(engine, outbox, "k")
    store.change(TENANT, "w", WebhookChange(secret="whsec_new", overlap_until_ms=NOW_MS + 10), lambda: 1)
    assert queue.ready(NOW_MS + 9, None)[0].secrets == ("whsec_new", "whsec_w")
    assert queue.ready(NOW_MS + 10, None)[0].secrets == ("whsec_new",)
    store.change(TENANT, "w", WebhookChange(secret="whsec_newest"), lambda: 1)
    assert queue.ready(NOW_MS, None)[0].secrets == ("whsec_newest",)


# The outbox


def test_a_message_is_enqueued_for_each_webhook_that_wants_its_topic(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    make(store, "a")
    make(store, "b", TENANT, "badge.awarded", "event")
    make(store, "c", TENANT, "event")
    make(store, "d")
    store.change(TENANT, "d", WebhookChange(status="disabled"), lambda: 1)
    make(store, "a", OTHERS[0])
    publish(engine, outbox, "k")
    found = due(queue)
    assert sorted((each.receiver.id, each.receiver.tenant, each.key) for each in found) == [
        ("a", TENANT, "k"),
        ("b", TENANT, "k"),
    ]
    moment = render_time_short(NOW_MS)
    assert found[0].body.decode() == f'{{"type":"badge.awarded","timestamp":"{moment}","data":{{"n":"\\u0000é"}}}}'
    assert {each.receiver.secrets for each in found} == {("whsec_a",), ("whsec_b",)}


def test_a_message_is_enqueued_once_by_its_key(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue, handler: Handler
) -> None:
    make(store)
    publish(engine, outbox, "k", "k")
    publish(engine, outbox, "k", "l")
    assert [each.key for each in due(queue)] == ["k", "l"]
    queue.record([taken(each) for each in due(queue)], None, NOW_MS)
    publish(engine, outbox, "k")
    assert due(queue) == []


def test_a_transaction_that_is_undone_enqueues_nothing(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    make(store)

    def fail_after_it() -> None:
        with writing(engine) as connection:
            outbox.publish(connection, TENANT, [message()])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_it()
    assert due(queue) == []


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "é", "a.b", "x" * 201])
def test_a_key_that_no_header_can_carry_is_refused(
    engine: Engine, store: WebhookStore, outbox: Outbox, key: str
) -> None:
    make(store)
    with pytest.raises(ValueError, match="key"):
        publish(engine, outbox, key)


def test_effects_are_enqueued_with_them_and_once_however_often_they_are_replayed(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    make(store, "w", TENANT, "badge.awarded", "points.changed", "challenge.completed")
    apply_rules(Rulebook(engine), "p", RULES, 1, last=lambda: 0, dry_run=False)
    reactions = Reactions(ControlReactionStates(engine, None, outbox), RuleTimelines(Rulebook(engine)))
    events = [
        StoredEvent("p", "live", "flux", "n", NOW_MS, user_id="u", id=event_id(position, 1), position=position)
        for position in (NOW_MS << 20, NOW_MS + 1 << 20)
    ]
    reactions.replay(TENANT, events, force=False, dry_run=True)
    assert due(queue) == []
    reactions.replay(TENANT, events, force=False, dry_run=False)
    reactions.replay(TENANT, events, force=False, dry_run=False)
    bodies = [each.body.decode() for each in due(queue)]
    assert sorted(body.split('"')[3] for body in bodies) == [
        "badge.awarded",
        "challenge.completed",
        *["points.changed"] * 3,
    ]
    badge = next(body for body in bodies if "badge.awarded" in body)
    assert f'"event_id":"evt_{events[1].id}","participant":"u","badge_id":"gold","rule":"gold","version":"' in badge
    before_force = {each.key for each in due(queue)}
    reactions.replay(TENANT, events, force=True, dry_run=False)
    assert len(due(queue)) > len(before_force), "what is forced happens again, and is told again"


def test_without_a_webhook_effects_are_told_to_nobody(engine: Engine, outbox: Outbox) -> None:
    apply_rules(Rulebook(engine), "p", RULES, 1, last=lambda: 0, dry_run=False)
    reactions = Reactions(ControlReactionStates(engine, None, outbox), RuleTimelines(Rulebook(engine)))
    event = StoredEvent("p", "live", "flux", "n", NOW_MS, user_id="u", id=event_id(1 << 30, 1), position=1 << 30)
    reactions.replay(TENANT, [event], force=False, dry_run=False)
    with reading(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(deliveries)) == 0


# Calls


def test_a_reply_is_handed_over_in_the_transaction_that_ends_the_call(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue, handler: Handler
) -> None:
    make(store, "w", TENANT, "journey.called")
    call(engine, outbox, "w")
    call(engine, outbox, "w")
    (found,) = due(queue)
    queue.record([refused(found, again_at_ms=NOW_MS + 5)], None, NOW_MS)
    assert handler.replies == []
    (found,) = due(queue, NOW_MS + 5)
    handler.fails = True
    with pytest.raises(RuntimeError):
        queue.record([taken(found, json=b'{"a":1}')], None, NOW_MS)
    assert (told(engine), due(queue, NOW_MS + 5)) == ([], [found]), "nothing of it was kept"
    handler.fails = False
    queue.record([taken(found, json=b'{"a":1}')], None, NOW_MS)
    expected = Reply(reply_to="c", key="c", webhook="w", delivered=True, status=200, json=b'{"a":1}')
    assert (handler.replies, handler.times_kept, told(engine)) == ([(TENANT, expected)], 1, ["reply to c"])


def test_a_call_that_is_given_up_is_told_so(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue, handler: Handler
) -> None:
    make(store, "w", TENANT, "journey.called")
    call(engine, outbox, "w")
    queue.record([refused(due(queue)[0])], None, NOW_MS)
    (reply,) = [reply for _, reply in handler.replies]
    assert (reply.delivered, reply.status, reply.problem) == (False, 500, "The receiver answered 500.")


def test_a_call_that_nobody_can_take_is_told_so_at_once(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue, handler: Handler
) -> None:
    make(store, "badges")
    make(store, "off", TENANT, "journey.called")
    store.change(TENANT, "off", WebhookChange(status="disabled"), lambda: 1)
    make(store, "theirs", OTHERS[0], "journey.called")
    for number, webhook_id in enumerate(("none", "badges", "off", "theirs")):
        call(engine, outbox, webhook_id, f"c{number}")
    assert [reply.problem for _, reply in handler.replies] == [
        "There is no webhook 'none'.",
        "The webhook 'badges' does not have the topic 'journey.called'.",
        "The webhook 'off' is disabled.",
        "There is no webhook 'theirs'.",
    ]
    assert {(reply.delivered, reply.status) for _, reply in handler.replies} == {(False, 0)}
    assert due(queue) == []
    log: DeliveryLog = ControlDeliveryLog(engine)
    assert log.get(store.get(TENANT, "off").number, "c2").status == "dead"


def test_a_message_to_one_webhook_alone_waits_and_is_given_up_after_one_try(
    engine: Engine, store: WebhookStore, queue: DeliveryQueue
) -> None:
    made = make(store, "w")
    make(store, "other")
    added = ControlDeliveryLog(engine).add(made.number, message("t"), NOW_MS)
    assert (added.key, added.status, added.ended_at_ms) == ("t", "waiting", None)
    [found] = due(queue)
    assert (found.receiver.number, found.key, found.give_up_at_ms) == (made.number, "t", NOW_MS)


def test_a_delivery_that_nobody_can_take_ends_as_it_begins(engine: Engine, store: WebhookStore, outbox: Outbox) -> None:
    made = make(store, "badges")
    call(engine, outbox, "badges")
    [dead] = ControlDeliveryLog(engine).listed(made.number, None, 2**62, 9)
    assert (dead.status, dead.created_at_ms, dead.ended_at_ms) == ("dead", NOW_MS, NOW_MS)


# The queue


def test_what_is_due_comes_in_order_and_what_is_held_or_due_later_does_not(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    made = make(store)
    publish(engine, outbox, "a", "b", "c", "d")
    found = due(queue)
    assert [each.key for each in found] == ["a", "b", "c", "d"]
    assert [each.key for each in due(queue, limit=2)] == ["a", "b"]
    assert [each.key for each in due(queue, besides=[found[0].number], limit=2)] == ["b", "c"]
    queue.record([refused(found[0], again_at_ms=NOW_MS + 100)], None, NOW_MS)
    assert [each.key for each in due(queue)] == ["b", "c", "d"]
    again = due(queue, NOW_MS + 100)
    assert [each.key for each in again] == ["b", "c", "d", "a"], "the longest due first"
    assert (again[-1].tries, again[-1].attempts) == (1, [Attempt(NOW_MS, 3, 500, "The receiver answered 500.")])
    assert queue.ready(NOW_MS, [made.number + 1]) == []
    assert len(queue.ready(NOW_MS, [made.number])) == 1
    receiver = queue.ready(NOW_MS, None)[0]
    assert len(queue.due(receiver, NOW_MS, 9, len(found[0].body) + 1, ())) == 2, "the last may go beyond the bytes"


def test_a_webhook_shows_whether_it_fails(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    make(store)
    publish(engine, outbox, "a", "b")
    one, two = due(queue)
    queue.record([refused(one, again_at_ms=NOW_MS + 5)], None, NOW_MS)
    failing = store.get(TENANT, "w")
    assert (failing.failing_since_ms, failing.problem) == (NOW_MS, "The receiver answered 500.")
    assert store.listed(TENANT, "", 9)[0][1] == 2
    queue.record([taken(two)], None, NOW_MS)
    assert (store.get(TENANT, "w").failing_since_ms, store.get(TENANT, "w").problem) == (0, "")


@pytest.mark.parametrize("put_right", [WebhookChange(url="https://new.example/"), WebhookChange(status="enabled")])
def test_a_webhook_that_has_moved_or_is_enabled_again_does_not_fail_any_more(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue, put_right: WebhookChange
) -> None:
    make(store)
    publish(engine, outbox, "a")
    queue.record([refused(*due(queue), again_at_ms=NOW_MS + 5)], None, NOW_MS)
    store.change(TENANT, "w", WebhookChange(status="disabled", reason="a rest"), lambda: 1)
    assert store.get(TENANT, "w").failing_since_ms == NOW_MS
    changed = store.change(TENANT, "w", put_right, lambda: 1)
    assert (changed.failing_since_ms, changed.problem) == (0, "")


def test_a_receiver_that_is_gone_is_disabled_and_what_waits_for_it_ends(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: ControlDeliveryQueue, handler: Handler
) -> None:
    made = make(store, "w", TENANT, "journey.called", "badge.awarded")
    publish(engine, outbox, "a", "b")
    call(engine, outbox, "w")
    one, held, _ = due(queue)
    queue.record([refused(one, 410, disables=True)], None, NOW_MS)
    gone = store.get(TENANT, "w")
    assert (gone.status, gone.reason) == ("disabled", "The receiver answered 410.")
    assert due(queue) == []
    publish(engine, outbox, "c")
    assert not queue.tidy([], [held.number], None, NOW_MS)
    log: DeliveryLog = ControlDeliveryLog(engine)
    assert [(each.key, each.status, each.problem) for each in log.listed(made.number, None, 2**62, 9)] == [
        ("c", "dead", DISABLED),
        ("b", "waiting", ""),
        ("a", "dead", "The receiver answered 410."),
    ]
    assert [reply.problem for _, reply in handler.replies] == [DISABLED]


def test_a_late_sender_records_nothing(
    engine: Engine, other: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    make(store)
    publish(engine, outbox, "k")
    late = ControlLeases(engine).take("deliveries", "one")
    with writing(engine) as connection:
        connection.execute(sa.update(leases).values(expires_at_ms=1))
    held = ControlLeases(other).take("deliveries", "two")
    (found,) = due(queue)
    with pytest.raises(LeaseLost):
        queue.record([taken(found)], late, NOW_MS)
    assert due(queue) == [found]
    queue.record([taken(found)], held, NOW_MS)
    assert due(queue) == []


def test_what_was_not_taken_in_time_by_a_failing_receiver_ends(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    made = make(store)
    publish(engine, outbox, "a", "b")
    queue.record([refused(due(queue)[0], again_at_ms=NOW_MS + DAY_MS)], None, NOW_MS)
    assert not queue.tidy([], [], None, NOW_MS + DAY_MS)
    assert len(due(queue, NOW_MS + DAY_MS)) == 2
    queue.tidy([], [], None, NOW_MS + DAY_MS + 1)
    log: DeliveryLog = ControlDeliveryLog(engine)
    assert [(each.key, each.problem) for each in log.listed(made.number, "dead", 2**62, 9)] == [
        ("b", TOO_LATE),
        ("a", TOO_LATE),
    ]


def test_what_ended_long_ago_goes_and_what_waits_stays(
    engine: Engine, store: WebhookStore, outbox: Outbox, handler: Handler
) -> None:
    queue = make_queue(engine, handler, keep=2)
    made = make(store)
    publish(engine, outbox, *"abcdefg")
    found = due(queue)
    for number, each in enumerate(found[:4]):
        queue.record([taken(each)], None, NOW_MS + number)
    for number, each in enumerate(found[4:6]):
        queue.record([refused(each)], None, NOW_MS + number)
    queue.tidy([made.number], [], None, NOW_MS + 10)
    log: DeliveryLog = ControlDeliveryLog(engine)
    assert [each.key for each in log.listed(made.number, None, 2**62, 99)] == ["g", "f", "e", "d", "c"]
    queue.tidy([made.number], [], None, NOW_MS + 8 * DAY_MS)
    assert [each.key for each in log.listed(made.number, None, 2**62, 99)] == ["g"]


def test_a_full_queue_takes_no_more_and_says_so_until_there_is_room(
    engine: Engine, store: WebhookStore, outbox: Outbox, handler: Handler
) -> None:
    queue = make_queue(engine, handler, most_waiting=2)
    made = make(store)
    publish(engine, outbox, "a", "b")
    queue.tidy([], [], None, NOW_MS)
    publish(engine, outbox, "c")
    log: DeliveryLog = ControlDeliveryLog(engine)
    assert (log.get(made.number, "c").status, log.get(made.number, "c").problem) == ("dead", FULL)
    queue.record([taken(due(queue)[0])], None, NOW_MS)
    queue.tidy([made.number], [], None, NOW_MS)
    publish(engine, outbox, "d")
    assert [each.key for each in due(queue)] == ["b", "d"]


def test_a_deleted_webhook_is_sent_nothing_and_leaves_nothing_behind(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue, handler: Handler
) -> None:
    make(store, "w", TENANT, "badge.awarded", "journey.called")
    publish(engine, outbox, "a", "b")
    call(engine, outbox, "w")
    store.remove(TENANT, "w")
    assert due(queue) == []
    with reading(engine) as connection:
        assert connection.scalar(sa.select(webhooks.c.secret)) == ""
    for _ in range(5):
        queue.tidy([], [], None, NOW_MS)
    with reading(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(deliveries)) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(webhooks)) == 0
    assert [reply.problem for _, reply in handler.replies] == ["The webhook was deleted."]


# Again


def test_a_dead_letter_is_sent_again_under_the_same_key(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    made = make(store)
    publish(engine, outbox, "a")
    (first,) = due(queue)
    queue.record([refused(first)], None, NOW_MS)
    log: DeliveryLog = ControlDeliveryLog(engine)
    again = log.again(made.number, "a", NOW_MS + 50, NOW_MS + 60)
    assert (again.status, again.tries, len(again.attempts), again.ended_at_ms) == ("waiting", 0, 1, None)
    assert due(queue) == []
    (second,) = due(queue, NOW_MS + 50)
    assert (second.key, second.body) == (first.key, first.body)
    with pytest.raises(NotFound):
        log.again(made.number, "b", 1, 2)
    with pytest.raises(NotFound):
        log.again(made.number + 1, "a", 1, 2)


def test_a_range_of_dead_letters_is_sent_again(
    engine: Engine, store: WebhookStore, outbox: Outbox, queue: DeliveryQueue
) -> None:
    made, beside = make(store), make(store, "x")
    publish(engine, outbox, "a", "b", "c")
    for each in due(queue):
        queue.record([refused(each)], None, NOW_MS)
    with writing(engine) as connection:
        connection.execute(sa.update(deliveries).where(deliveries.c.key == "c").values(created_at_ms=NOW_MS + 5))
    log: DeliveryLog = ControlDeliveryLog(engine)
    assert log.all_again(made.number, (NOW_MS + 1, NOW_MS + 4), "dead", 99, NOW_MS, NOW_MS) == 0
    assert log.all_again(made.number, (NOW_MS, NOW_MS + 5), "dead", 2, NOW_MS, NOW_MS + 9) == 2
    assert [(each.receiver.id, each.key) for each in due(queue)] == [("w", "a"), ("w", "b")]
    assert log.all_again(beside.number, (0, 2**60), "delivered", 99, NOW_MS, NOW_MS) == 0


# Events


def test_events_are_enqueued_once_by_the_webhooks_own_position(
    store: WebhookStore, queue: ControlDeliveryQueue, feed: EventFeedQueue
) -> None:
    make(store, "w", TENANT, "event", last=100)
    make(store, "x")
    (wanted,) = feed.wanted(9)
    assert (wanted.id, wanted.tenant, wanted.after) == ("w", TENANT, 100)
    feed.feed(wanted, [message("a", "event")], 150, None, NOW_MS)
    feed.feed(wanted, [message("b", "event")], 160, None, NOW_MS)  # as a process does that was overtaken
    assert [each.key for each in due(queue)] == ["a"]
    assert feed.wanted(9)[0].after == 150
    assert feed.wanted(1) == [], "as many wait as may"


def test_a_webhook_that_is_enabled_again_gets_the_events_from_then_on(
    store: WebhookStore, feed: EventFeedQueue
) -> None:
    make(store, "w", TENANT, "event", last=100)
    store.change(TENANT, "w", WebhookChange(status="disabled", reason="by hand"), lambda: 200)
    assert feed.wanted(9) == []
    store.change(TENANT, "w", WebhookChange(status="enabled"), lambda: 300)
    assert feed.wanted(9)[0].after == 300
    store.change(TENANT, "w", WebhookChange(topics=("badge.awarded",)), lambda: 400)
    assert feed.wanted(9) == []
    store.change(TENANT, "w", WebhookChange(topics=("event",)), lambda: 500)
    assert feed.wanted(9)[0].after == 500
    store.change(TENANT, "w", WebhookChange(filters=Filters(name="n")), lambda: 600)
    assert feed.wanted(9)[0].after == 500


def test_the_feed_of_a_late_sender_enqueues_nothing(
    store: WebhookStore, queue: ControlDeliveryQueue, feed: EventFeedQueue
) -> None:
    make(store, "w", TENANT, "event")
    with pytest.raises(LeaseLost):
        feed.feed(feed.wanted(9)[0], [message("a", "event")], 150, Lease("deliveries", "nobody", 1), NOW_MS)
    assert due(queue) == []
    assert feed.wanted(9)[0].after == 7
