"""What every dialect test starts from: one tenant, one moment, and the receipts that a log would give."""

from headrace.model.batch import Context
from headrace.model.entries import Receipt
from headrace.model.event import Tenant
from headrace.model.settings import Settings

NOW_MS = 1_707_900_600_000  # 2024-02-14T08:50:00Z, the moment in the Bricqs seed's message ids
TENANT = Tenant("default", "live")
FIRST_POSITION = NOW_MS << 20


def context(idempotency_key: str = "", settings: Settings | None = None) -> Context:
    return Context(TENANT, NOW_MS, settings or Settings(), idempotency_key)


def receipt(index: int, *, duplicate: bool = False) -> Receipt:
    return Receipt(FIRST_POSITION + index, 0, duplicate)
