"""Which tests are to notice a change of a file: the close ones in this process first, then those that start servers or take long.

Of the first, only those are run that enter what was changed (`reach.py`), the shortest first; of the second, whole files.
"""

from typing import NamedTuple


class Tests(NamedTuple):
    """Files and folders below the root. Tests of `quick` that need a server are left out there."""

    quick: tuple[str, ...]
    wide: tuple[str, ...]


# The models take a minute each, and so come after the others.
_JOURNEYS = Tests(
    ("tests/journeys/test_machine.py", "tests/journeys/test_stage.py", "tests/journeys/test_document.py", "tests/journeys/test_simulation.py", "tests/journeys/test_held.py",
         "tests/journeys/test_timers.py", "tests/journeys/test_persons.py", "tests/journeys/test_rehearsal.py"),
    ("tests/journeys/test_model.py", "tests/http/test_journeys.py", "tests/crash/test_journeys.py"),
)  # fmt: skip
_OLD_PARTS = Tests(("tests/store/test_old_parts.py", "tests/store/test_on_cluster.py"), ())
_PEOPLE = Tests(
    ("tests/people/test_applying.py", "tests/people/test_stage.py", "tests/people/test_participants.py"),
    (
        "tests/people/test_model.py",
        "tests/people/test_participants_model.py",
        "tests/http/test_people.py",
        "tests/crash/test_merges.py",
    ),
)
# By the beginning of the path; the longest that fits.
NEAR: dict[str, Tests] = {
    "": Tests((), ("tests",)),
    "assembly/": Tests(
        ("tests/admission", "tests/control/test_keyring.py"),
        ("tests/seeds/test_flux_rate_limits.py", "tests/http/test_browsers.py", "tests/http/test_cookies.py", "tests/http/test_lifecycle.py"),
    ),
    "assembly/key_uses.py": Tests(("tests/edge/test_key_uses.py",), ("tests/http/test_keys.py",)),
    "assembly/roles.py": Tests(("tests/scale/test_roles.py",), ("tests/scale/test_cluster.py",)),
    "assembly/console.py": Tests(("tests/console/test_admission.py",), ("tests/console/test_sessions.py",)),
    "control/": Tests(
        (
            "tests/control/test_keys.py", "tests/control/test_keyring.py", "tests/control/test_offsets.py",
            "tests/control/test_control_database.py", "tests/control/test_bulk.py", "tests/log/test_lazy_sqlite.py",
            *(f"tests/contracts/test_control{each}.py" for each in (
                "", "_audit", "_contacts", "_copying", "_erasing", "_erasures", "_exports", "_grants", "_jobs", "_journeys", "_keys", "_leases", "_ledger",
                "_migrations", "_participants", "_people", "_quarantine", "_retention", "_sessions",
            )),
            "tests/reactions", "tests/jobs", "tests/people/test_participants.py", "tests/journeys/test_persons.py", "tests/upkeep/test_bookkeeping.py",
        ),
        ("tests/http/test_reactions.py", "tests/http/test_passed_over.py", "tests/http/test_replay_jobs.py", "tests/control/test_server_on_postgres.py"),
    ),
    "dialects/": Tests(
        ("tests/dialects",),
        ("tests/seeds", "tests/http/test_families.py", "tests/http/test_reading.py", "tests/http/test_flux_metrics.py"),
    ),
    "control/delivery_log.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    "control/delivery_queue.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    **{
        f"control/{name}.py": Tests(
            ("tests/contracts/test_control_erasing.py", "tests/contracts/test_control_erasures.py", "tests/upkeep/test_erasing.py"),
            ("tests/crash/test_erasing_people.py",),
        )
        for name in ("erasing", "erasures", "forgetting", "forgotten_deliveries")
    },
    "control/outbox.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    "control/webhooks.py": Tests(("tests/contracts/test_control_deliveries.py", "tests/delivery"), ("tests/http/test_webhooks.py",)),
    "control/people_search.py": Tests(("tests/contracts/test_control_people.py",), ("tests/http/test_people.py",)),
    "delivery/": Tests(
        ("tests/delivery",),
        ("tests/contracts/test_control_deliveries.py", "tests/http/test_webhooks.py", "tests/crash/test_deliveries.py"),
    ),
    "http/": Tests(("tests/admission", "tests/edge"), ("tests/http", "tests/seeds", "tests/openapi")),
    # The tests of the parts that every request passes, the short ones first: all of tests/http takes five minutes.
    **{
        f"http/{name}.py": Tests(("tests/admission", "tests/edge"), tests)
        for name, tests in {
            "analysis": ("tests/http/test_query.py",),
            "audit": ("tests/http/test_audit.py",),
            "audited": ("tests/http/test_audit.py",),
            "console_fence": ("tests/console/test_fence.py", "tests/console/test_sessions.py"),
            "console_sessions": ("tests/console/test_sessions.py", "tests/console/test_fence.py"),
            "contacts": ("tests/http/test_hogsend_contacts.py", "tests/http/test_hogsend_data_plane.py"),
            "erasures": ("tests/http/test_erasures.py",),
            "etags": ("tests/http/test_etags.py",),
            "grants": ("tests/http/test_grants.py",),
            "journeys": ("tests/http/test_journeys.py",),
            "keys": ("tests/http/test_keys.py", "tests/http/test_tenants.py"),
            "ledgers": ("tests/http/test_ledgers.py",),
            "live": ("tests/console/test_live.py",),
            "metrics": ("tests/http/test_metrics.py",),
            "moving": ("tests/moving/test_export.py", "tests/moving/test_import.py"),
            "noted": ("tests/console/test_live.py", "tests/http/test_secrets.py"),
            "people": ("tests/http/test_people.py",),
            "problems": ("tests/http/test_bad_requests.py", "tests/http/test_bad_input.py"),
            "replays": ("tests/http/test_replay.py", "tests/http/test_replay_jobs.py"),
            "rules": ("tests/http/test_reactions.py", "tests/http/test_passed_over.py"),
            "scoreboards": ("tests/http/test_reactions.py", "tests/http/test_cursors.py", "tests/seeds"),
            "status": ("tests/http/test_status.py",),
            "traces": ("tests/http/test_trace.py",),
            "webhook_admin": ("tests/http/test_webhooks.py",),
            "whole_replies": ("tests/http/test_whole_replies.py", "tests/http/test_wire.py"),
        }.items()
    },
    "http/addresses.py": Tests(("tests/http/test_addresses.py",), ("tests/http/test_addresses.py", "tests/http/test_audit.py")),
    "http/console_files.py": Tests(("tests/console/test_build.py",), ("tests/console/test_build.py",)),
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
    "http/forward.py": Tests(("tests/scale/test_forward.py",), ("tests/scale/test_cluster.py",)),
    "http/standby.py": Tests(("tests/scale/test_standby.py",), ("tests/scale/test_cluster.py",)),
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
        for name in ("protocol", "lingering", "expect", "unread", "request_heads", "refusals")
    },
    "log/": Tests(
        ("tests/log", "tests/contracts/test_log.py", "tests/guarantees/test_intake.py"),
        ("tests/crash/test_lost_keys.py", "tests/crash/test_lost_files.py", "tests/crash/test_disk.py"),
    ),
    "log/valkey/": Tests(("tests/log/test_valkey.py", "tests/contracts/test_log.py"), ("tests/log/test_server_on_valkey.py",)),
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
    "model/audit.py": Tests(("tests/contracts/test_control_audit.py",), ("tests/http/test_audit.py",)),
    "model/console.py": Tests(("tests/console/test_admission.py",), ("tests/console/test_sessions.py",)),
    "model/own_columns.py": Tests(("tests/upkeep/test_own_columns.py", "tests/store/test_own_columns.py"), ("tests/crash/test_own_columns.py",)),
    "model/partition_shares.py": Tests(("tests/scale/test_partition_shares.py",), ("tests/scale/test_partitions.py",)),
    "model/people_state.py": _PEOPLE,
    "model/retention.py": Tests(("tests/upkeep/test_prune.py", "tests/contracts/test_control_retention.py"), ("tests/crash/test_pruning.py",)),
    "people/": _PEOPLE,
    "pipeline/": Tests(
        ("tests/worker", "tests/reactions", "tests/jobs"),
        ("tests/crash/test_worker_steps.py", "tests/crash/test_lost_files.py", "tests/crash/test_reactions.py", "tests/guarantees/test_bounded.py"),
    ),
    "pipeline/holds.py": Tests(
        ("tests/upkeep/test_holds.py", "tests/upkeep/test_erasing_steps.py", "tests/journeys/test_held.py", "tests/upkeep/test_erasing.py"),
        ("tests/crash/test_erasing_people.py",),
    ),
    "pipeline/live.py": Tests(("tests/console/test_hub.py",), ("tests/console/test_live.py",)),
    "pipeline/people.py": _PEOPLE,
    **{
        f"pipeline/{name}.py": Tests(("tests/reactions", "tests/journeys/test_timers.py", "tests/journeys/test_rehearsal.py", "tests/jobs"), ("tests/http/test_journeys.py",))
        for name in ("applying_rules", "rulesets")
    },
    "pipeline/shared_progress.py": Tests(("tests/scale/test_shared_progress.py",), ("tests/scale/test_cluster.py",)),
    **{
        f"pipeline/{name}.py": _JOURNEYS
        for name in ("timers", "journeys")
    },
    "pipeline/intake.py": Tests(
        ("tests/guarantees/test_intake.py",),
        ("tests/guarantees/test_back_pressure.py", "tests/crash/test_worker_steps.py", "tests/http/test_shutdown.py"),
    ),
    "reactions/": Tests(
        ("tests/reactions", *_JOURNEYS.quick, "tests/people/test_participants.py"),
        ("tests/http/test_reactions.py", "tests/http/test_replay.py", "tests/seeds"),
    ),
    "reactions/journeys/": _JOURNEYS,
    "replay/": Tests(
        ("tests/jobs", "tests/reactions", "tests/journeys/test_rehearsal.py", "tests/people/test_rebuilding.py"),
        ("tests/http/test_replay_jobs.py", "tests/http/test_replay.py", "tests/crash/test_replay_jobs.py"),
    ),
    "store/": Tests(
        ("tests/store", "tests/contracts/test_store.py", "tests/contracts/test_pages.py", "tests/contracts/test_measures.py", "tests/queries"),
        ("tests/http/test_reading.py", "tests/http/test_catalog.py"),
    ),
    "store/cluster.py": Tests(("tests/store/test_on_cluster.py",), ()),
    "store/fence.py": Tests(("tests/store/test_over_http.py", "tests/store/test_on_cluster.py"), ("tests/store/test_server_over_http.py",)),
    "store/old_parts.py": _OLD_PARTS,
    "store/own_columns.py": Tests(
        ("tests/store/test_own_columns.py", "tests/upkeep/test_own_columns.py", "tests/queries/test_counts_of_columns.py"),
        ("tests/queries/test_against_brute_force.py",),
    ),
    "store/remembering.py": Tests(("tests/store/test_remembering.py", "tests/store/test_answers.py"), ("tests/http/test_etags.py",)),
    "store/writer.py": Tests(
        ("tests/store/test_over_http.py", "tests/store/test_clickhouse.py", "tests/contracts/test_store.py", "tests/contracts/test_store_erasing.py"),
        ("tests/http/test_etags.py", "tests/crash/test_disk.py"),
    ),
    "store/queries/": Tests(
        ("tests/queries/test_text.py", "tests/contracts/test_pages.py", "tests/contracts/test_measures.py", "tests/contracts/test_store.py",
         "tests/queries", "tests/store/test_clickhouse.py", "tests/contracts/test_store_erasing.py"),
        ("tests/http/test_reading.py", "tests/http/test_flux_metrics.py", "tests/http/test_catalog.py"),
    ),
    "store/queries/old_parts.py": _OLD_PARTS,
    "upkeep/": Tests(
        ("tests/upkeep", "tests/worker"),
        ("tests/crash/test_check.py", "tests/crash/test_erased.py", "tests/crash/test_lost_files.py", "tests/crash/test_lost_keys.py"),
    ),
    **{
        f"upkeep/{name}.py": Tests(("tests/moving/test_snapshots.py",), ("tests/moving/test_backup.py",))
        for name in ("backup", "restore")
    },
    **{
        f"upkeep/{name}.py": Tests(("tests/moving/test_cutter.py", "tests/moving/test_columns.py", "tests/moving/test_continuous.py"), ("tests/moving/test_export.py",))
        for name in ("continuous", "exporting", "columns")
    },
    "upkeep/check.py": Tests(("tests/crash/test_check.py", "tests/upkeep/test_erasing.py"), ("tests/crash/test_erased.py",)),
    "upkeep/erase.py": Tests(("tests/upkeep/test_erase.py",), ("tests/crash/test_erased.py",)),
    "upkeep/erasing.py": Tests(
        ("tests/upkeep/test_erasing_steps.py", "tests/upkeep/test_erasing.py", "tests/journeys/test_held.py"), ("tests/crash/test_erasing_people.py",)
    ),
    "upkeep/importing.py": Tests(("tests/moving/test_importer.py",), ("tests/moving/test_import.py",)),
    "upkeep/locks.py": Tests(("tests/moving/test_snapshots.py",), ("tests/moving/test_backup.py",)),
    "upkeep/notices.py": Tests(("tests/moving/test_notices.py",), ("tests/moving/test_erased_since_backup.py",)),
    "upkeep/prune.py": Tests(("tests/upkeep/test_prune.py",), ("tests/crash/test_pruning.py",)),
    "upkeep/quarantine.py": Tests(("tests/quarantine/test_desk.py",), ("tests/quarantine/test_over_a_server.py",)),
    "upkeep/placing.py": Tests(("tests/moving/test_snapshots.py",), ("tests/moving/test_backup.py",)),
    "upkeep/row_ranges.py": Tests(("tests/moving/test_row_ranges.py", "tests/moving/test_snapshots.py"), ("tests/moving/test_backup_of_servers.py",)),
    "upkeep/relearn.py": Tests(("tests/upkeep/test_relearn.py",), ("tests/crash/test_lost_keys.py", "tests/crash/test_lost_files.py")),
}  # fmt: skip


def near(file: str) -> Tests:
    """The tests for a file below src/headrace."""
    return NEAR[max((each for each in NEAR if file.startswith(each)), key=len)]
