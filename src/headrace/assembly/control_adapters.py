"""Makes the adapters over the control database. A wing that keeps something there adds its adapter here."""

from collections.abc import Callable, Collection

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.control.audit import ControlAudit
from headrace.control.backup_folders import ControlBackupFolders
from headrace.control.contacts import ControlContacts
from headrace.control.delivery_log import ControlDeliveryLog
from headrace.control.delivery_queue import ControlDeliveryQueue
from headrace.control.erasing import ControlErasures
from headrace.control.erasure_notices import ControlErasureNotices
from headrace.control.event_feed import ControlEventFeed
from headrace.control.forgetting import ControlForgetting
from headrace.control.grants import ControlGrants
from headrace.control.journey_runs import ControlJourneys, ControlJourneyWork
from headrace.control.ledger import ControlLedger
from headrace.control.merged_ids import ControlMergedIds
from headrace.control.outbox import ControlOutbox
from headrace.control.overruns import ControlOverruns
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.replay_jobs import ReplayJobs
from headrace.control.retention import ControlRetentions
from headrace.control.rulebook import Rulebook
from headrace.control.scoreboard import Scoreboard
from headrace.control.sessions import ControlSessions
from headrace.control.settlement import Settlement
from headrace.control.tenant_keys import ControlTenantKeys
from headrace.control.traced import ControlTraces
from headrace.control.webhooks import ControlWebhooks
from headrace.delivery.replies import Replies
from headrace.model.settings import Settings


class ControlAdapters:
    """What a server keeps in its control database."""

    def __init__(
        self, adapters: Adapters, settings: Settings, *, on_enqueued: Callable[[Collection[int]], None]
    ) -> None:
        """on_enqueued: see ControlOutbox."""
        control, leases = adapters.control, adapters.leases
        give_up_after_ms = int(settings.webhook_give_up_s * 1000)
        self.keys = Keys(control)
        self.tenant_keys = ControlTenantKeys(control)
        self.audit = ControlAudit(control)

        # Webhooks. The outbox is what everything else here writes deliveries with.
        self.replies = Replies()
        self.outbox = ControlOutbox(
            self.replies, clock_ms=clock_ms, give_up_after_ms=give_up_after_ms, on_enqueued=on_enqueued
        )
        self.webhooks = ControlWebhooks(control, most=settings.max_webhooks, most_waiting=settings.webhook_max_waiting)
        self.delivery_log = ControlDeliveryLog(control)
        self.deliveries = ControlDeliveryQueue(
            control,
            self.replies,
            most_waiting=settings.webhook_max_waiting,
            keep_ms=int(settings.webhook_keep_s * 1000),
            keep=settings.webhook_keep,
        )
        self.event_feed = ControlEventFeed(control, give_up_after_ms=give_up_after_ms)

        # Reactions.
        self.rulebook = Rulebook(control)
        self.overruns = ControlOverruns(control)
        self.reaction_states = ControlReactionStates(control, adapters.lease, self.outbox)
        self.scoreboard = Scoreboard(control)
        self.ledger = ControlLedger(control)
        self.grants = ControlGrants(control, self.outbox)
        self.traces = ControlTraces(control)

        # Replays.
        self.replay_jobs = ReplayJobs(control, leases)
        self.settlement = Settlement(control, self.outbox)

        # Journeys.
        self.journeys = ControlJourneys(control)
        self.journey_work = ControlJourneyWork(control, leases)

        # People.
        self.people = ControlPeople(control)
        self.merged_ids = ControlMergedIds(control)
        self.people_states = ControlPeopleStates(control)
        self.contacts = ControlContacts(control)

        # The console.
        self.sessions = ControlSessions(control, clock_ms)

        # Erasing people, and pruning.
        self.erasures = ControlErasures(control)
        self.forgetting = ControlForgetting(control)
        self.erasure_notices = ControlErasureNotices(control)
        self.backup_folders = ControlBackupFolders(control)
        self.retentions = ControlRetentions(control)
