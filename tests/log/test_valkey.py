"""What the log on Valkey does beyond the Log port: set-ups that it refuses, lost replies, crashes, replicas, erasing."""

import asyncio
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from headrace.log.valkey.asking import SharedQuestion
from headrace.log.valkey.chunks import Member, pack_position
from headrace.log.valkey.log import ValkeyLog
from headrace.log.valkey.reading import ChunkReader
from headrace.log.valkey.server import LogServer, problem_of
from headrace.model.entries import Entry, Kind, Unreadable
from headrace.model.errors import HeadraceError, SettingsError, Unavailable
from headrace.model.event import STEP, first_position, received_at_ms
from tests.valkey_server import DURABLE, Valkey, started, valkey

__all__ = ["valkey"]

_names = itertools.count()
_END = 2**62


class Opener:
    """Opens logs on a server, one name for all, and closes them."""

    def __init__(self, valkey: Valkey) -> None:
        self.valkey = valkey
        self.name = f"own{os.getpid()}x{next(_names)}"
        self.opened: list[ValkeyLog] = []

    def __call__(self, *, port: int = 0, replicas: int = 0, **settings: Any) -> ValkeyLog:
        url = f"valkey://127.0.0.1:{port or self.valkey.port}"
        server = LogServer(url, name=self.name, replicas=replicas, replica_timeout_s=0.3)
        log = ValkeyLog(server, instance=settings.pop("instance", "i"), **settings)
        self.opened.append(log)
        return log

    def key(self, part: str) -> str:
        return "{" + self.name + "}:" + part


@pytest.fixture
def logs(valkey: Valkey) -> Iterator[Opener]:
    opener = Opener(valkey)
    yield opener
    for log in opener.opened:
        log.close()


def keyed(payload: str, key: str) -> Entry:
    return Entry(payload.encode(), key.encode().ljust(16, b"."))


def payloads(log: ValkeyLog) -> list[bytes]:
    return [record.payload for record in log.read(0, 10**9, 10**12)]


def refused(url: str, accepted: str = "fsync") -> str:
    with pytest.raises(SettingsError) as raised:
        LogServer(url).require_usable(accepted)
    assert raised.value.message.startswith("HEADRACE_LOG_URL: ")
    assert "s3cret" not in raised.value.message
    return raised.value.message


# Set-ups


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@host",
        "valkey://",
        "valkey://u:s3cret@",
        "valkey://u:s3cret@host:70000",
        "valkey://u:s3cret@host:x",
        "valkey://u:s3cret@host/name",
        "valkey://u:s3cret@host/0?timeout=1",
        "valkey://u:s3cret@[host",
    ],
)
def test_a_malformed_url_is_refused_and_its_password_not_shown(url: str) -> None:
    assert "valkey://user:password@host:6379/0" in refused(url)


@pytest.mark.parametrize(
    ("settings", "promise", "remedy"),
    [
        ({"appendonly": "no"}, "memory", "HEADRACE_LOG_DURABILITY=memory"),
        ({"appendfsync": "everysec"}, "everysec", "HEADRACE_LOG_DURABILITY=everysec"),
        ({"appendfsync": "no"}, "memory", "appendfsync always"),
        ({"maxmemory-policy": "allkeys-lru"}, "", "maxmemory-policy noeviction"),
    ],
)
def test_a_server_that_promises_less_is_refused_unless_a_setting_accepts_it(
    settings: dict[str, str], promise: str, remedy: str
) -> None:
    weaker = started(DURABLE | settings)
    try:
        assert remedy in refused(weaker.url)
        if promise:
            assert LogServer(weaker.url).require_usable(promise) == promise
            log = Opener(weaker)(durability=promise)
            assert log.append([Entry(b"a")])
            log.overwrite()
        else:
            assert remedy in refused(weaker.url, "memory"), "a server that evicts loses what it says it has"
    finally:
        weaker.remove()


