"""What control remembers of erased events, and the erasures of people."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from headrace.model.entries import ErasedEvent
from headrace.model.erasure import Erasure, Notice, OpenErasure
from headrace.model.event import Tenant


class ErasedEvents(Protocol):
    """The list of events that were erased on purpose. No start may bring them back, and no check may report them as lost.

    List an event before it is removed from the store, so that a crash in between cannot bring it back. Any thread may call
    it. Raises ControlFailed.
    """

    def add(self, events: Sequence[ErasedEvent], /) -> None:
        """Durably list events. An event that is listed already stays as it is."""
        ...

    def count(self, after: int, upto: int, /) -> int:
        """How many listed events have `after` < position <= `upto`."""
        ...

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """The listed events with `after` < position <= `upto`, in order, some thousands at a time."""
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of a listed event, or `after` if that is greater."""
        ...


class ErasedKeys(Protocol):
    """The keys on the list of erased events. Any thread may call it. Raises ControlFailed."""

    def with_keys(self, keys: Collection[bytes], /) -> set[bytes]:
        """Those of some dedup keys that listed events had. Passes over the whole list, so ask for many at once."""
        ...


class Erasures(Protocol):
    """Erasures of people, for those who ask for them. Always of one project and mode. Everything raises ControlFailed."""

    def request(self, tenant: Tenant, user_id: str, now_ms: int, /) -> tuple[Erasure, bool]:
        """Durably ask for the erasure of whoever has an id, and whether that is new: it is not while one for it has no place yet.

        Raises Unavailable while MAX_UNFINISHED are not done.
        """
        ...

    def get(self, tenant: Tenant, erasure_id: str, /) -> Erasure:
        """Raises NotFound."""
        ...

    def listed(self, tenant: Tenant, before: str, limit: int, /) -> list[Erasure]:
        """So many receipts, newest first, older than the one with the id `before` unless that is ""."""
        ...


class OpenErasures(Protocol):
    """Erasures that are not done, for those who carry them out. Every method may be repeated. Everything raises ControlFailed."""

    def open(self) -> list[OpenErasure]:
        """All of them, in the order in which they were asked for."""
        ...

    def placed(self, erasure_id: str, position: int, /) -> OpenErasure | None:
        """Durably note where an erasure's command stands in the log, unless that is known; the erasure, None once it is done."""
        ...

    def know(self, erasure_id: str, ids: Sequence[str], /) -> None:
        """Durably note every id of the person; at the end, none. Their marks stay."""
        ...

    def list_events(
        self, erasure_id: str, events: Sequence[ErasedEvent], /, *, place: str, in_log_after: int | None = None
    ) -> None:
        """As `ErasedEvents.add`, and count the new ones in the receipt: under `place`, and those past a position as the log's."""
        ...

    def finish(self, erasure_ids: Sequence[str], now_ms: int, /) -> None:
        """Durably note that detached ones are done, and let their participants' numbers be given to others."""
        ...


class MarkedErasures(Protocol):
    """What is left of erasures, for backups that were made before them."""

    def notices(self, after_ms: int, /) -> list[Notice]:
        """Those asked for after a moment whose person is known, in that order. Raises ControlFailed."""
        ...


class AdoptedErasures(Protocol):
    """Erasures that another server has carried out since this one's data was copied. Everything raises ControlFailed."""

    def known_among(self, erasure_ids: Collection[str], /) -> set[str]:
        """Those that this one knows, too."""
        ...

    def marked(self, tenant: Tenant, marks: Collection[str], /) -> set[str]:
        """The ids of people and participants that some marks stand for."""
        ...

    def adopt(self, notice: Notice, ids: Sequence[str], now_ms: int, /) -> None:
        """Durably note an erasure under its id, and ask for one of each id that it stands for here."""
        ...


class BackupFolders(Protocol):
    """Folders with backups of this server's data. Everything raises ControlFailed."""

    def add(self, path: str, now_ms: int, /) -> list[str]:
        """Durably note a folder. Their number is limited: those used longest ago are forgotten, and returned."""
        ...

    def remove(self, path: str, /) -> None: ...

    def listed(self) -> list[str]: ...


class Forgetting(Protocol):
    """Removes a person from control. Every method may be repeated after a crash. Everything raises ControlFailed."""

    def detach(self, erasure: OpenErasure, /) -> bool:
        """In one transaction, remove the person with ids, traits, aliases, memberships and runs, and hide the participants.

        Afterwards no answer shows them, and an event of the same id is about somebody new. Whoever has loaded the tenant's
        state has to load it again. False, and nothing is done, if the person has other ids than the erasure knows: know them
        first.
        """
        ...

    def forget_events(self, erasure: OpenErasure, event_ids: Sequence[str], /) -> None:
        """Remove what is kept of some events: markers, effects, and notes that a rule did not look at them."""
        ...

    def forget_participants(self, erasure: OpenErasure, /) -> None:
        """Remove what is kept under the detached participants' numbers."""
        ...

    def forget_deliveries(self, erasure: OpenErasure, /) -> None:
        """Remove the tenant's deliveries that tell of events on the list of erased ones."""
        ...

    def overwrite(self) -> None:
        """Leave nothing of what was removed in the database's free pages, as far as that is this program's to do."""
        ...
