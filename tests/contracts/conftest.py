from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from headrace.control.database import open_database
from tests.clickhouse_face import face, over_http
from tests.engine import clickhouse
from tests.postgres import control_url, empty_url, postgres, postgres_url

__all__ = ["clickhouse", "control_url", "empty_url", "face", "over_http", "postgres", "postgres_url"]


@pytest.fixture
def open_control(control_url: str) -> Iterator[Callable[[], Engine]]:
    """Opens the test's control database, each time as another process would."""
    opened: list[Engine] = []

    def open_it() -> Engine:
        opened.append(open_database(control_url))
        return opened[-1]

    yield open_it
    for engine in opened:
        engine.dispose()


@pytest.fixture
def engine(open_control: Callable[[], Engine]) -> Engine:
    return open_control()


@pytest.fixture
def other(open_control: Callable[[], Engine]) -> Engine:
    """The same database, opened by another process."""
    return open_control()