def test_everysec_is_not_accepted_by_a_setting_that_accepts_what_cannot_be_looked_up(valkey: Valkey) -> None:
    valkey.client.config_set("appendfsync", "everysec")
    try:
        assert "HEADRACE_LOG_DURABILITY=everysec" in refused(valkey.url, "unchecked")
    finally:
        valkey.client.config_set("appendfsync", "always")


def test_a_user_who_may_not_read_the_configuration_needs_a_setting(valkey: Valkey) -> None:
    valkey.client.execute_command("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all", "-config")
    url = f"valkey://app:s3cret@127.0.0.1:{valkey.port}"
    assert "HEADRACE_LOG_DURABILITY=unchecked" in refused(url)
    assert "HEADRACE_LOG_DURABILITY=unchecked" in refused(url, "everysec"), "it may be less than that"
    assert LogServer(url).require_usable("unchecked") == "unchecked"


def test_a_user_with_the_rights_that_the_docs_name_suffices(logs: Opener) -> None:
    rights = ["~" + logs.key("*"), "+@all", "-@dangerous", "+info", "+config|get", "+bgrewriteaof"]
    logs.valkey.client.execute_command("ACL", "SETUSER", "limited", "on", ">s3cret", *rights)
    server = LogServer(f"valkey://limited:s3cret@127.0.0.1:{logs.valkey.port}", name=logs.name)
    log = ValkeyLog(server, instance="i")
    logs.opened.append(log)
    [receipt] = log.append([keyed("a", "k")])
    log.probe()
    log.redact([receipt.position])
    log.overwrite()
    log.forget(0, _END)
    assert (log.last(), log.knows(keyed("", "k").key), log.trim(_END)) == (receipt.position, None, 1)


def test_a_wrong_password_and_a_user_without_rights_are_told_apart(valkey: Valkey) -> None:
    valkey.client.execute_command("ACL", "SETUSER", "blind", "on", ">s3cret2", "~*", "+@all", "-info")
    assert "user name or the password" in refused(f"valkey://blind:s3cret@127.0.0.1:{valkey.port}")
    assert "grant +info" in refused(f"valkey://blind:s3cret2@127.0.0.1:{valkey.port}")


def test_nobody_listening_is_told() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        assert "check host and port" in refused(f"valkey://u:s3cret@127.0.0.1:{listener.getsockname()[1]}")


GOOD = {"valkey_version": "9.1.2", "role": "master", "cluster_enabled": 0, "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"valkey_version": "7.0.9"}, "use 7.2 or newer"),
        ({"valkey_version": ""}, "not Valkey"),
        ({"cluster_enabled": 1}, "cluster-enabled no"),
        ({"redis_mode": "sentinel", "role": None}, "name the primary that it watches"),
        ({"role": "slave"}, "name the primary"),
        ({"maxmemory_policy": "volatile-ttl"}, "noeviction"),
    ],
)
def test_what_a_server_says_of_itself_decides(fields: dict[str, Any], said: str) -> None:
    assert said in problem_of(GOOD | fields)


@pytest.mark.parametrize("version", ["7.2.0", "8.1.3", "9.1.2", "10.0.0"])
def test_any_version_that_tells_when_writes_are_on_disk_will_do(version: str) -> None:
    assert problem_of(GOOD | {"valkey_version": version}) == ""


def test_the_log_of_another_server_is_refused(logs: Opener) -> None:
    logs(instance="one")
    with pytest.raises(SettingsError, match="another database number"):
        logs(instance="two")


def test_a_log_made_by_a_newer_version_is_refused(logs: Opener) -> None:
    logs()
    logs.valkey.client.hset(logs.key("state"), "format", "2")
    with pytest.raises(SettingsError, match="a newer headrace"):
        logs()


def test_new_events_are_refused_long_before_the_server_is_out_of_memory(logs: Opener) -> None:
    logs.valkey.client.config_set("maxmemory", 10**9)
    try:
        assert logs(max_bytes=10**10).max_bytes == 5 * 10**8
        assert logs(max_bytes=1000).max_bytes == 1000
    finally:
        logs.valkey.client.config_set("maxmemory", 0)


