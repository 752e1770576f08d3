"""What a role needs, who holds the partition, and what gateways count and remember."""

import asyncio
import itertools
import os
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from headrace.assembly.rate_limits import RateLimits, SharedRateLimits
from headrace.assembly.roles import Candidate, LeaseWatch, require_urls, url_of_worker
from headrace.assembly.store import examine
from headrace.control.database import open_database
from headrace.log.valkey.log import ValkeyLog
from headrace.log.valkey.server import LogLost, LogServer
from headrace.model.entries import Entry
from headrace.model.errors import RateLimited, SettingsError, Unavailable
from headrace.model.settings import Settings
from headrace.ports.control import LeaseLost
from tests.clickhouse_face import Face, face
from tests.postgres import postgres, postgres_url
from tests.valkey_server import Valkey, valkey

__all__ = ["face", "postgres", "postgres_url", "valkey"]

URLS = {"log_url": "valkey://v", "control_url": "postgresql://p/d", "store_url": "http://c:8123/d"}
_names = itertools.count()


@pytest.mark.parametrize("role", ["gateway", "worker"])
@pytest.mark.parametrize("missing", URLS)
def test_a_role_without_one_of_its_servers_is_told_which_variable_to_set(role: str, missing: str) -> None:
    require_urls(Settings(role=role, **URLS))  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingsError, match=f"HEADRACE_ROLE={role} needs HEADRACE_{missing.upper()}: "):
        require_urls(Settings(role=role, **URLS | {missing: ""}))  # pyright: ignore[reportArgumentType]
    require_urls(Settings())


def test_several_partitions_need_workers_that_share_them() -> None:
    require_urls(Settings(role="worker", log_partitions=4, **URLS))
    with pytest.raises(SettingsError, match="HEADRACE_LOG_PARTITIONS=4 needs workers that share"):
        require_urls(Settings(log_partitions=4, **URLS))


def test_gateways_reach_a_worker_where_it_listens_or_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "worker-1")
    assert url_of_worker(Settings(host="10.0.0.8"), 8080) == "http://10.0.0.8:8080"
    assert url_of_worker(Settings(host="fd00::8"), 8080) == "http://[fd00::8]:8080"
    assert url_of_worker(Settings(host="0.0.0.0"), 8081) == "http://worker-1:8081"
    assert url_of_worker(Settings(worker_url="http://w:1"), 8081) == "http://w:1"


# The partition


@pytest.fixture
def control(postgres_url: str) -> Iterator[Engine]:
    engine = open_database(postgres_url)
    yield engine
    engine.dispose()


def expire(control: Engine) -> None:
    with control.begin() as connection:
        connection.execute(text("UPDATE leases SET expires_at_ms = 0"))


def test_one_worker_has_the_partition_and_what_it_lost_it_never_takes_back(control: Engine, postgres_url: str) -> None:
    settings = Settings(control_url=postgres_url)
    first, second = Candidate(settings), Candidate(settings)
    held = first.try_to_take()
    assert held is not None
    assert second.try_to_take() is None
    lost: list[str] = []
    watch = LeaseWatch(held.leases, held.lease, lambda: lost.append("lost"))
    fence = held.lease.raise_fence()
    for _ in range(3):
        watch.step()
    assert lost == [], "raising its own fence loses nothing"
    expire(control)
    taken = second.try_to_take()
    assert taken is not None
    assert taken.lease.current.fence > fence
    for _ in range(4):
        watch.step()
    assert lost == ["lost"]
    taken.lease.release()
    for take in (held.lease.take_again, held.lease.raise_fence):
        with pytest.raises(LeaseLost):
            take()
    first.close()
    second.close()


def test_a_candidate_puts_no_end_to_a_worker_that_could_not_renew_while_control_was_away(
    control: Engine, postgres_url: str
) -> None:
    now = [100.0]
    candidate = Candidate(Settings(control_url=postgres_url), monotonic_s=lambda: now[0])
    active = Candidate(Settings(control_url=postgres_url))
    held = active.try_to_take()
    assert held is not None
    with control.begin() as connection:
        connection.execute(text("ALTER TABLE leases RENAME TO away"))
    assert candidate.try_to_take() is None
    with control.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO leases"))
    expire(control)
    for _ in range(3):
        now[0] += 3
        assert candidate.try_to_take() is None, "the active one may be about to renew it"
    held.renew()
    now[0] += 3
    assert candidate.try_to_take() is None
    expire(control)
    assert candidate.try_to_take() is not None, "it did not"
    candidate.close()
    active.close()


def test_a_candidate_that_was_suspended_gives_the_active_worker_time_to_renew(
    control: Engine, postgres_url: str
) -> None:
    now = [100.0]
    candidate = Candidate(Settings(control_url=postgres_url), monotonic_s=lambda: now[0])
    active = Candidate(Settings(control_url=postgres_url))
    held = active.try_to_take()
    assert held is not None
    assert candidate.try_to_take() is None
    expire(control)
    now[0] += 60
    for _ in range(3):  # the machine of both was suspended; whichever of them goes on first
        assert candidate.try_to_take() is None
        now[0] += 2
    held.renew()
    for _ in range(3):
        assert candidate.try_to_take() is None
        now[0] += 2
    expire(control)
    assert candidate.try_to_take() is not None
    candidate.close()
    active.close()


