"""What the operator is told of events with problems that were tolerated: every one as a figure, a line of the log a minute."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.http import warned as module
from headrace.http.warned import Warned
from headrace.model.event import Tenant

SHOP, OTHER = Tenant("shop", "live"), Tenant("shop", "test")


class Figures:
    def __init__(self) -> None:
        self.counted: list[tuple[str, int]] = []

    def count_warnings(self, source: str, count: int) -> None:
        self.counted.append((source, count))


def warned(times: list[float]) -> tuple[Warned, Figures]:
    figures: Any = Figures()
    return Warned(figures, iter(times).__next__), figures


def test_a_sender_has_one_line_a_minute_and_every_warning_is_counted() -> None:
    told, figures = warned([5.0, 5.0, 64.9, 65.0, 65.1])
    with capture_logs() as lines:
        for _ in range(5):
            told.tell(SHOP, "flux", ["no such time", "no such tag"])
    assert len(lines) == 2
    assert figures.counted == [("flux", 2)] * 5


def test_another_tenant_or_dialect_has_a_line_of_its_own() -> None:
    told, _ = warned([5.0] * 6)
    with capture_logs() as lines:
        for tenant, source in ((SHOP, "flux"), (OTHER, "flux"), (SHOP, "segment")) * 2:
            told.tell(tenant, source, ["no such time"])
    assert len(lines) == 3


def test_many_senders_take_no_more_memory_than_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_SENDERS", 3)
    told, _ = warned([5.0] * 10)
    with capture_logs() as lines:
        for number in range(10):
            told.tell(Tenant(f"p{number}", "live"), "flux", ["no such time"])
    assert len(lines) == 10
    assert len(told._logged) <= 3