# Lost replies, lost functions, lost data


class Proxy:
    """In front of a server. After `cut`, what is sent next still arrives, and its connection ends instead of the reply.

    Later connections are whole again: a client that sent the same once more would be answered.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cuts = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cuts = True

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            replies = threading.Thread(target=self._pass, args=(server, client, True), daemon=True)
            replies.start()
            self._pass(client, server, False)
            replies.join()

    def _pass(self, source: socket.socket, target: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_reply and self._cuts:
                    self._cuts = False
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def test_a_server_at_its_memorys_limit_takes_nothing_loses_nothing_and_goes_on_once_there_is_room() -> None:
    own = started()
    try:
        log = Opener(own)(max_bytes=10**9)
        log.append([Entry(b"a")])
        own.client.config_set("maxmemory", 1)
        with pytest.raises(Unavailable, match="out of memory") as refused:
            log.append([Entry(b"b")])
        assert refused.value.retry_after_s
        assert payloads(log) == [b"a"]
        own.client.config_set("maxmemory", 0)
        log.append([Entry(b"c")])
        assert payloads(log) == [b"a", b"c"]
        log.close()
    finally:
        own.remove()


def test_clocks_of_two_that_append_may_be_ten_minutes_apart(logs: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [logs(), logs()]
    right = time.time_ns()
    given: list[int] = []
    for number in range(6):
        late = (number % 2) * 600 * 10**9
        monkeypatch.setattr("headrace.log.valkey.log.time.time_ns", lambda late=late: right - late)
        [receipt] = both[number % 2].append([keyed("x", f"k{number}")])
        given.append(receipt.position)
        assert both[1 - number % 2].append([keyed("x", f"k{number}")])[0].position == receipt.position
    assert given == sorted(set(given))
    seconds, _ = logs.valkey.client.time()
    assert abs(received_at_ms(given[-1]) / 1000 - seconds) < 300, "the server's clock, whatever those of the others say"


def test_an_append_whose_reply_is_lost_is_not_sent_again(logs: Opener) -> None:
    proxy = Proxy(logs.valkey.port)
    log = logs(port=proxy.port)
    log.append([Entry(b"a")])
    proxy.cut()
    with pytest.raises(Unavailable):
        log.append([Entry(b"b")])
    proxy.close()
    assert payloads(logs()) == [b"a", b"b"]


def test_functions_that_were_flushed_are_loaded_again(logs: Opener) -> None:
    log = logs()
    log.append([Entry(b"a")])
    logs.valkey.client.function_flush("SYNC")
    log.append([Entry(b"b")])
    assert payloads(log) == [b"a", b"b"]


def test_functions_that_were_flushed_and_cannot_be_loaded_are_a_failure_that_may_pass(
    logs: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logs()
    logs.valkey.client.function_flush("SYNC")

    def refuse(server: LogServer) -> None:
        raise server.refusal("its user may not load functions")

    with monkeypatch.context() as patched:
        patched.setattr(LogServer, "_load", refuse)
        with pytest.raises(Unavailable, match="not responding"):
            log.append([Entry(b"a")])
    log.append([Entry(b"b")])
    assert payloads(log) == [b"b"]


def test_a_server_that_came_back_empty_is_not_written_to_until_a_restart(logs: Opener) -> None:
    log = logs()
    last = log.append([keyed("a", "k")])[0].position
    logs.valkey.client.delete(*(logs.key(part) for part in ("state", "index", "chunks", "keys0")))
    with pytest.raises(Unavailable, match="restart"):
        log.append([Entry(b"b")])
    again = logs(floor=last)
    assert again.id != log.id
    assert again.last() == last
    assert again.append([Entry(b"b")])[0].position > last


def test_a_new_primary_that_lacks_the_last_positions_gives_none_of_them_again(logs: Opener) -> None:
    log = logs()
    last = log.append([Entry(b"a")] * 3)[-1].position
    far = first_position(received_at_ms(last) + 60_000)
    ahead = logs(floor=far)
    logs.valkey.client.hset(
        logs.key("state"), mapping={"ms": received_at_ms(last), "low": 0}
    )  # as an older copy has it
    assert ahead.append([Entry(b"b")])[0].position > far


def test_keys_of_events_that_only_the_store_has_are_learnt(logs: Opener) -> None:
    now_ms = 1_736_899_200_000
    floor = first_position(now_ms)
    log = logs(floor=floor, clock_ms=lambda: now_ms, dedup_window_s=60)
    after, upto = log.lost_keys() or (0, 0)
    assert (after, upto) == (first_position(now_ms - 60_000), floor)
    entry, tail = keyed("a", "k"), (1 << 53) + 7
    log.learn({entry.key: (floor - STEP, tail)}, done=False)
    assert logs(floor=floor, clock_ms=lambda: now_ms, dedup_window_s=60).lost_keys() == (after, upto), "not done yet"
    log.learn({}, done=True)
    [repeat] = log.append([entry])
    assert (repeat.position, repeat.tail, repeat.duplicate) == (floor - STEP, tail, True)
    assert logs(floor=floor).lost_keys() is None


def test_a_log_whose_positions_are_ahead_of_the_store_lacks_no_keys(logs: Opener) -> None:
    last = logs().append([keyed("a", "k")])[0].position
    assert logs(floor=last).lost_keys() is None


def test_who_asks_for_the_tail_while_it_is_asked_for_shares_the_next_question() -> None:
    async def run() -> list[int]:
        loop, begun = asyncio.get_running_loop(), asyncio.Queue[threading.Event]()
        numbers = itertools.count(1)

        def ask() -> int:
            answered = threading.Event()
            loop.call_soon_threadsafe(begun.put_nowait, answered)
            assert answered.wait(60)
            return next(numbers)

        question = SharedQuestion(ask)
        answers = [asyncio.ensure_future(question())]
        first = await begun.get()
        answers += [asyncio.ensure_future(question()) for _ in range(50)]
        await asyncio.sleep(0)
        first.set()
        (await begun.get()).set()
        return await asyncio.gather(*answers)

    assert asyncio.run(run()) == [1] + [2] * 50


# Several that append, replicas, crashes


def test_two_that_append_at_once_know_each_others_keys_and_share_one_order(logs: Opener) -> None:
    both = [logs(), logs()]
    sent = [[keyed(f"{number}", f"k{number}") for number in range(start, start + 4)] for start in range(0, 200, 4)]

    def send(log: ValkeyLog) -> list[tuple[int, bool]]:
        return [(each.position, each.duplicate) for batch in sent for each in log.append(batch)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(send, both)
    assert [position for position, _ in first] == [position for position, _ in second], "both were told the same"
    assert all(a != b for (_, a), (_, b) in zip(first, second, strict=True)), "each was the first once"
    positions = [record.position for record in both[0].read(0, 10**9, 10**9)]
    assert (len(positions), positions) == (200, sorted(set(positions)))
    assert both[0].last() == both[1].last() == positions[-1]


@pytest.mark.timeout(400)
def test_what_was_acknowledged_survives_the_servers_kill_and_nothing_is_there_twice() -> None:
    valkey = started()
    try:
        logs = Opener(valkey)
        log = logs()
        acknowledged: list[int] = []
        enough = threading.Event()

        def send() -> None:
            with suppress(HeadraceError):
                for number in itertools.count():
                    acknowledged.append(log.append([keyed(f"{number}", f"k{number}"), Entry(b"x")])[0].position)
                    if number == 50:
                        enough.set()

        sender = threading.Thread(target=send)
        sender.start()
        assert enough.wait(60)
        valkey.kill()
        sender.join()
        valkey.start()
        records = logs().read(0, 10**9, 10**9)
        positions = [record.position for record in records]
        assert positions == sorted(set(positions))
        assert set(acknowledged) <= set(positions)
        assert len(records) % 2 == 0, "each append is there whole or not at all"
        [repeat] = logs().append([keyed("0", "k0")])
        assert (repeat.position, repeat.duplicate) == (acknowledged[0], True)
        assert logs().append([Entry(b"y")])[0].position > positions[-1]
    finally:
        valkey.remove()


@pytest.mark.timeout(400)
def test_with_replicas_nothing_is_acknowledged_that_they_do_not_have_not_even_a_repeat() -> None:
    valkey = started(DURABLE | {"repl-diskless-sync-delay": "0"})
    replica = started(DURABLE | {"replicaof": f"127.0.0.1 {valkey.port}"})
    try:
        logs = Opener(valkey)
        log = logs(replicas=1)

        def append(entry: Entry) -> bool:
            until = time.monotonic() + 90
            while True:  # until the replica follows
                try:
                    return log.append([entry])[0].duplicate
                except Unavailable:
                    assert time.monotonic() < until

        append(keyed("a", "k"))
        other = logs(replicas=1)  # on a connection that has written nothing
        assert replica.client.zcard(logs.key("index")) == 1
        replica.signal(signal.SIGSTOP)  # connected, and behind
        for each in (log, other):  # the second is a repeat, which writes no entry
            with pytest.raises(Unavailable, match="replicas"):
                each.append([keyed("b", "l")])
        assert payloads(log) == [b"a", b"b"], "it may be there: what counts is that nobody was told so"
        replica.signal(signal.SIGCONT)
        assert append(keyed("b", "l")), "it was there already"
        assert replica.client.zcard(logs.key("index")) == 2
        assert payloads(log) == [b"a", b"b"]
    finally:
        replica.remove()
        valkey.remove()


# Sizes


def test_a_request_of_10_000_events_and_16_mib_is_one_append(logs: Opener) -> None:
    log = logs()
    entries = [Entry(b"x" * 1677, b"%016d" % number) for number in range(10_000)]
    assert [receipt.duplicate for receipt in log.append(entries)] == [False] * 10_000
    assert all(receipt.duplicate for receipt in log.append(entries))
    assert len(log.read(0, 10_000, 1 << 30)) == 10_000
    assert logs.valkey.client.zcard(logs.key("index")) == 1
    assert log.trim(_END) == 10_000
    assert log.size_bytes() == 0


def test_when_keys_take_too_much_room_the_oldest_go_and_the_window_says_so(logs: Opener) -> None:
    now_ms = [1_736_899_200_000]
    log = logs(dedup_max_bytes=64 * 40, dedup_window_s=1000, clock_ms=lambda: now_ms[0])
    for number in range(100):
        now_ms[0] += 1000
        log.append([keyed("", f"k{number}")])
    known = [number for number in range(100) if log.knows(keyed("", f"k{number}").key)]
    assert known == list(range(known[0], 100))
    assert 30 <= len(known) <= 40
    assert log.dedup_window_s() == len(known)
    assert sum(logs.valkey.client.hlen(logs.key(f"keys{ring}")) for ring in range(4)) == len(known)


def test_keys_past_the_window_take_no_room_for_long(logs: Opener) -> None:
    now_ms = [1_736_899_200_000]
    log = logs(dedup_window_s=90, clock_ms=lambda: now_ms[0])
    for number in range(400):
        now_ms[0] += 1000
        log.append([keyed("", f"k{number}")])
        assert log.knows(keyed("", f"k{max(0, number - 90)}").key), "the window's first second"
    held = sum(logs.valkey.client.hlen(logs.key(f"keys{ring}")) for ring in range(4))
    assert 90 <= held <= 130
    assert log.dedup_window_s() == 90
    now_ms[0] += 91_000
    log.trim(0)
    assert sum(logs.valkey.client.hlen(logs.key(f"keys{ring}")) for ring in range(4)) == 0


def test_forgotten_keys_are_those_of_some_positions_alone(logs: Opener) -> None:
    log = logs()
    positions = [receipt.position for receipt in log.append([keyed("", key) for key in "abcd"])]
    log.forget(positions[0], positions[2])
    assert [log.append([keyed("", key)])[0].duplicate for key in "abcd"] == [True, False, False, True]


# Erasing and damage


def test_erased_events_leave_their_places_and_no_bytes_on_disk(logs: Opener) -> None:
    log = logs()
    entries = [keyed("first 5ecretA", "a"), Entry(b"command", kind=Kind.MERGE), keyed("kept", "b"), Entry(b"5ecretB")]
    positions = [receipt.position for receipt in log.append(entries) + log.append([Entry(b"5ecretC"), Entry(b"last")])]
    log.redact([1, positions[0], positions[1], positions[3], positions[4], positions[5] + STEP])
    found = log.read(0, 99, 999)
    assert [record.position for record in found] == positions
    assert [(record.kind, record.payload) for record in found] == [
        (Kind.ERASED, b""),
        (Kind.MERGE, b"command"),
        (Kind.EVENT, b"kept"),
        (Kind.ERASED, b""),
        (Kind.ERASED, b""),
        (Kind.EVENT, b"last"),
    ]
    assert log.size_bytes() == len(b"commandkeptlast")
    assert log.held(_END).events == 5
    assert log.append(entries[:1])[0].duplicate
    log.overwrite()
    on_disk = b"".join(path.read_bytes() for path in logs.valkey.folder.rglob("*") if path.is_file())
    assert b"kept" in on_disk
    assert b"5ecret" not in on_disk
    log.redact(positions)
    log.trim(_END)
    log.redact(positions)
    assert log.size_bytes() == 0


def test_a_damaged_entry_costs_no_neighbour(logs: Opener) -> None:
    log = logs()
    positions = [receipt.position for receipt in log.append([Entry(b"aaa"), Entry(b"bbb"), Entry(b"ccc")])]
    field = pack_position(positions[-1])
    chunk: bytes = logs.valkey.client.hget(logs.key("chunks"), field)
    logs.valkey.client.hset(logs.key("chunks"), field, chunk.replace(b"bbb", b"bxb"))
    first, damaged, last = log.read(0, 9, 99)
    assert (first.payload, last.payload) == (b"aaa", b"ccc")
    assert isinstance(damaged, Unreadable)
    assert (damaged.position, damaged.was, damaged.payload) == (positions[1], Kind.EVENT, b"bxb")
    log.redact([positions[0]])
    assert isinstance(log.read(0, 9, 99)[1], Unreadable), "also in a chunk that was written anew"
    logs.valkey.client.hset(logs.key("chunks"), field, chunk[:-1])
    [whole] = log.read(0, 9, 99)
    assert isinstance(whole, Unreadable)
    assert (whole.position, whole.entries) == (positions[-1], 3)
    log.redact([positions[0]])
    assert log.trim(_END) == 3


def test_a_read_fetches_little_more_than_is_asked_for(logs: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs()
    for _ in range(9):
        log.append([Entry(b"x" * 1000)] * 2)
    fetched: list[int] = []
    fetch = ChunkReader.fetch

    def count(reader: ChunkReader, members: Sequence[Member], /) -> Iterator[tuple[Member, bytes]]:
        fetched.append(len(members))
        return fetch(reader, members)

    monkeypatch.setattr(ChunkReader, "fetch", count)
    for most_entries, most_bytes, entries, chunks in ((100, 5000, 5, 3), (5, 10**6, 5, 3), (100, 10**6, 18, 9)):
        fetched.clear()
        assert len(log.read(0, most_entries, most_bytes)) == entries
        assert sum(fetched) == chunks


def test_how_long_keys_are_known_is_told_by_the_time_since_the_oldest_that_had_to_go(logs: Opener) -> None:
    log = logs(dedup_max_bytes=1)  # so that only a few keys are known
    assert log.dedup_window_s() == 7 * 86_400
    for number in range(40):
        log.append([keyed("a", f"k{number}")])
    assert 0 <= log.dedup_window_s() < 600, "they were appended just now"
