"""A reactor and timers over a control database of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.machine import Machine


@pytest.fixture
def machine(memory_path: Path, template: Path) -> Iterator[Machine]:
    machine = Machine(memory_path, template)
    yield machine
    machine.close()
