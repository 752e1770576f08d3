"""Flux's routes: events, metrics, and what its gem sends."""

from headrace.dialects import flux, flux_metric_queries, flux_metrics, flux_queries, lines
from headrace.dialects.route import Answer, Ask, Asked, Dialect, Ingest, Limit, Route, find_event
from headrace.model.event import Tenant
from headrace.model.measures import Metric
from headrace.ports.store import MetricReader, Reader


def _list(asked: Asked) -> Answer:
    query, tenant = flux_queries.parse_list(asked.query, asked.now_ms), asked.tenant
    return lambda reader: flux_queries.render_list(query, reader.events(tenant, query.filters, query.page))


def _count(asked: Asked) -> Answer:
    query, tenant = flux_queries.parse_count(asked.query, asked.now_ms), asked.tenant
    return lambda reader: flux_queries.render_count(
        query, reader.count(tenant, query.filters, query.interval, query.group_by, query.zone)
    )


def _stats(asked: Asked) -> Answer:
    query, tenant = flux_queries.parse_stats(asked.query, asked.now_ms), asked.tenant
    return lambda reader: flux_queries.render_stats(reader.stats(tenant, query.filters, query.field))


def _event(asked: Asked) -> Answer:
    find = find_event(asked.tenant, asked.path["event_id"])
    return lambda reader: flux_queries.render_get(find(reader))


def _metrics(asked: Asked) -> Answer:
    tenant = asked.tenant
    return lambda reader: flux_metric_queries.render_definitions(reader.metrics(tenant))


def _metric(asked: Asked) -> Answer:
    tenant, name = asked.tenant, asked.path["metric"]
    return lambda reader: flux_metric_queries.render_definition(_find_metric(reader, tenant, name))


def _measured(asked: Asked) -> Answer:
    query = flux_metric_queries.parse_query(asked.path["metric"], asked.query, asked.now_ms)
    tenant = asked.tenant

    def answer(reader: Reader) -> bytes:
        found = _find_metric(reader, tenant, query.name)
        question = flux_metric_queries.question_of(query, found)
        return flux_metric_queries.render_measured(query, found, question, reader.measure(tenant, question))

    return answer


def _find_metric(reader: MetricReader, tenant: Tenant, name: str) -> Metric:
    found = reader.metric(tenant, name)
    if found is None:
        raise flux_metric_queries.not_found(name)
    return found


def _sending(path: str, limit: str, does: Ingest) -> Route:
    return Route("POST", f"/api/v1/{path}", "ingest", limit, does, 201)


_METRICS = flux_metrics.NAME
DIALECT = Dialect(
    flux.NAME,
    flux.render_error,
    (
        _sending("events", "flux_single", Ingest(flux.parse_track, flux.render_track, shows_event=True)),
        _sending("events/batch", "flux_batch", Ingest(flux.parse_batch, flux.render_batch)),
        _sending("events/batch", "lines", Ingest(flux.parse_lines, flux.render_lines, claims_head=lines.claims)),
        _sending(
            "metrics",
            "flux_single",
            Ingest(flux_metrics.parse_metric, flux_metrics.render_metric, source=_METRICS, shows_event=True),
        ),
        _sending(
            "metrics/batch",
            "flux_metrics_batch",
            Ingest(flux_metrics.parse_metrics, flux.render_batch, source=_METRICS),
        ),
        _sending("flux/batch", "flux_gem", Ingest(flux_metrics.parse_gem, flux_metrics.render_gem)),
        Route("GET", "/api/v1/events", "query", "flux_query", Ask(_list)),
        Route("GET", "/api/v1/events/count", "query", "flux_query", Ask(_count)),
        Route("GET", "/api/v1/events/stats", "query", "flux_query", Ask(_stats)),
        Route("GET", "/api/v1/events/{event_id}", "query", "flux_query", Ask(_event)),
        Route("GET", "/api/v1/metrics", "query", "flux_metrics_query", Ask(_metrics)),
        Route("GET", "/api/v1/metrics/{metric}", "query", "flux_metrics_query", Ask(_metric)),
        Route("GET", "/api/v1/metrics/{metric}/query", "query", "flux_metrics_query", Ask(_measured)),
    ),
    limits=(
        Limit("flux_single", "single Flux events"),
        Limit("flux_batch", "Flux batches", 10),
        Limit("lines", "newline-delimited JSON, as log shippers send it"),
        Limit("flux_query", "Flux queries", 60),
        Limit("flux_gem", "the Flux gem's batches"),
        Limit("flux_metrics_batch", "metric batches", 10),
        Limit("flux_metrics_query", "metric queries", 60),
    ),
    prefixes=("/api/v1",),
)
