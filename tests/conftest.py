"""One server for each process of the suite; every test that uses it takes a project of its own."""

import gc
import importlib
import itertools
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from tests.engine import emptied
from tests.in_memory import keep_tmp_path_here, memory_path
from tests.leftovers import kill_when_this_process_ends
from tests.open_databases import open_databases, watch
from tests.parts import of_part
from tests.server import Client, Server

__all__ = ["emptied", "memory_path"]

_HERE = Path(__file__).parent
# Each worker is a Python with an engine in it and a server with another: about a gigabyte.
_MOST_WORKERS = 4
# These take longest, and so are begun first: a long one begun last would keep one worker busy while the others wait.
_LONGEST = (
    "tests/soak/test_soak.py",
    "tests/queries/test_against_brute_force.py",
    "tests/sdks/test_troubles.py",
    "tests/queries/test_funnels.py",
    "tests/crash/test_disk.py",
    "tests/crash/test_erasing_people.py",
    "tests/store/test_clickhouse.py",
    "tests/store/test_moving.py",
    "tests/store/test_migrations.py",
    "tests/crash/test_own_columns.py",
    "tests/scale/test_migrate_data.py",
    "tests/crash/test_journeys.py",
    "tests/contracts/test_store.py",
    "tests/console/test_screens.py",
    "tests/reactions/test_model.py",
    "tests/fuzz/test_document.py",
    "tests/scale/test_cluster.py",
    "tests/scale/test_partitions.py",
    "tests/control/test_command_line.py",
    "tests/moving/test_commands.py",
    "tests/console/test_types.py",
    "tests/http/test_families.py",
    "tests/http/test_tenants.py",
    "tests/moving/test_erased_since_backup.py",
    "tests/moving/test_backup_of_servers.py",
    "tests/sdks/test_python_sdks.py",
    "tests/console/test_work.py",
    "tests/demo/test_demo.py",
    "tests/moving/test_backup.py",
    "tests/queries/test_event_queries.py",
    "tests/queries/test_own_columns.py",
    "tests/scale/test_partition_share.py",
    "tests/crash/test_deliveries.py",
    "tests/sdks/test_browser.py",
    "tests/store/test_on_cluster.py",
    "tests/crash/test_worker_steps.py",
    "tests/crash/test_erased_files.py",
    "tests/http/test_shutdown.py",
    "tests/store/test_server_over_http.py",
    "tests/contracts/test_store_erasing.py",
    "tests/hanging/test_hanging.py",
)

# The Makefile says why; here for a pytest that is run without it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

keep_tmp_path_here()

# Hundreds of thousands of objects stay from collecting the tests to the end. To go through them every so many allocations took a
# fifth of the time of tests that allocate much. (gc.freeze would hide them from hypothesis, which judges by referrers.)
gc.set_threshold(5_000, 20, 50)

# No clock: a busy machine fails no law. (What gives health checks of its own names this one again.) And the same examples each
# time: one that fails once in a thousand runs is to be found by whoever looks for it (NEW_EXAMPLES=1), and not by somebody's change.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize="NEW_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

# A traceback as structlog draws it takes 70 ms of processor, and some tests have a thousand failures logged.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

_projects = itertools.count()
_reaper = pytest.StashKey["subprocess.Popen[bytes]"]()
_shared = pytest.StashKey[Path]()  # the control database that stays open for the whole run


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many workers `-n auto` makes: more than there are processors, because tests of servers wait a third of their time."""
    return min(_MOST_WORKERS, ((os.cpu_count() or 1) * 3 + 1) // 2)


def pytest_configure(config: pytest.Config) -> None:
    watch()
    if hasattr(config, "workerinput") or not config.getoption(
        "numprocesses", None
    ):  # not where xdist only hands tests out
        config.stash[_reaper] = kill_when_this_process_ends()


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, sched: Any) -> None:
    """End the run: a test that hung ended its worker, and xdist would give the same test to worker after worker."""
    sched.config.pluginmanager.getplugin("dsession").shouldstop = f"{crashitem} hung, or ended its process"


@pytest.hookimpl(wrapper=True, trylast=True)  # where warnings are errors already
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Of all tests, each worker first imports a share of its own: so each file is compiled by one of them, and not by all at once."""
    gc.disable()
    worker = getattr(session.config, "workerinput", None)
    if worker and [Path(each).resolve() for each in session.config.args] == [_HERE]:
        number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        for file in sorted(_HERE.glob("*/test_*.py"))[number::count]:
            with suppress(Exception, pytest.skip.Exception):  # told where it is collected
                importlib.import_module(f"tests.{file.parent.name}.{file.stem}")
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = {file: number for number, file in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(_file_of(item), len(_LONGEST)))
    if part := os.environ.get("PART"):
        try:
            files = of_part(part, dict.fromkeys(map(_file_of, items)))
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error
        config.hook.pytest_deselected(items=[item for item in items if _file_of(item) not in files])
        items[:] = [item for item in items if _file_of(item) in files]


def _file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # Not by a fork: these also show that a server that has done much ends well, which forked ones cut short.
    server = Server(tmp_path_factory.mktemp("data"), by_fork=False).start()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module", autouse=True)
def each_file_closes_its_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    before = open_databases()
    yield
    left = open_databases() - before - {str(request.config.stash.get(_shared, ""))}
    assert not left, f"a test or a fixture of this file left open: {sorted(left)}"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite control database to copy: migrating one takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "control.sqlite"
    engine = open_database(path)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture
def project() -> str:
    """A project that no other test knows."""
    return f"project-{next(_projects)}"


@pytest.fixture(scope="session")
def keys(server: Server, pytestconfig: pytest.Config) -> Iterator[Keys]:
    """The server's keys, as the command line opens them; opening them for each test takes longer than most tests."""
    path = pytestconfig.stash[_shared] = server.data / "control.sqlite"
    engine = open_database(path)
    yield Keys(engine)
    engine.dispose()


@pytest.fixture
def client(server: Server, keys: Keys, project: str) -> Iterator[Client]:
    """A client with every scope on a fresh project."""
    _, secret = keys.create(project, "live", "admin", None, clock_ms())
    with server.client(secret) as client:
        yield client
