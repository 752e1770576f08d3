"""Which tests are to notice a change of a file: the close ones in this process first, then those that start servers or take long.

Of the first, only those are run that enter what was changed (`reach.py`), the shortest first; of the second, whole files.
"""

from typing import NamedTuple


class Tests(NamedTuple):
    """Files and folders below the root. Tests of `quick` that need a server are left out there."""

    quick: tuple[str, ...]
    wide: tuple[str, ...]


# By the beginning of the path; the longest that fits.
NEAR: dict[str, Tests] = {
    "": Tests((), ("tests",)),
    "assembly/": Tests(
        ("tests/admission", "tests/control/test_keyring.py"),
        ("tests/seeds/test_flux_rate_limits.py", "tests/http/test_browsers.py", "tests/http/test_cookies.py", "tests/http/test_lifecycle.py"),
    ),
    "control/": Tests(
        (
            "tests/control/test_keys.py", "tests/control/test_keyring.py", "tests/control/test_offsets.py",
            "tests/control/test_control_database.py", "tests/log/test_lazy_sqlite.py", "tests/contracts/test_control.py", "tests/contracts/test_control_erasures.py",
            "tests/contracts/test_control_jobs.py", "tests/contracts/test_control_leases.py",
            "tests/contracts/test_control_migrations.py", "tests/reactions", "tests/jobs",
        ),
        ("tests/http/test_reactions.py", "tests/http/test_passed_over.py", "tests/http/test_replay_jobs.py", "tests/control/test_server_on_postgres.py"),
    ),
    "dialects/": Tests(
        ("tests/dialects",),
        ("tests/seeds", "tests/http/test_families.py", "tests/http/test_reading.py", "tests/http/test_flux_metrics.py"),
    ),
    "http/": Tests(("tests/admission",), ("tests/http", "tests/seeds", "tests/openapi")),
    "log/": Tests(
        ("tests/log", "tests/contracts/test_log.py", "tests/guarantees/test_intake.py"),
        ("tests/crash/test_lost_keys.py", "tests/crash/test_lost_files.py", "tests/crash/test_disk.py"),
    ),
    "model/": Tests(
        (
            "tests/dialects", "tests/queries/test_text.py", "tests/queries/test_zones.py", "tests/control/test_keys.py", "tests/control/test_settings.py",
            "tests/admission", "tests/contracts/test_log.py", "tests/contracts/test_measures.py",
            "tests/queries/test_against_brute_force.py", "tests/contracts/test_store.py",
        ),
        ("tests/http/test_reading.py", "tests/http/test_flux_metrics.py", "tests/http/test_families.py", "tests/http/test_catalog.py", "tests/http/test_browsers.py"),
    ),
    "model/keys.py": Tests(
        ("tests/admission", "tests/control/test_keys.py", "tests/control/test_keyring.py", "tests/http/test_browsers.py"),
        ("tests/http/test_browsers.py", "tests/control/test_command_line.py"),
    ),
    "model/reaction_state.py": Tests(
        ("tests/reactions", "tests/contracts/test_control.py"), ("tests/http/test_reactions.py", "tests/http/test_replay.py")
    ),
    "pipeline/": Tests(
        ("tests/worker", "tests/reactions", "tests/jobs"),
        ("tests/crash/test_worker_steps.py", "tests/crash/test_lost_files.py", "tests/crash/test_reactions.py", "tests/guarantees/test_bounded.py"),
    ),
    "pipeline/intake.py": Tests(
        ("tests/guarantees/test_intake.py",),
        ("tests/guarantees/test_back_pressure.py", "tests/crash/test_worker_steps.py", "tests/http/test_shutdown.py"),
    ),
    "reactions/": Tests(
        ("tests/reactions",),
        ("tests/http/test_reactions.py", "tests/http/test_replay.py", "tests/seeds"),
    ),
    "replay/": Tests(
        ("tests/jobs", "tests/reactions"),
        ("tests/http/test_replay_jobs.py", "tests/http/test_replay.py", "tests/crash/test_replay_jobs.py"),
    ),
    "store/": Tests(
        ("tests/store", "tests/contracts/test_store.py", "tests/contracts/test_pages.py", "tests/contracts/test_measures.py", "tests/queries"),
        ("tests/http/test_reading.py", "tests/http/test_catalog.py"),
    ),
    "store/queries/": Tests(
        ("tests/queries/test_text.py", "tests/contracts/test_pages.py", "tests/contracts/test_measures.py", "tests/contracts/test_store.py",
         "tests/queries/test_against_brute_force.py", "tests/store/test_clickhouse.py"),
        ("tests/http/test_reading.py", "tests/http/test_flux_metrics.py", "tests/http/test_catalog.py"),
    ),
    "upkeep/": Tests(
        ("tests/worker",),
        ("tests/crash/test_check.py", "tests/crash/test_erased.py", "tests/crash/test_lost_files.py", "tests/crash/test_lost_keys.py"),
    ),
}  # fmt: skip


def near(file: str) -> Tests:
    """The tests for a file below src/headrace."""
    return NEAR[max((each for each in NEAR if file.startswith(each)), key=len)]
