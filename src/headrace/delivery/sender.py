"""Tries deliveries on an event loop in its own thread, a limited number at a time for each receiver. Knows no database.

Each receiver has a lane: a queue and a number of concurrent tries. So a slow or dead receiver occupies only its own lane. Half of
all slots are given out freely; of the other half each lane gets one, so that slow receivers leave room for the others.
"""

import asyncio
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import uvloop

from headrace import __version__
from headrace.delivery.addresses import Network, parse_url
from headrace.delivery.client import Client, NotAllowed, Resolve, SocketAddress
from headrace.delivery.connection import Answer, BrokenReply
from headrace.delivery.retries import asked_pause_ms, next_try_ms
from headrace.delivery.signing import signature_headers
from headrace.model.errors import InvalidRequest
from headrace.model.webhook import Attempt, Due, Tried

MOST_AT_ONCE = 500
ENOUGH_FAILURES = 5  # consecutive failures of a receiver, after which it is left alone for a while
_RESOLVERS = 32  # threads; a hanging look-up occupies one for about half a minute
_GONE = 410
_ASKED_TO_WAIT = (429, 503)
_STOP_S = 2.0  # for running tries when the server stops; one that is cut off is repeated after the next start
_HEADERS = {"Content-Type": "application/json", "User-Agent": f"headrace/{__version__}"}


class _Lane:
    def __init__(self) -> None:
        self.queue: deque[Due] = deque()
        self.running = 0


