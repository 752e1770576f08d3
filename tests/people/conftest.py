"""A migrated control database to copy."""

from pathlib import Path

import pytest

from tests.postgres import migrated_file

__all__ = ["migrated_file"]


@pytest.fixture
def template(migrated_file: Path) -> Path:
    return migrated_file
