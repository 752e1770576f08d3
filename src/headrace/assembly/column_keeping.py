"""Makes what gives tags and properties columns of their own."""

from collections.abc import Callable

from headrace.assembly.clock import clock_ms
from headrace.model.own_columns import Budget
from headrace.model.settings import Settings
from headrace.ports.own_columns import OwnColumnStore
from headrace.upkeep.own_columns import ColumnKeeper


def column_keeper_of(settings: Settings, store: OwnColumnStore, on_step: Callable[[str], None], /) -> ColumnKeeper:
    return ColumnKeeper(
        store,
        Budget(
            columns=settings.own_columns,
            bytes=settings.own_columns_max_bytes,
            after_s=settings.own_columns_after_s,
            keep_ms=int(settings.own_columns_keep_s * 1000),
        ),
        query_timeout_s=settings.query_timeout_s,
        clock_ms=clock_ms,
        on_step=on_step,
    )
