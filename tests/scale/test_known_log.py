"""A control database on a server knows its log: whoever names another one beside it is refused, or tells what may be missing."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import valkey as driver
from sqlalchemy import Engine

from headrace.assembly.clock import clock_ms
from headrace.assembly.control import PARTITION
from headrace.assembly.log import LogOfFolder, attach, require_known
from headrace.assembly.partition_storing import OpenPartitions
from headrace.assembly.roles import Candidate
from headrace.control.copying import copy_to_file
from headrace.control.database import open_database
from headrace.control.known_log import ControlKnownLog
from headrace.control.leases import ControlLeases, LastingLease
from headrace.control.sessions import ControlSessions
from headrace.model.errors import Unavailable
from headrace.model.known_log import KnownLog, OtherLog
from headrace.model.settings import Settings
from headrace.ports.control import LeaseLost
from tests.postgres import postgres, postgres_url
from tests.valkey_server import Valkey, valkey

__all__ = ["postgres", "postgres_url", "valkey"]

_NUMBERS = 9, 10, 13, 14  # of databases that no other test has


@pytest.fixture
def control(postgres_url: str) -> Iterator[Engine]:
    engine = open_database(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def empty_log(valkey: Valkey) -> Iterator[Callable[[], str]]:
    """Gives URLs of databases without a log."""
    numbers = iter(_NUMBERS)
    yield lambda: f"{valkey.url}/{next(numbers)}"
    for number in _NUMBERS:
        with driver.Valkey(port=valkey.port, db=number) as client:
            client.flushdb()


def opened_by_a_worker(control: Engine, folder: Path, url: str) -> tuple[KnownLog, LastingLease]:
    """What it tells the database, and its lease."""
    leases = ControlLeases(control)
    lease = leases.take(PARTITION, "active")
    assert lease is not None
    lasting = LastingLease(leases, "active", lease)
    known_log = ControlKnownLog(control)
    instance = ControlSessions(control, clock_ms).server_id()
    of_folder = LogOfFolder(
        Settings(data=folder, log_url=url), instance=instance, floor=0, done=0, known=known_log.get()
    )
    of_folder.log.close()
    assert of_folder.found is not None
    known = KnownLog(of_folder.found.id, of_folder.found.shown, leases.process)
    known_log.set(known, lasting)
    return known, lasting


def test_the_last_worker_that_opened_a_log_says_which_it_is_and_a_copy_knows_none(
    control: Engine, tmp_path: Path
) -> None:
    known_log = ControlKnownLog(control)
    assert known_log.get() is None
    leases = ControlLeases(control)
    lease = leases.take(PARTITION, "a")
    assert lease is not None
    overtaken = LastingLease(leases, "a", lease)
    known_log.set(KnownLog("1", "valkey://a", "p"), overtaken)
    leases.take(PARTITION, "a")
    with pytest.raises(LeaseLost):
        known_log.set(KnownLog("2", "valkey://b", "q"), overtaken)
    assert known_log.get() == KnownLog("1", "valkey://a", "p")
    copy_to_file(control, tmp_path / "copy.sqlite")
    copied = open_database(tmp_path / "copy.sqlite")
    assert ControlKnownLog(copied).get() is None
    copied.dispose()
    known_log.set(None, None)
    assert known_log.get() is None


def test_a_gateway_appends_to_no_other_log_than_the_known_one(
    control: Engine, tmp_path: Path, empty_log: Callable[[], str]
) -> None:
    first, second = Settings(log_url=empty_log()), Settings(log_url=empty_log())
    instance = ControlSessions(control, clock_ms).server_id()
    old, lease = opened_by_a_worker(control, tmp_path, first.log_url)
    lease.release()
    known, _ = opened_by_a_worker(control, tmp_path, second.log_url)
    for settings, right in ((second, known), (first, old), (first, None)):
        log, _ = attach(settings, instance=instance, floor=0, known=right)
        log.close()
    with pytest.raises(OtherLog) as refused:
        attach(first, instance=instance, floor=0, known=known)
    for named in ("HEADRACE_LOG_URL", "HEADRACE_CONTROL_URL", first.log_url, second.log_url):
        assert named in refused.value.message
    begun_anew = KnownLog("0", known.shown)
    with pytest.raises(Unavailable):  # Valkey came back empty, and the worker that made another is about to say so
        attach(second, instance=instance, floor=0, known=begun_anew)


def test_a_log_that_is_not_there_is_another_one_unless_its_server_came_back_empty(
    control: Engine, tmp_path: Path, empty_log: Callable[[], str]
) -> None:
    url = empty_log()
    known, _ = opened_by_a_worker(control, tmp_path, url)
    with pytest.raises(OtherLog):
        require_known(Settings(log_url=empty_log()), known)
    by_another_name = url.replace("127.0.0.1", "localhost")
    require_known(Settings(log_url=by_another_name), known)
    require_known(Settings(log_url=url), KnownLog("0", known.shown))
    require_known(Settings(log_url=empty_log()), None)
    with pytest.raises(Unavailable):
        require_known(Settings(log_url="valkey://127.0.0.1:9"), known)


def test_a_worker_does_not_stand_by_for_one_with_another_log(
    control: Engine, postgres_url: str, tmp_path: Path, empty_log: Callable[[], str]
) -> None:
    url, now = empty_log(), [0.0]
    known, lease = opened_by_a_worker(control, tmp_path, url)

    def candidate(log_url: str) -> Candidate:
        return Candidate(Settings(control_url=postgres_url, log_url=log_url), monotonic_s=lambda: now[0])

    for right in (url, "valkey://127.0.0.1:9"):  # it may be away for now
        stands_by = candidate(right)
        assert stands_by.try_to_take() is None
        stands_by.close()
    another = candidate(empty_log())
    ControlKnownLog(control).set(KnownLog(known.id, known.shown, "its predecessor"), lease)
    assert another.try_to_take() is None, "the active one is about to open its log, which may be this one"
    ControlKnownLog(control).set(known, lease)
    now[0] += 4
    assert another.try_to_take() is None, "it does not ask all the time"
    now[0] += 1
    with pytest.raises(OtherLog):
        another.try_to_take()
    lease.release()
    assert another.try_to_take() is not None, "with nobody else there, the log was changed on purpose"
    another.close()


def test_partitions_are_stored_of_the_known_log_only(
    control: Engine, postgres_url: str, tmp_path: Path, empty_log: Callable[[], str]
) -> None:
    first, second = empty_log(), empty_log()
    leases = ControlLeases(control)
    lease = leases.take("storing/0", "storing")
    assert lease is not None
    with closing(OpenPartitions(Settings(control_url=postgres_url, log_url=first), control)) as opened:
        with pytest.raises(Unavailable, match="No worker has opened the log yet"):
            opened.open(0, LastingLease(leases, "storing", lease))
        _, active = opened_by_a_worker(control, tmp_path, first)
        active.release()
        opened_by_a_worker(control, tmp_path, second)
        with pytest.raises(OtherLog):
            opened.open(0, LastingLease(leases, "storing", lease))


def test_a_worker_whose_folder_was_not_kept_says_that_the_log_is_another_one(
    control: Engine, tmp_path: Path, empty_log: Callable[[], str]
) -> None:
    url = empty_log()
    known, _ = opened_by_a_worker(control, tmp_path, url)
    instance = ControlSessions(control, clock_ms).server_id()
    for folder, log_url, is_missing in (("two", url, False), ("three", empty_log(), True)):
        (tmp_path / folder).mkdir()
        settings = Settings(data=tmp_path / folder, log_url=log_url)
        of_folder = LogOfFolder(settings, instance=instance, floor=0, done=0, known=known)
        of_folder.log.close()
        assert (f"at {known.shown} was not there" in of_folder.missing) is is_missing
