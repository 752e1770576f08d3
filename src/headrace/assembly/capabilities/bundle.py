"""All capabilities of one server, made from its runtime."""

import msgspec

from headrace.assembly.admission import Admission
from headrace.assembly.capabilities.asking import Ask
from headrace.assembly.capabilities.audit import AuditTrail
from headrace.assembly.capabilities.contacts import ContactDirectory
from headrace.assembly.capabilities.erasures import ErasureAdmin, RetentionAdmin
from headrace.assembly.capabilities.events import EventHistory, EventIntake
from headrace.assembly.capabilities.journeys import JourneyAdmin
from headrace.assembly.capabilities.keys import KeyAdmin
from headrace.assembly.capabilities.live import Live
from headrace.assembly.capabilities.moving import Mover
from headrace.assembly.capabilities.people import PeopleDirectory
from headrace.assembly.capabilities.replays import ReplayAdmin
from headrace.assembly.capabilities.rules import RuleAdmin
from headrace.assembly.capabilities.scoreboard import SettledScoreboard
from headrace.assembly.capabilities.server import BackupAdmin, QuarantineAdmin, ServerStatus
from headrace.assembly.capabilities.tasks import TaskAdmin
from headrace.assembly.capabilities.webhooks import WebhookAdmin
from headrace.assembly.clock import clock_ms
from headrace.assembly.console import ConsoleAdmission
from headrace.assembly.key_uses import KeyUses
from headrace.assembly.runtime import Runtime
from headrace.model.settings import Settings
from headrace.pipeline.first_events import FirstEvents


class Capabilities(msgspec.Struct, frozen=True):
    """All of them, of one server."""

    settings: Settings
    admission: Admission
    intake: EventIntake
    ask: Ask
    history: EventHistory
    scoreboard: SettledScoreboard
    rules: RuleAdmin
    replays: ReplayAdmin
    webhooks: WebhookAdmin
    people: PeopleDirectory
    contacts: ContactDirectory
    journeys: JourneyAdmin
    status: ServerStatus
    quarantine: QuarantineAdmin
    keys: KeyAdmin
    key_uses: KeyUses
    audit: AuditTrail
    mover: Mover
    backups: BackupAdmin
    tasks: TaskAdmin

    console: ConsoleAdmission
    live: Live

    erasures: ErasureAdmin
    retention: RetentionAdmin


def capabilities_of(runtime: Runtime, /) -> Capabilities:
    settings, control = runtime.settings, runtime.control
    return Capabilities(
        settings=settings,
        admission=runtime.access.admission,
        intake=EventIntake(
            runtime.pipeline.intake,
            runtime.pipeline.freshness,
            runtime.reacting.reactions,
            FirstEvents(runtime.log, runtime.queries),
            runtime.pipeline.watch,
            runtime.log.bound,
            None if runtime.pipeline.told is None else lambda _project: True,
        ),
        ask=Ask(runtime.queries),
        history=EventHistory(runtime),
        scoreboard=SettledScoreboard(runtime),
        rules=RuleAdmin(runtime),
        replays=ReplayAdmin(runtime),
        webhooks=WebhookAdmin(
            control.webhooks,
            control.delivery_log,
            allowed=runtime.webhooks.allowed,
            last=runtime.log.last,
            overlap_ms=int(settings.webhook_overlap_s * 1000),
            give_up_after_ms=int(settings.webhook_give_up_s * 1000),
            enqueued=runtime.webhooks.deliverer.enqueued,
        ),
        people=PeopleDirectory(control.people, runtime.people.admin, runtime.people.freshness, runtime.queries),
        contacts=ContactDirectory(control.contacts, runtime.people.freshness, runtime.queries),
        journeys=JourneyAdmin(
            *(runtime.reacting.rules, control.journeys, control.journeys, runtime.journeys.changes),
            settled=runtime.pipeline.freshness.settled,
            clock_ms=clock_ms,
        ),
        status=ServerStatus(runtime),
        quarantine=QuarantineAdmin(runtime),
        keys=KeyAdmin(control.keys, control.tenant_keys, runtime.access.uses),
        key_uses=runtime.access.uses,
        audit=AuditTrail(control.audit),
        mover=Mover(runtime.queries, runtime.store, runtime.visible, runtime.upkeep.importer),
        backups=BackupAdmin(runtime),
        tasks=TaskAdmin(runtime),
        console=runtime.access.console,
        live=Live(
            *(runtime.live.hub, runtime.queries),
            visible=lambda: runtime.pipeline.worker.progress.visible,
            clock_ms=clock_ms,
            most=settings.live_connections,
            most_of_one=settings.live_connections_per_key,
        ),
        erasures=ErasureAdmin(
            *(runtime.erasures.eraser, control.erasures),
            people=control.people,
            scoreboard=control.scoreboard,
            quarantine=runtime.pipeline.quarantine,
            freshness=runtime.people.freshness,
            queries=runtime.queries,
        ),
        retention=RetentionAdmin(control.retentions, runtime.erasures.pruner),
    )