class Sender:
    """Any thread may call the public methods."""

    def __init__(
        self,
        *,
        timeout_s: float,
        lane_width: int,
        allowed: Sequence[Network],
        clock_ms: Callable[[], int],
        on_tried: Callable[[], None],
        resolve: Resolve | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """timeout_s: for a whole try, from the DNS lookup to the end of the reply. lane_width: concurrent tries per receiver.

        on_tried: called after each try from the sender's thread. chance: for the jitter of retries.
        """
        self._timeout_s = timeout_s
        self._lane_width = lane_width
        self._allowed = allowed
        self._clock_ms = clock_ms
        self._on_tried = on_tried
        self._chance = chance
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")
        self._resolve: Resolve = resolve or self._look_up
        self._lanes: dict[int, _Lane] = {}
        self._failures: dict[int, int] = {}  # by receiver: how many tries have failed since one that did not
        self._tried: deque[Tried] = deque()
        self._returned: deque[tuple[int, int]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._is_closing = False
        self._ready = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Start no more tries, give the running ones a moment, and stop."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def submit(self, due: Sequence[Due], /) -> None:
        """Try these deliveries, in the given order as far as their lanes allow."""
        self._loop.call_soon_threadsafe(self._accept, due)

    def tried(self) -> list[Tried]:
        """The outcomes since the last call."""
        found: list[Tried] = []
        while self._tried:
            found.append(self._tried.popleft())
        return found

    def recall(self, receiver: int, /) -> None:
        """Do not start the deliveries waiting in a receiver's lane. `returned` gives them back."""
        self._loop.call_soon_threadsafe(self._give_back, receiver)

    def returned(self) -> list[tuple[int, int]]:
        """(receiver, delivery) of the deliveries recalled since the last call, by number."""
        found: list[tuple[int, int]] = []
        while self._returned:
            found.append(self._returned.popleft())
        return found

    def at_once(self) -> int:
        """How many tries are running."""
        return len(self._running)

    # Everything below runs in the sender's thread.

    def _run(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._client = Client(self._allowed, self._resolve, self._lane_width)
        self._loop.call_soon(self._ready.set)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _end(self) -> None:
        self._is_closing = True
        self._ending = self._loop.create_task(self._finish())

    async def _finish(self) -> None:
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_STOP_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._client.close()
        await asyncio.sleep(0)  # so that the transports close before the loop does
        self._loop.stop()

    def _accept(self, due: Sequence[Due]) -> None:
        for each in due:
            self._lanes.setdefault(each.receiver.number, _Lane()).queue.append(each)
        self._begin()

    def _give_back(self, receiver: int) -> None:
        lane = self._lanes.get(receiver)
        while lane and lane.queue:
            self._returned.append((receiver, lane.queue.popleft().number))

    def _begin(self) -> None:
        """Start all tries that may start."""
        if self._is_closing:
            return
        for number in [number for number, lane in self._lanes.items() if lane.queue or not lane.running]:
            lane = self._lanes[number]
            while lane.queue and self._has_place(lane):
                lane.running += 1
                task = self._loop.create_task(self._try(lane, lane.queue.popleft()))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            if not lane.queue and not lane.running:
                del self._lanes[number]

    def _has_place(self, lane: _Lane) -> bool:
        if len(self._running) >= MOST_AT_ONCE:
            return False
        return lane.running < (self._lane_width if len(self._running) < MOST_AT_ONCE // 2 else 1)

    async def _try(self, lane: _Lane, due: Due) -> None:
        try:
            tried = await self._tried_once(due)
        except asyncio.CancelledError:  # the server is stopping: treat it like a crash
            return
        finally:
            lane.running -= 1
        self._tried.append(tried)
        self._note(due.receiver.number, tried.delivered)
        self._on_tried()
        if lane.queue and len(self._running) < MOST_AT_ONCE // 2:
            lane.running += 1
            task = self._loop.create_task(self._try(lane, lane.queue.popleft()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        else:
            self._loop.call_soon(self._begin)

    def _note(self, receiver: int, delivered: bool) -> None:
        """Return the deliveries waiting for a receiver that keeps failing: they would fail as fast as they can be sent."""
        if delivered:
            self._failures.pop(receiver, None)
            return
        self._failures[receiver] = self._failures.get(receiver, 0) + 1
        if self._failures[receiver] >= ENOUGH_FAILURES:
            self._give_back(receiver)

    async def _tried_once(self, due: Due) -> Tried:
        at_ms, began = self._clock_ms(), time.perf_counter()
        answer, problem = await self._post(due, at_ms)
        now_ms = self._clock_ms()
        took_ms = int((time.perf_counter() - began) * 1000)
        status = answer.status if answer else 0
        attempt = Attempt(at_ms, took_ms, status, problem)
        if answer and not problem:
            json, reply_problem = _reply(answer) if due.reply_to else (b"", "")
            return Tried(due=due, attempt=attempt, json=json, reply_problem=reply_problem)
        if status == _GONE:
            return Tried(due=due, attempt=attempt, disables=True)
        asked_ms = asked_pause_ms(answer.retry_after, now_ms) if answer and status in _ASKED_TO_WAIT else 0
        again_at_ms = next_try_ms(due.tries + 1, now_ms, due.give_up_at_ms, asked_ms, self._chance())
        return Tried(due=due, attempt=attempt, again_at_ms=again_at_ms, asked_ms=asked_ms)

    async def _post(self, due: Due, at_ms: int) -> tuple[Answer | None, str]:
        """The answer, if there was one, and the problem, or "". Raises only CancelledError."""
        receiver = due.receiver
        headers = _HEADERS | signature_headers(receiver.secrets, due.key, at_ms // 1000, due.body)
        try:
            target = parse_url(receiver.url, self._allowed)
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.post(target, headers, due.body)
        except TimeoutError:
            return None, f"There was no complete reply within {self._timeout_s:g} s."
        except (NotAllowed, BrokenReply) as error:
            return None, str(error)
        except InvalidRequest as error:
            return None, error.message
        except OSError as error:
            return None, f"The connection failed: {_reason(error)}."
        except Exception as error:  # noqa: BLE001  a receiver's doing; it must cost no other receiver
            return None, f"The attempt failed: {type(error).__name__}: {error}"[:300]
        return answer, _problem_of(answer.status)

    async def _look_up(self, host: str, port: int) -> list[tuple[int, SocketAddress]]:
        found = await self._loop.run_in_executor(
            self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [(family, address) for family, _, _, _, address in found]


def _problem_of(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if status == _GONE:
        return "The receiver answered 410 Gone."
    if 300 <= status < 400:
        return f"The receiver answered {status}; redirects are not followed."
    return f"The receiver answered {status}."


def _reply(answer: Answer) -> tuple[bytes, str]:
    """The reply's JSON, or the reason why there is none."""
    if answer.is_cut:
        return b"", "The reply is larger than 64 KiB, or encoded."
    if not answer.body.strip():
        return b"", "The reply is empty."
    try:
        msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b"", "The reply is not JSON."
    return answer.body, ""


def _reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")[:200]
