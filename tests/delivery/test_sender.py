"""One try after another against real receivers: what each does, and that none of it costs another receiver anything."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from standardwebhooks.webhooks import Webhook

from headrace.assembly.clock import clock_ms
from headrace.delivery.addresses import parse_networks
from headrace.delivery.client import SocketAddress
from headrace.delivery.sender import Sender
from headrace.delivery.signing import new_secret
from headrace.model.event import Tenant
from headrace.model.webhook import Due, Receiver, Tried
from tests.delivery import receivers
from tests.delivery.receivers import LOOPBACK, Posted, answer

DAY_MS = 86_400_000
SECRET = new_secret()
BODY = b'{"type":"test","timestamp":"2026-01-01T00:00:00Z","data":{}}'
TENANT = Tenant("p", "live")


class Bench:
    """A sender, and what it has tried."""

    def __init__(self, **given: object) -> None:
        self._changed = threading.Condition()
        self._tried: list[Tried] = []
        usual: dict[str, object] = {
            "timeout_s": 30,
            "lane_width": 4,
            "allowed": parse_networks(LOOPBACK),
            "clock_ms": clock_ms,
            "on_tried": self._notify,
            "chance": lambda: 0.5,
        }
        self.sender = Sender(**usual | given)  # type: ignore[arg-type]
        self.sender.start()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def send(self, url: str, count: int = 1, number: int = 1, **fields: object) -> None:
        receiver = Receiver(number=number, id=f"w{number}", tenant=TENANT, url=url, secrets=(SECRET,))
        usual: dict[str, object] = {"receiver": receiver, "body": BODY, "give_up_at_ms": clock_ms() + DAY_MS}
        self.sender.submit(
            [Due(number=each, key=f"k{number}_{each}", **usual | fields) for each in range(count)]  # type: ignore[arg-type]
        )

    def tried(self, count: int = 1) -> list[Tried]:
        """So many tries, once they are done."""

        def enough() -> bool:
            self._tried += self.sender.tried()
            return len(self._tried) >= count

        with self._changed:
            assert self._changed.wait_for(enough, 60), f"{len(self._tried)} of {count}"
        found, self._tried = self._tried, []
        return found

    def once(self, url: str, **fields: object) -> Tried:
        self.send(url, **fields)  # type: ignore[arg-type]
        (tried,) = self.tried()
        return tried


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**given: object) -> Bench:
        made.append(Bench(**given))
        return made[-1]

    yield make
    for bench in made:
        bench.sender.stop()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def test_a_delivery_is_a_signed_post_of_the_body(bench: Bench) -> None:
    with receivers.Receiver() as receiver:
        tried = bench.once(receiver.url)
    assert (tried.delivered, tried.attempt.status, tried.again_at_ms) == (True, 200, 0)
    (posted,) = receiver.posted
    assert posted.line == "POST /hook?to=me HTTP/1.1"
    assert posted.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert posted.headers["content-type"] == "application/json"
    assert posted.body == BODY
    Webhook(SECRET).verify(posted.body, posted.headers)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_means_taken(bench: Bench, status: int) -> None:
    with receivers.Receiver(answer(status) if status != 204 else b"HTTP/1.1 204 No Content\r\n\r\n") as receiver:
        assert bench.once(receiver.url).delivered


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503, 599])
def test_any_other_status_is_tried_again(bench: Bench, status: int) -> None:
    with receivers.Receiver(answer(status, b"no")) as receiver:
        before_ms = clock_ms()
        tried = bench.once(receiver.url)
    assert (tried.delivered, tried.attempt.status) == (False, status)
    assert tried.attempt.problem == f"The receiver answered {status}."
    assert tried.again_at_ms >= before_ms + 5000
    assert not tried.disables


def test_410_ends_it_and_disables_the_webhook(bench: Bench) -> None:
    with receivers.Receiver(answer(410)) as receiver:
        tried = bench.once(receiver.url)
    assert (tried.disables, tried.again_at_ms, tried.attempt.problem) == (True, 0, "The receiver answered 410 Gone.")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(bench: Bench, status: int) -> None:
    with receivers.Receiver() as elsewhere:
        redirect = answer(status, b"", f"Location: {elsewhere.url}")
        with receivers.Receiver(redirect) as receiver:
            tried = bench.once(receiver.url)
        assert elsewhere.connections == 0
    assert tried.attempt.problem == f"The receiver answered {status}; redirects are not followed."


def test_a_receiver_that_asks_to_wait_is_left_alone_for_so_long(bench: Bench) -> None:
    with receivers.Receiver(answer(503, b"", "Retry-After: 600")) as receiver:
        before_ms = clock_ms()
        tried = bench.once(receiver.url)
    assert tried.asked_ms == 600_000
    assert tried.again_at_ms >= before_ms + 600_000
    with receivers.Receiver(answer(500, b"", "Retry-After: 600")) as receiver:
        assert bench.once(receiver.url).asked_ms == 0, "only 429 and 503 are said to be for a while"


def test_the_last_try_is_not_followed_by_another(bench: Bench) -> None:
    with receivers.Receiver(answer(500)) as receiver:
        tried = bench.once(receiver.url, give_up_at_ms=clock_ms() - 1)
    assert (tried.delivered, tried.again_at_ms) == (False, 0)


@pytest.mark.parametrize(
    ("behave", "problem"),
    [
        (receivers.hang, "There was no complete reply within 0.3 s."),
        (receivers.trickle, "The reply"),
        (receivers.reset, "The connection was closed"),
        (lambda _connection, _posted: None, "The connection was closed without a reply."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "There was no complete reply"),
        (b"SSH-2.0-OpenSSH\r\n", "The reply is not HTTP"),
        (b"\x00" * 1000, "The reply is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "The reply's headers have more than"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, "The reply's headers have more than"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            "The receiver answered 101.",
        ),
    ],
    ids=["hangs", "trickles", "resets", "closes", "stops", "no HTTP", "zeros", "headers", "interim", "upgrade"],
)
def test_a_receiver_that_misbehaves_is_tried_again(
    make: Callable[..., Bench], behave: receivers.Behave | bytes, problem: str
) -> None:
    # The others show what they are at once, which on a busy machine takes its time.
    is_awaited = behave is receivers.trickle or problem.startswith("There was no complete reply")
    bench = make(timeout_s=0.3 if is_awaited else 60)
    with receivers.Receiver(behave) as receiver:
        tried = bench.once(receiver.url)
    if behave is receivers.trickle:  # its status is known once more came than is read
        assert tried.delivered or tried.attempt.problem.startswith("There was no complete reply")
        return
    assert not tried.delivered
    assert tried.attempt.problem.startswith(problem)
    assert tried.again_at_ms


@pytest.mark.parametrize("status", [100, 103, 199])
def test_interim_replies_before_the_reply_are_passed_over(bench: Bench, status: int) -> None:
    interim = f"HTTP/1.1 {status} Early Hints\r\nLink: </x>\r\n\r\n"
    with receivers.Receiver(interim.encode() + receivers.OK) as receiver:
        assert bench.once(receiver.url).delivered


def test_a_reply_that_ends_with_the_connection_is_whole(bench: Bench) -> None:
    def reply(connection: socket.socket, _posted: Posted) -> None:
        connection.sendall(b'HTTP/1.0 200 OK\r\n\r\n{"a":1}')

    with receivers.Receiver(reply) as receiver:
        tried = bench.once(receiver.url, reply_to="step")
    assert (tried.delivered, tried.json) == (True, b'{"a":1}')


def test_of_a_reply_of_a_gigabyte_little_is_read(bench: Bench) -> None:
    with receivers.Receiver(receivers.gigabyte) as receiver:
        tried = bench.once(receiver.url, reply_to="step")
        assert tried.delivered, "its status says so"
        assert (tried.json, tried.reply_problem) == (b"", "The reply is larger than 64 KiB, or encoded.")


@pytest.mark.parametrize(
    ("reply", "json", "problem"),
    [
        (answer(200, b' {"a": [1, "\xc3\xa9"]} '), b' {"a": [1, "\xc3\xa9"]} ', ""),
        (answer(200, b"7"), b"7", ""),
        (answer(200, b""), b"", "The reply is empty."),
        (answer(200, b"<p>ok</p>"), b"", "The reply is not JSON."),
        (answer(200, b'"\xff"'), b"", "The reply is not JSON."),
        (answer(200, b"[" * 60_000), b"", "The reply is not JSON."),
        (answer(200, b"{}", "Content-Encoding: gzip"), b"", "The reply is larger than 64 KiB, or encoded."),
        (answer(200, b'"' + b"x" * 65_535 + b'"'), b"", "The reply is larger than 64 KiB, or encoded."),
    ],
)
def test_who_waits_for_a_reply_gets_its_json_or_is_told_why_not(
    bench: Bench, reply: bytes, json: bytes, problem: str
) -> None:
    with receivers.Receiver(reply) as receiver:
        tried = bench.once(receiver.url, reply_to="step")
        assert (tried.delivered, tried.json, tried.reply_problem) == (True, json, problem)
        assert bench.once(receiver.url).json == b"", "and nobody else"


def test_a_receiver_that_is_not_there_is_tried_again(bench: Bench) -> None:
    with socket.socket() as nobody:  # bound, so that nobody else gets the port meanwhile, and not listening
        nobody.bind(("127.0.0.1", 0))
        tried = bench.once(f"http://127.0.0.1:{nobody.getsockname()[1]}/")
    assert tried.attempt.problem.startswith("The connection failed: ")
    assert tried.again_at_ms


def test_https_goes_to_who_has_the_hosts_certificate_and_to_nobody_else(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = make()
    with receivers.Receiver(tls=True) as receiver:
        named, numbered = (f"https://{host}:{receiver.port}/" for host in ("localhost", "127.0.0.1"))
        tried = stranger.once(named)
        assert "certificate verify failed" in tried.attempt.problem
        monkeypatch.setenv("SSL_CERT_FILE", str(receivers.CERTIFICATE))
        bench = make()
        assert "certificate" in bench.once(numbered).attempt.problem
        assert receiver.posted == []
        assert bench.once(named).delivered
        assert bench.once(named).delivered


def test_a_receiver_that_speaks_no_tls_gets_no_delivery(make: Callable[..., Bench]) -> None:
    bench = make(timeout_s=0.5)
    with receivers.Receiver() as receiver:
        assert not bench.once(receiver.url.replace("http:", "https:")).delivered
        assert receiver.posted == []


# Connections


def test_connections_are_used_again(make: Callable[..., Bench]) -> None:
    bench = make(lane_width=2)
    with receivers.Receiver() as receiver:
        bench.send(receiver.url, 50)
        assert all(each.delivered for each in bench.tried(50))
        assert receiver.connections <= 2


def test_a_connection_whose_receiver_changes_to_another_protocol_is_not_used_again(bench: Bench) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    with receivers.Receiver(switching) as receiver:
        for _ in range(2):
            assert bench.once(receiver.url).attempt.problem == "The receiver answered 101."
        assert receiver.connections == 2


def test_a_kept_connection_that_the_receiver_has_closed_costs_no_try(bench: Bench) -> None:
    def reply_and_close(connection: socket.socket, _posted: Posted) -> None:
        connection.sendall(receivers.OK)

    with receivers.Receiver(reply_and_close) as receiver:
        for _ in range(20):
            assert bench.once(receiver.url).delivered


# Addresses


def resolving(*answers: Sequence[str]) -> Callable[[str, int], object]:
    """Looks up as a hostile DNS server does: another answer each time."""
    left = list(answers)

    async def resolve(_host: str, port: int) -> list[tuple[int, SocketAddress]]:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6, (each, port, 0, 0)) if ":" in each else (socket.AF_INET, (each, port))
            for each in addresses
        ]

    return resolve


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1"])
def test_a_name_that_leads_inside_is_refused_at_each_try(make: Callable[..., Bench], address: str) -> None:
    bench = make(allowed=(), resolve=resolving([address]))
    with receivers.Receiver() as receiver:
        for _ in range(2):
            tried = bench.once(f"http://hook.example:{receiver.port}/")
            assert f"hook.example leads to {address}, which is not allowed" in tried.attempt.problem
            assert tried.again_at_ms, "its owner may put that right"
        assert receiver.connections == 0


def test_a_name_that_is_first_public_and_then_private_leads_nowhere(make: Callable[..., Bench]) -> None:
    """The check and the connection are of one look-up: a second one, which could say otherwise, does not happen."""
    bench = make(allowed=parse_networks("127.0.0.1/32"), resolve=resolving(["127.0.0.1"], ["127.0.0.2"]))
    with receivers.Receiver() as receiver:
        assert bench.once(f"http://hook.example:{receiver.port}/").delivered
        assert receiver.connections == 1
        receiver.behave = lambda _connection, _posted: None
        bench.once(f"http://hook.example:{receiver.port}/")
        tried = bench.once(f"http://hook.example:{receiver.port}/")
        assert "127.0.0.2" in tried.attempt.problem


def test_of_several_addresses_only_the_allowed_are_connected_to(make: Callable[..., Bench]) -> None:
    bench = make(allowed=parse_networks("127.0.0.1/32"), resolve=resolving(["127.0.0.2", "::1", "127.0.0.1"]))
    with receivers.Receiver() as receiver:
        assert bench.once(f"http://hook.example:{receiver.port}/").delivered


def test_a_url_that_was_allowed_when_it_was_set_is_checked_again(make: Callable[..., Bench]) -> None:
    bench = make(allowed=())
    with receivers.Receiver() as receiver:
        assert "127.0.0.1, which is not allowed" in bench.once(receiver.url).attempt.problem
        for spelt in ("localhost", "0x7f.1", "2130706433", "127.1"):
            tried = bench.once(f"http://{spelt}:{receiver.port}/")
            assert "not allowed" in tried.attempt.problem, spelt
        assert receiver.connections == 0


def test_a_name_that_does_not_resolve_is_tried_again(bench: Bench) -> None:
    tried = bench.once("http://no-such-host.invalid/")
    assert tried.attempt.problem.startswith("The connection failed: ")
    assert tried.again_at_ms


def test_a_look_up_that_hangs_ends_with_the_try(make: Callable[..., Bench]) -> None:
    async def resolve(_host: str, _port: int) -> list[tuple[int, SocketAddress]]:
        import asyncio

        await asyncio.sleep(60)
        return []

    bench = make(timeout_s=0.1, resolve=resolve)
    assert bench.once("http://hook.example/").attempt.problem == "There was no complete reply within 0.1 s."


# Receivers do not cost each other anything


@pytest.mark.parametrize("behave", [receivers.hang, receivers.trickle], ids=["hangs", "trickles"])
def test_a_receiver_that_hangs_delays_nobody_else(bench: Bench, behave: receivers.Behave) -> None:
    with receivers.Receiver(behave) as dead, receivers.Receiver() as alive:
        bench.send(dead.url, 100, number=1)
        dead.wait_for(lambda: len(dead.posted) >= 4)
        bench.send(alive.url, 100, number=2)
        assert all(each.due.receiver.number == 2 for each in bench.tried(100))
        assert len(dead.posted) == 4, "one receiver has so many tries at once, and no more"


def test_many_receivers_that_hang_leave_room_for_the_others(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.delivery.sender.MOST_AT_ONCE", 20)
    bench = make(lane_width=5)
    with receivers.Receiver(receivers.hang) as dead, receivers.Receiver() as alive:
        for number in range(8):
            bench.send(dead.url, 50, number=number)
        dead.wait_for(lambda: len(dead.posted) >= 10)
        bench.send(alive.url, 50, number=99)
        assert {each.due.receiver.number for each in bench.tried(50)} == {99}
        assert bench.sender.at_once() <= 20


def test_what_is_recalled_is_not_begun(make: Callable[..., Bench]) -> None:
    go_on = threading.Event()

    def wait(_connection: socket.socket, _posted: Posted) -> bytes:
        go_on.wait(60)
        return receivers.OK

    bench = make(lane_width=1)
    with receivers.Receiver(wait) as receiver:
        bench.send(receiver.url, 10)
        receiver.wait_for(lambda: len(receiver.posted) == 1)
        bench.sender.recall(1)
        bench.sender.recall(2)
        go_on.set()
        bench.tried(1)
        bench.send(receiver.url, 1, number=7)
        bench.tried(1)
        assert sorted(bench.sender.returned()) == [(1, number) for number in range(1, 10)]
        assert len(receiver.posted) == 2


def test_a_receiver_that_keeps_failing_gives_back_what_waits_and_each_of_its_tries_is_told_of(
    make: Callable[..., Bench],
) -> None:
    told = threading.Semaphore(0)
    bench = make(lane_width=1, on_tried=told.release)
    with receivers.Receiver(answer(500)) as failing, receivers.Receiver() as other:
        bench.send(failing.url, 9)
        assert all(told.acquire(timeout=60) for _ in range(5))
        assert bench.sender.returned() == [(1, number) for number in range(5, 9)]
        bench.send(other.url, 1, number=2)
        assert told.acquire(timeout=60)
        assert (len(failing.posted), len(other.posted)) == (5, 1)


def test_when_it_stops_tries_under_way_may_end_and_those_that_hang_are_cut_off(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.delivery.sender._STOP_S", 0.2)
    bench = make(lane_width=1)
    with receivers.Receiver(receivers.hang) as dead, receivers.Receiver() as alive:
        bench.send(alive.url, 1, number=1)
        bench.tried(1)
        bench.send(dead.url, 5, number=2)
        dead.wait_for(lambda: len(dead.posted) == 1)
        began = time.monotonic()
        bench.sender.stop()
        assert time.monotonic() - began < 30
        assert bench.sender.tried() == [], "they are made again after the next start"
        assert len(dead.posted) == 1
