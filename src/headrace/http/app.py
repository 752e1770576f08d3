"""The HTTP application: every route, and what each is handled by."""

from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.runtime import Runtime
from headrace.dialects.wire import encode_json
from headrace.http import docs, ingest, problems
from headrace.http.body import Budget
from headrace.http.direct import App
from headrace.http.gate import Gate
from headrace.http.ingest import IngestResource
from headrace.http.local import Check
from headrace.http.metrics import Metrics
from headrace.http.native import Catalog, EventTrace
from headrace.http.reactions import Badges, Challenges, EventEffects, Participants, Rules
from headrace.http.read import FluxEvents, FluxMetrics, HogsendEvents, SoluteFlags
from headrace.http.replays import Replays
from headrace.http.sdk import PostHogConfig, PostHogFlags, SegmentSettings
from headrace.http.unread import Unread
from headrace.model.errors import HeadraceError


class _Health:
    """/health says that the process answers; /ready, that what it is sent gets stored."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = encode_json({"status": "ok"})

    async def on_get_ready(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        failing = self._runtime.worker.failing
        resp.status = int(HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK)
        resp.data = encode_json({"status": "the store is failing; see the log" if failing else "ready"})


class _Both:
    """Two resources at one path."""

    def __init__(self, post: IngestResource, get: FluxEvents | FluxMetrics) -> None:
        self.on_post = post.on_post
        self.on_options = post.on_options
        self.on_get = get.on_get


def create_app(runtime: Runtime, unread: Unread, /) -> App:
    """The ASGI application over an opened runtime."""
    settings = runtime.settings
    gate, bodies = Gate(runtime, unread), Budget(max(settings.max_bodies_bytes, settings.max_request_bytes))
    metrics = Metrics(runtime, bodies, unread)
    # What a route does not say otherwise of its reply is JSON: falcon.DEFAULT_MEDIA_TYPE.
    app = App(metrics, bodies)
    app.req_options.strip_url_path_trailing_slash = True
    app.add_error_handler(Exception, problems.handle_bug)
    app.add_error_handler(falcon.HTTPError, problems.handle_falcons)
    app.add_error_handler(HeadraceError, problems.handle_ours)

    flux, hogsend, health = FluxEvents(gate), HogsendEvents(gate), _Health(runtime)
    catalog, replays = Catalog(gate), Replays(gate)
    flux_metrics = FluxMetrics(gate)
    read_too = {"/api/v1/events": flux, "/api/v1/metrics": flux_metrics}
    for route in ingest.ROUTES:
        if route.claims:
            continue
        claimants = [each for each in ingest.ROUTES if each.claims and each.path == route.path]
        resource = IngestResource(gate, metrics, route, claimants)
        get = read_too.get(route.path)
        app.add_route(route.path, _Both(resource, get) if get else resource)
        app.posters[route.path] = resource
    app.add_route("/api/v1/events/count", flux, suffix="count")
    app.add_route("/api/v1/events/stats", flux, suffix="stats")
    app.add_route("/api/v1/events/{event_id}", flux, suffix="one")
    app.add_route("/api/v1/metrics/{metric}", flux_metrics, suffix="one")
    app.add_route("/api/v1/metrics/{metric}/query", flux_metrics, suffix="query")
    app.add_route("/api/feature-flags", SoluteFlags(gate))
    app.add_route("/v1/admin/events", hogsend)
    app.add_route("/v1/admin/events/names", hogsend, suffix="names")
    app.add_route("/v1/admin/events/sources", hogsend, suffix="sources")
    app.add_route("/v1/admin/events/replay", hogsend, suffix="replay")
    app.add_route("/v1/admin/events/{event_id}", hogsend, suffix="one")
    app.add_route("/v1/admin/replays", replays)
    app.add_route("/v1/admin/replays/{replay_id}", replays, suffix="one")
    for action in ("pause", "resume", "cancel"):
        app.add_route(f"/v1/admin/replays/{{replay_id}}/{action}", replays, suffix=action)
    app.add_route("/api/v1/catalog", catalog)
    app.add_route("/api/v1/catalog/{name:path}", catalog, suffix="one")
    challenges, badges = Challenges(gate), Badges(gate)
    app.add_route("/api/v1/rules", Rules(gate))
    app.add_route("/api/v1/participants/{name:path}", Participants(gate), suffix="one")
    app.add_route("/api/v1/challenges", challenges)
    app.add_route("/api/v1/challenges/{challenge_id}/leaderboard", challenges, suffix="leaderboard")
    app.add_route("/api/v1/badges", badges)
    app.add_route("/api/v1/badges/{badge_id}/holders", badges, suffix="holders")
    app.add_route("/api/v1/events/{event_id}/effects", EventEffects(gate))
    app.add_route("/api/v1/events/{event_id}/trace", EventTrace(gate))
    app.add_route("/v1/projects/{write_key}/settings", SegmentSettings(gate))
    app.add_route("/flags", PostHogFlags(gate))
    app.add_route("/decide", PostHogFlags(gate))
    app.add_route("/array/{token}/config", PostHogConfig(gate))
    app.add_route("/array/{token}/config.js", PostHogConfig(gate), suffix="script")
    app.add_route("/health", health)
    app.add_route("/ready", health, suffix="ready")
    app.add_route("/metrics", metrics)
    app.add_route("/internal/check", Check(runtime))
    for path, resource in docs.routes():
        app.add_route(path, resource)
    return app
