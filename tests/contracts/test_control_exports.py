"""How far a continuous export has come, on SQLite and on PostgreSQL 18: by target and tenant, and durable."""

from collections.abc import Callable

from sqlalchemy import Engine

from headrace.control.api_keys import Keys
from headrace.control.exports import ControlExportMarks
from headrace.model.event import Tenant
from headrace.model.exports import Mark

SHOP = Tenant("shop", "live")


def test_every_project_is_exported_in_both_modes(engine: Engine) -> None:
    Keys(engine).create("shop", "live", "admin", None, 1)
    assert ControlExportMarks(engine, "t").tenants() == [
        Tenant(project, mode) for project in ("default", "shop") for mode in ("live", "test")
    ]


def test_what_is_decided_is_kept_until_it_is_done(engine: Engine, open_control: Callable[[], Engine]) -> None:
    marks = ControlExportMarks(engine, "t")
    assert marks.mark(SHOP) == Mark(0, None)
    marks.intend(SHOP, 2**62)
    assert ControlExportMarks(open_control(), "t").mark(SHOP) == Mark(0, 2**62)
    marks.done(SHOP, 2**62)
    marks.intend(SHOP, 2**62 + 5)
    assert marks.mark(SHOP) == Mark(2**62, 2**62 + 5)


def test_targets_and_tenants_have_marks_of_their_own(engine: Engine) -> None:
    ControlExportMarks(engine, "t").done(SHOP, 7)
    assert ControlExportMarks(engine, "u").mark(SHOP) == Mark()
    assert ControlExportMarks(engine, "t").mark(Tenant("shop", "test")) == Mark()
