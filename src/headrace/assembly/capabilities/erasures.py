"""What those who talk to a server may do about erasures and retention. Errors come out as those of `model.errors`."""

import msgspec

from headrace.assembly.capabilities.asking import ask_control
from headrace.assembly.clock import clock_ms
from headrace.assembly.people_freshness import PeopleFreshness
from headrace.control.erasing import ControlErasures
from headrace.control.people import ControlPeople
from headrace.control.retention import ControlRetentions
from headrace.control.scoreboard import Scoreboard
from headrace.model.erasure import Erasure, OpenErasure
from headrace.model.errors import InvalidRequest, NotFound, Unavailable
from headrace.model.event import Tenant
from headrace.model.retention import AskedToPrune, Pruned, Retention
from headrace.pipeline.queries import QuerySlots
from headrace.ports.store import StoreFailed
from headrace.upkeep.erasing import Eraser, is_about
from headrace.upkeep.prune import Pruner
from headrace.upkeep.quarantine import QuarantineDesk

_MOST_LOOKED_AT = 10_000  # entries that were put aside


class RetentionAdmin:
    """How long a project keeps its events, and removing older ones now. Raises Unavailable."""

    def __init__(self, retentions: ControlRetentions, pruner: Pruner) -> None:
        self._retentions = retentions
        self._pruner = pruner

    async def get(self, tenant: Tenant, /) -> Retention:
        return await ask_control(lambda: self._retentions.get(tenant))

    async def put(self, tenant: Tenant, keep_ms: int | None, /) -> Retention:
        """None keeps events for ever. It is applied soon, and daily from then on."""
        found = await ask_control(lambda: self._retentions.put(tenant, keep_ms, clock_ms()))
        self._pruner.loop.wake()
        return found

    def parse_prune(self, body: bytes, /) -> AskedToPrune:
        """What `headrace prune` asks for. Raises InvalidRequest."""
        try:
            return msgspec.json.decode(body, type=AskedToPrune)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{error}.") from None

    async def prune(self, asked: AskedToPrune, /) -> Pruned:
        """Raises Unavailable."""
        try:
            return await ask_control(lambda: prune(self._pruner, asked))
        except StoreFailed as error:
            raise Unavailable(str(error)) from error


def prune(pruner: Pruner, asked: AskedToPrune, /) -> Pruned:
    """Raises ControlFailed, StoreFailed, Unavailable."""
    before_ms = clock_ms() - asked.older_than_ms
    return pruner.prune(Tenant(asked.project, asked.mode), before_ms, dry_run=asked.dry_run)


class ErasureAdmin:
    def __init__(
        self,
        eraser: Eraser,
        erasures: ControlErasures,
        *,
        people: ControlPeople,
        scoreboard: Scoreboard,
        quarantine: QuarantineDesk,
        freshness: PeopleFreshness,
        queries: QuerySlots,
    ) -> None:
        self._eraser = eraser
        self._erasures = erasures
        self._people = people
        self._scoreboard = scoreboard
        self._quarantine = quarantine
        self._freshness = freshness
        self._queries = queries

    async def erase(self, tenant: Tenant, user_id: str, /) -> Erasure:
        """Erase a person, with everything acknowledged before now. Raises NotFound for an id of nobody, Unavailable."""
        await self._freshness.known(tenant)
        if not await ask_control(lambda: self._is_kept(tenant, user_id)):
            spaces = (tenant, tenant.metrics)
            if not await self._queries.ask(lambda reader: any(reader.seen_by_id(each, [user_id]) for each in spaces)):
                raise NotFound(f"There is no user {user_id[:200]!r}.")
        return await ask_control(lambda: self._eraser.request(tenant, user_id))

    async def get(self, tenant: Tenant, erasure_id: str, /) -> Erasure:
        """Raises NotFound, Unavailable."""
        return await ask_control(lambda: self._erasures.get(tenant, erasure_id))

    async def listed(self, tenant: Tenant, before: str, limit: int, /) -> list[Erasure]:
        """So many receipts, newest first, older than the one with the id `before` unless that is "". Raises Unavailable."""
        return await ask_control(lambda: self._erasures.listed(tenant, before, limit))

    def _is_kept(self, tenant: Tenant, user_id: str) -> bool:
        """Whether anything is kept of an id outside the store."""
        if self._people.ids_of(tenant, user_id) or self._scoreboard.participant(tenant, user_id, ()) is not None:
            return True
        if not self._quarantine.count:
            return False
        who = OpenErasure("", tenant, "requested", [user_id], None, [])
        return any(is_about(each, who) for each in self._quarantine.listed(-1, _MOST_LOOKED_AT))
