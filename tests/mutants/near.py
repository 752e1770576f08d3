"""Which tests are to notice a change of a file: those that reach it, the quick and close ones first, since the first to fail ends it."""

_REACTIONS = ("tests/reactions", "tests/http/test_reactions.py", "tests/http/test_replay.py")
_LOG = ("tests/log", "tests/contracts/test_log.py", "tests/guarantees/test_intake.py", "tests/crash/test_lost_keys.py")
_PIPELINE = ("tests/worker", "tests/reactions", "tests/crash/test_worker_steps.py", "tests/crash/test_lost_files.py")
_STORE = ("tests/store", "tests/contracts/test_store.py", "tests/contracts/test_measures.py", "tests/queries")
_CONTROL = (
    "tests/control", "tests/contracts/test_control.py", "tests/contracts/test_control_erasures.py",
    "tests/contracts/test_control_jobs.py", "tests/contracts/test_control_leases.py",
    "tests/contracts/test_control_migrations.py", "tests/reactions/test_once.py", "tests/reactions/test_model.py",
)  # fmt: skip
_HTTP = ("tests/admission", "tests/http", "tests/seeds", "tests/openapi")

# By the beginning of the path; the longest that fits.
NEAR: dict[str, tuple[str, ...]] = {
    "": ("tests",),
    "assembly/": ("tests/admission", "tests/control", "tests/http"),
    "control/": _CONTROL,
    "dialects/": ("tests/dialects", "tests/seeds", "tests/http/test_families.py"),
    "http/": _HTTP,
    "log/": _LOG,
    "model/": ("tests/queries", "tests/dialects", "tests/seeds", "tests/contracts/test_measures.py"),
    "pipeline/": _PIPELINE,
    "reactions/": _REACTIONS,
    "replay/": ("tests/jobs", "tests/reactions", "tests/http/test_replay_jobs.py", "tests/crash/test_replay_jobs.py"),
    "store/": _STORE,
    "store/queries/": ("tests/queries", "tests/contracts/test_store.py", "tests/contracts/test_measures.py"),
    "upkeep/": ("tests/crash/test_check.py", "tests/crash/test_erased.py", "tests/crash/test_lost_files.py", "tests/crash/test_lost_keys.py"),
}  # fmt: skip


def near(file: str) -> tuple[str, ...]:
    """The tests for a file below src/headrace."""
    return NEAR[max((each for each in NEAR if file.startswith(each)), key=len)]
