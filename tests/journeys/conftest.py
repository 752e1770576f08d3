"""A machine over a copy of a migrated control database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.control.database import open_database
from tests.journeys.machine import Machine


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "control.sqlite"
    engine = open_database(path)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture
def machine(tmp_path: Path, template: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, template)
    yield machine
    machine.close()