# The log


def test_a_gateway_makes_no_log_and_follows_the_worker_to_its_next_one(valkey: Valkey) -> None:
    name = f"followed{os.getpid()}x{next(_names)}"

    def opened(*, instance: str = "i", is_owner: bool = False) -> ValkeyLog:
        return ValkeyLog(LogServer(valkey.url, name=name), instance=instance, is_owner=is_owner)

    with pytest.raises(LogLost, match="No worker has opened the log yet"):
        opened()
    worker = opened(is_owner=True)
    gateway = opened()
    assert gateway.append([Entry(b"a")])[0].position == worker.last()
    with pytest.raises(SettingsError, match="holds the log of another headrace server"):
        opened(instance="j")
    valkey.client.delete(*valkey.client.keys("{" + name + "}:*"))  # as a server that comes back empty
    for _ in range(2):
        with pytest.raises(Unavailable):
            gateway.append([Entry(b"b")])
    again = opened(is_owner=True)
    with pytest.raises(Unavailable):
        gateway.append([Entry(b"b")])  # it learns of the new log by this
    with pytest.raises(Unavailable):
        worker.append([Entry(b"b")])
    assert gateway.append([Entry(b"b")])[0].position == again.last()
    for each in (worker, gateway, again):
        each.close()


# Rate limits


def test_gateways_count_a_limited_kind_together_and_alone_while_the_log_is_away(valkey: Valkey) -> None:
    server = LogServer(valkey.url, name=f"limits{os.getpid()}x{next(_names)}")
    ValkeyLog(server, instance="i")  # loads the functions
    passed = [1000.0]

    class Windows:
        broken = False
        asked = 0

        def spend(self, purpose: str, window_ms: int, most: int, /) -> tuple[bool, int, int]:
            self.asked += 1
            if self.broken:
                raise Unavailable
            return server.spend(purpose, window_ms, most)

    windows = Windows()
    limits = [
        SharedRateLimits(
            RateLimits({"batch": 3, "query": 1}, monotonic_s=lambda: passed[0]), windows, monotonic_s=lambda: passed[0]
        )
        for _ in range(2)
    ]

    async def main() -> None:
        left: list[int] = []
        for gateway in (0, 1, 0):
            allowance = await limits[gateway].spend("batch", "k")
            assert allowance is not None
            assert (allowance.limit, allowance.window_s) == (3, 60)
            assert 1 <= allowance.reset_s <= 60
            left.append(allowance.remaining)
        assert left == [2, 1, 0]
        for gateway in (0, 1):
            with pytest.raises(RateLimited) as refused:
                await limits[gateway].spend("batch", "k")
            assert refused.value.allowance is not None
            assert refused.value.allowance.remaining == 0
        assert await limits[1].spend("batch", "another key") is not None
        asked = windows.asked
        assert await limits[0].spend("unlimited", "k") is None
        assert windows.asked == asked, "nobody is asked where there is no limit"
        windows.broken = True
        for gateway in (0, 1):
            assert await limits[gateway].spend("query", "k") is not None
            with pytest.raises(RateLimited):
                await limits[gateway].spend("query", "k")
        assert windows.asked == asked + 2, "not every request asks in vain"
        windows.broken = False
        passed[0] += 2
        assert await limits[0].spend("query", "k") is not None

    asyncio.run(main())
    server.close()


def test_a_use_leaves_the_window_when_it_is_as_old_as_that(valkey: Valkey) -> None:
    server = LogServer(valkey.url, name=f"limits{os.getpid()}x{next(_names)}")
    ValkeyLog(server, instance="i")
    assert server.spend("rate:x", 60_000, 1)[:2] == (True, 1)
    assert server.spend("rate:x", 60_000, 1)[:2] == (False, 1)
    key = server.name_of("rate:x")
    assert 0 < valkey.client.pttl(key) <= 60_000, "what nobody uses goes"
    valkey.client.lset(key, 0, int(valkey.client.lindex(key, 0)) - 60_000)
    assert server.spend("rate:x", 60_000, 1)[:2] == (True, 1)
    server.close()


# The doctor


def test_the_doctor_asks_the_store_that_the_url_names(face: Face, postgres_url: str) -> None:
    def found(url: str) -> str:
        return examine(Settings(store_url=url, control_url=postgres_url))

    assert examine(Settings()) == ""
    assert found(face.url()) == ""
    for url in (face.url() + "x", "http://u:s3cret@127.0.0.1:9/d", "http://u:s3cret@host:8123"):
        assert found(url).startswith("HEADRACE_STORE_URL: ")
        assert "s3cret" not in found(url)
