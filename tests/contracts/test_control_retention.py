"""How long projects keep their events, on SQLite and on PostgreSQL 18."""

from sqlalchemy import Engine

from headrace.control.retention import ControlRetentions
from headrace.model.event import Tenant
from headrace.model.retention import Retention

ONE, OTHER = Tenant("p", "live"), Tenant("p", "test")


def test_a_setting_is_of_one_project_and_mode_and_stays_until_it_is_changed(engine: Engine, other: Engine) -> None:
    kept = ControlRetentions(engine)
    assert (kept.get(ONE), kept.all()) == (Retention(ONE, None), [])
    assert kept.put(ONE, 90, 1) == Retention(ONE, 90, 1)
    assert kept.put(ONE, 90, 2) == Retention(ONE, 90, 1), "the same again changes nothing"
    kept.applied(ONE, 7, 5)
    kept.applied(ONE, 2, 6)
    assert ControlRetentions(other).get(ONE) == Retention(ONE, 90, 1, 6, 9)
    assert kept.put(ONE, 30, 8) == Retention(ONE, 30, 8, 6, 9)
    kept.put(OTHER, 60, 9)
    assert kept.all() == [Retention(ONE, 30, 8, 6, 9), Retention(OTHER, 60, 9)]
    assert kept.put(ONE, None, 10) == Retention(ONE, None)
    assert kept.all() == [Retention(OTHER, 60, 9)]
