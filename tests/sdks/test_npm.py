"""The packages of npm are asked for once a run."""

from pathlib import Path

import pytest

from tests.sdks import npm

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lock", ["console/package-lock.json", "tests/sdks/node/package-lock.json"])
def test_a_lock_names_no_host(lock: str) -> None:
    """npm writes the packages' pages for donations, too: take `funding` out after it."""
    assert "://" not in (ROOT / lock).read_text()


def test_a_registry_out_of_reach_is_tried_once_a_run_by_all_workers_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_text("{}")
    fake = tmp_path / "npm"
    fake.write_text("#!/bin/sh\necho tried >> tries; echo no registry >&2; exit 1\n")
    fake.chmod(0o700)
    monkeypatch.setattr(npm, "FOLDER", tmp_path)
    monkeypatch.setattr(npm, "_NODE", str(fake))
    for run, tries in (("first", 1), ("second", 2)):
        monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", run)
        for _worker in range(3):
            assert npm._missing.__wrapped__() == "npm ci failed: no registry"
        assert (tmp_path / "tries").read_text().split() == ["tried"] * tries
