"""What an operator wants of a server beside serving: backups, exports and imports, the audit, columns of their own."""

from collections.abc import Callable

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.backups import Backups
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.export_targets import continuous_export_of
from headrace.assembly.key_uses import KEPT_MS, TOGETHER_MS
from headrace.assembly.load import ServerLoad
from headrace.assembly.wings.access import AccessWing
from headrace.assembly.wings.erasures import ErasureWing
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.model.own_columns import Budget
from headrace.model.settings import Settings
from headrace.pipeline.loop import Loop
from headrace.pipeline.queries import QuerySlots
from headrace.upkeep.bookkeeping import BOOKKEEPING_S, Bookkeeping
from headrace.upkeep.continuous import ContinuousExport
from headrace.upkeep.importing import Importer
from headrace.upkeep.own_columns import ColumnKeeper
from headrace.upkeep.tasks import Tasks


class UpkeepWing(msgspec.Struct, frozen=True):
    """bookkeeping: the loop that writes down uses of keys. continuous: None where the settings name no target."""

    backups: Backups
    importer: Importer
    columns: ColumnKeeper
    bookkeeping: Loop
    continuous: ContinuousExport | None
    tasks: Tasks


def upkeep_of(
    settings: Settings,
    adapters: Adapters,
    control: ControlAdapters,
    access: AccessWing,
    pipeline: PipelineWing,
    queries: QuerySlots,
    erasures: ErasureWing,
    /,
    on_step: Callable[[str], None],
) -> UpkeepWing:
    """Raises SettingsError."""
    backups = Backups(
        *(settings, adapters.control, adapters.store, adapters.log),
        stored=adapters.offsets.position,
        done=adapters.done,
        folders=control.backup_folders,
        notices=erasures.notices,
        hold_trims=pipeline.log_needs.hold,
        release_trims=pipeline.log_needs.release,
    )
    load = ServerLoad(adapters.log, pipeline.worker, queries, settings.flush_interval_ms)
    columns = ColumnKeeper(
        adapters.store.own,
        Budget(
            columns=settings.own_columns,
            bytes=settings.own_columns_max_bytes,
            after_s=settings.own_columns_after_s,
            keep_ms=int(settings.own_columns_keep_s * 1000),
        ),
        query_timeout_s=settings.query_timeout_s,
        clock_ms=clock_ms,
        is_pressed=load.is_pressed,
        on_step=on_step,
    )
    bookkeeping = Bookkeeping(
        *(control.tenant_keys, control.audit),
        take_used=access.keyring.take_used,
        take_uses=access.uses.take,
        writing_uses=access.uses.writing,
        keep_uses_ms=KEPT_MS + TOGETHER_MS,
        keep_ms=int(settings.audit_keep_s * 1000),
        clock_ms=clock_ms,
        # Folders of backups are the worker's.
        tell_backups=(lambda: None) if settings.role == "gateway" else erasures.notices.retry,
    )
    return UpkeepWing(
        backups,
        Importer(adapters.store, adapters.erased),
        columns,
        Loop("bookkeeping", bookkeeping.step, idle_s=BOOKKEEPING_S, drain=True),
        continuous_export_of(settings, adapters.control, adapters.store, visible=pipeline.visible),
        Tasks(clock_ms),
    )
