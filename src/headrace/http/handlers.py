"""Makes every handler that the dialects' tables name. A new wing adds one line here."""

from headrace.assembly.capabilities.bundle import Capabilities
from headrace.http.analysis import Analysis
from headrace.http.audit import AuditRoutes
from headrace.http.contacts import Contacts
from headrace.http.erasures import Erasures, Retentions
from headrace.http.gate import Gate
from headrace.http.grants import Grants
from headrace.http.handler import Handlers
from headrace.http.journeys import Journeys
from headrace.http.keys import KeyRoutes
from headrace.http.ledgers import Ledgers
from headrace.http.live import LiveEvents
from headrace.http.metrics import Metrics
from headrace.http.moving import Exporting, Importing
from headrace.http.names import Catalogue, EventNames
from headrace.http.people import People
from headrace.http.replays import Replays
from headrace.http.rules import Rules
from headrace.http.scoreboards import Scoreboards
from headrace.http.status import Statuses
from headrace.http.tasks import TaskRoutes
from headrace.http.traces import Traces
from headrace.http.webhook_admin import Webhooks


def handlers_of(gate: Gate, can: Capabilities, metrics: Metrics, /) -> Handlers:
    """By name. Raises ValueError for a name given twice."""
    max_bytes = can.settings.max_request_bytes
    scoreboards = Scoreboards(can.scoreboard, can.people)
    wings = (
        Statuses(can.admission, can.status),
        LiveEvents(gate, can.live, can.people),
        Catalogue(gate, can.rules),
        EventNames(gate, can.rules),
        Rules(can.rules, max_bytes),
        Grants(can.scoreboard),
        Ledgers(can.scoreboard),
        scoreboards,
        Contacts(can.contacts, can.intake, can.settings),
        People(can.people, scoreboards),
        Erasures(can.erasures),
        Retentions(can.retention),
        Traces(gate, can.history),
        Analysis(gate),
        Replays(can.replays, max_bytes),
        Webhooks(can.webhooks),
        Journeys(can.journeys),
        KeyRoutes(can.keys),
        AuditRoutes(can.audit),
        TaskRoutes(can.admission, can.tasks),
        Exporting(can.mover),
        Importing(can.mover, can.intake, can.settings, metrics.count_import),
    )
    found = [each for wing in wings for each in wing.handlers().items()]
    by_name = dict(found)
    if len(by_name) < len(found):
        raise ValueError("Two handlers have the same name.")
    return by_name
