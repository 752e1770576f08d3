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
    "control/delivery_log.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    "control/delivery_queue.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    "control/outbox.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    "control/webhooks.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    "delivery/": Tests(
        ("tests/delivery", "tests/contracts/test_control_deliveries.py"), ("tests/http/test_webhooks.py", "tests/crash/test_deliveries.py")
    ),
    "http/": Tests(("tests/admission", "tests/edge"), ("tests/http", "tests/seeds", "tests/openapi")),
    # The tests of the parts that every request passes, the short ones first: all of tests/http takes five minutes.
    "http/auth.py": Tests(
        ("tests/admission", "tests/edge"),
        ("tests/http/test_bad_keys.py", "tests/http/test_browsers.py", "tests/http/test_cookies.py", "tests/http/test_pixels.py",
         "tests/seeds/test_flux_rate_limits.py", "tests/http/test_families.py"),
    ),
    "http/body.py": Tests(
        ("tests/admission", "tests/edge"),
        ("tests/http/test_bad_input.py", "tests/http/test_wire.py", "tests/http/test_overload.py", "tests/http/test_people.py", "tests/http/test_catalog.py"),
    ),
    "http/direct.py": Tests(("tests/admission", "tests/edge"), ("tests/http/test_direct.py", "tests/http/test_wire.py", "tests/http/test_browsers.py")),
    "http/gate.py": Tests(
        ("tests/admission", "tests/edge"),
        ("tests/http/test_bad_keys.py", "tests/http/test_unknown_names.py", "tests/seeds/test_flux_rate_limits.py", "tests/http/test_overload.py",
         "tests/http/test_shutdown.py", "tests/guarantees/test_bounded.py"),
    ),
    "http/ingest.py": Tests(
        ("tests/admission", "tests/edge"),
        ("tests/http/test_pixels.py", "tests/http/test_cloudevents.py", "tests/http/test_idempotency.py", "tests/http/test_families.py",
         "tests/http/test_vendor_calls.py", "tests/http/test_cookies.py", "tests/http/test_wire.py", "tests/http/test_bad_input.py"),
    ),
    "http/mount.py": Tests(
        ("tests/admission", "tests/edge"), ("tests/http/test_browsers.py", "tests/http/test_cloudevents.py", "tests/http/test_wire.py", "tests/http/test_bad_requests.py")
    ),
    "http/strict.py": Tests(("tests/admission", "tests/edge"), ("tests/http/test_unknown_names.py", "tests/http/test_reading.py")),
    **{
        f"http/{name}.py": Tests(
            ("tests/admission", "tests/edge"),
            ("tests/http/test_last_replies.py", "tests/http/test_pipelines.py", "tests/http/test_bad_requests.py", "tests/http/test_overload.py",
             "tests/http/test_shutdown.py", "tests/http/test_lifecycle.py", "tests/guarantees/test_bounded.py"),
        )
        for name in ("protocol", "lingering", "expect", "unread", "heads", "refusals")
    },
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
    "reactions/journeys/": Tests(("tests/journeys",), ("tests/http/test_journeys.py", "tests/crash/test_journeys.py")),
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
