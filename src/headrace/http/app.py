"""The HTTP application: the dialects' routes, and the server's own."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.capabilities import Capabilities, ServerStatus
from headrace.dialects.route import Dialect
from headrace.dialects.table import DIALECTS
from headrace.dialects.wire import encode_json
from headrace.http import docs
from headrace.http.body import Budget
from headrace.http.contacts import Contacts
from headrace.http.direct import App
from headrace.http.gate import Gate
from headrace.http.grants import Grants
from headrace.http.journeys import Journeys
from headrace.http.landing import Landing
from headrace.http.ledgers import Ledgers
from headrace.http.local import Check, Quarantine
from headrace.http.metrics import Metrics
from headrace.http.mount import Handler, Responders, mount
from headrace.http.names import Catalogue, EventNames
from headrace.http.people import People
from headrace.http.problems import Problems
from headrace.http.replays import Replays
from headrace.http.rules import Rules
from headrace.http.scoreboards import Scoreboards
from headrace.http.status import Statuses
from headrace.http.strict import Strict
from headrace.http.traces import Traces
from headrace.http.unread import Unread
from headrace.http.webhook_admin import Webhooks


class _Health:
    """/health says that the process answers; /ready, that what it is sent gets stored."""

    def __init__(self, status: ServerStatus) -> None:
        self._status = status

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = encode_json({"status": "ok"})

    async def on_get_ready(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        hindrance = self._status.hindrance()
        resp.status = int(HTTPStatus.SERVICE_UNAVAILABLE if hindrance else HTTPStatus.OK)
        found = {"problems": problems} if (problems := self._status.problems()) else {}
        resp.data = encode_json({"status": hindrance or "ready"} | found)


def create_app(can: Capabilities, unread: Unread, /, dialects: Sequence[Dialect] = DIALECTS) -> App:
    """The ASGI application of a server that speaks these dialects."""
    settings = can.settings
    gate, bodies = (
        Gate(can.admission, can.ask, unread, Strict() if settings.unknown_parameters == "reject" else None),
        Budget(max(settings.max_bodies_bytes, settings.max_request_bytes)),
    )
    metrics = Metrics(can.status, bodies, unread)
    # What a route does not say otherwise of its reply is JSON: falcon.DEFAULT_MEDIA_TYPE.
    app = App(metrics, bodies)
    app.req_options.strip_url_path_trailing_slash = True
    Problems(dialects).install(app, metrics.count_refusal)
    mount(app, dialects, Responders(gate, can.intake, settings, metrics, handlers(gate, can)))
    health = _Health(can.status)
    app.add_route("/", Landing())
    app.add_route("/health", health)
    app.add_route("/ready", health, suffix="ready")
    app.add_route("/metrics", metrics)
    app.add_route("/internal/check", Check(can.admission, can.status))
    app.add_route("/internal/quarantine", Quarantine(can.admission, can.quarantine))
    for path, resource in docs.routes():
        app.add_route(path, resource)
    return app


def handlers(gate: Gate, can: Capabilities, /) -> Mapping[str, Handler]:
    """What the tables' `Handled` routes name."""
    max_bytes = can.settings.max_request_bytes
    rules, replays = Rules(can.rules, max_bytes), Replays(can.replays, max_bytes)
    webhooks = Webhooks(can.webhooks)
    journeys, catalogue = Journeys(can.journeys), Catalogue(gate, can.rules)
    scoreboards, traces = Scoreboards(can.scoreboard, can.people), Traces(gate, can.history)
    people = People(can.people, scoreboards)
    ledgers, grants = Ledgers(can.scoreboard), Grants(can.scoreboard)
    contacts = Contacts(can.contacts, can.intake, can.settings)
    return {
        "status": Statuses(can.admission, can.status).show,
        "catalog": catalogue.listed,
        "catalog_entry": catalogue.one,
        "event_names": EventNames(gate, can.rules).listed,
        "rules": rules.show,
        "apply_rules": rules.apply,
        "passed_over": rules.passed_over,
        "passed_over_by_all": rules.passed_over_by_all,
        "grant_points": grants.grant,
        "revoke_badge": grants.revoke,
        "revocations": grants.revocations,
        "participants": ledgers.participants,
        "participant": scoreboards.participant,
        "ledger": ledgers.entries,
        "points_leaderboard": ledgers.leaderboard,
        "challenges": scoreboards.challenges,
        "leaderboard": scoreboards.leaderboard,
        "badges": scoreboards.badges,
        "holders": scoreboards.holders,
        "upsert_contact": contacts.upsert,
        "delete_contact": contacts.delete,
        "find_contacts": contacts.find,
        "identify_group": contacts.identify_group,
        "list_groups": contacts.groups,
        "hogsend_group": contacts.group,
        "group_members": contacts.members,
        "add_group_member": contacts.add_member,
        "remove_group_member": contacts.remove_member,
        "fire_event": contacts.fire,
        "people": people.listed,
        "person": people.one,
        "person_events": people.events,
        "part_person": people.part,
        "group": people.group,
        "trace": traces.trace,
        "effects": traces.effects,
        "replay": replays.start,
        "replays": replays.listed,
        "replay_job": replays.one,
        "pause_replay": replays.pause,
        "resume_replay": replays.resume,
        "cancel_replay": replays.cancel,
        "webhooks": webhooks.listed,
        "create_webhook": webhooks.create,
        "webhook": webhooks.one,
        "change_webhook": webhooks.change,
        "delete_webhook": webhooks.delete,
        "rotate_webhook": webhooks.rotate,
        "test_webhook": webhooks.test,
        "deliveries": webhooks.deliveries,
        "delivery": webhooks.delivery,
        "redeliver": webhooks.redeliver,
        "redeliver_all": webhooks.redeliver_all,
        "journeys": journeys.listed,
        "journey": journeys.one,
        "runs": journeys.runs,
        "run": journeys.run,
        "cancel_run": journeys.cancel,
        "retry_run": journeys.retry,
    }
