"""A control database of its own for every test, and a clock that only the test moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from headrace.control.api_keys import Keys
from headrace.control.database import open_database


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "control.sqlite"


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


@pytest.fixture
def keys(engine: Engine) -> Keys:
    return Keys(engine)


@pytest.fixture
def clock() -> Clock:
    return Clock()
