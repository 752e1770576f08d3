"""The connection to a Valkey server: its URL, what it must be set to, and what its errors mean. Knows no entries."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import structlog
import valkey
from valkey import exceptions as errors
from valkey.backoff import NoBackoff
from valkey.retry import Retry

from headrace.log.valkey.chunks import together
from headrace.model.errors import SettingsError, Unavailable

_log = structlog.get_logger("headrace.log")
Durability = Literal["fsync", "everysec", "memory", "unchecked"]
_PROMISES: dict[str, str] = {
    "fsync": "every acknowledged event is on disk",
    "everysec": "the events of the last second or two are lost with the machine",
    "memory": "acknowledged events are lost when the server ends",
    "unchecked": "whether events are on disk cannot be looked up",
}
_PROMISED_BY: dict[str, Durability] = {"always": "fsync", "everysec": "everysec", "no": "memory"}
_ACCEPTED: dict[str, tuple[str, ...]] = {
    "fsync": ("fsync",),
    "unchecked": ("fsync", "unchecked"),
    "everysec": ("fsync", "everysec"),
    "memory": ("fsync", "everysec", "memory", "unchecked"),
}
_OLDEST = (7, 2)  # WAITAOF; 9.1 is what the tests run
_TIMEOUT_S, _CONNECT_TIMEOUT_S = 5.0, 3.0
_MOST_CONNECTIONS = 64
_PORT = 6379
_TEXT = (Path(__file__).parent / "functions.lua").read_text()
# Named after their text, so that two versions of this program work on one server, each with its own.
LIBRARY = f"headrace_{sha256(_TEXT.encode()).hexdigest()[:12]}"
_MADE_WITH = re.compile(r"HEADRACE_PARTITIONS (\d+)")
_NOT_RESPONDING = "The log is not responding."


class LogLost(Unavailable):
    """The server has no log any more, or another one."""


class LogServer:
    """A Valkey server, for any number of threads. Each command is sent once: an append that is sent again may be there twice."""

    def __init__(self, url: str, *, name: str = "headrace", replicas: int = 0, replica_timeout_s: float = 2.0) -> None:
        """Does not connect yet. name: of the log; two on one server have two.

        replicas: how many must have what a call has written on disk before the call returns.
        Raises SettingsError for a malformed URL.
        """
        parts = _parsed(url)
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._replicas = replicas
        self._replica_timeout_s = replica_timeout_s
        self._waits_locally = 1
        slot = "{" + name + "}"
        self.state, self.index, self.chunks = f"{slot}:state", f"{slot}:index", f"{slot}:chunks"
        self.rings = [f"{slot}:keys{ring}" for ring in range(4)]
        self._keys = [self.state, self.index, self.chunks, *self.rings]
        self._slot = slot
        connection = valkey.SSLConnection if parts.scheme == "valkeys" else valkey.Connection
        self._pool = valkey.BlockingConnectionPool(
            max_connections=_MOST_CONNECTIONS,
            timeout=round(_TIMEOUT_S),
            connection_class=connection,
            host=parts.hostname,
            port=parts.port or _PORT,
            db=int(parts.path[1:] or 0),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_keepalive=True,
            client_name="headrace",
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            retry_on_error=[],
        )
        self._client: Any = valkey.Valkey(connection_pool=self._pool)
        self._fails = False

    def require_usable(self, accepted: str, /) -> Durability:
        """Check how the server is set up. Returns what it promises. accepted: the least that is.

        Raises SettingsError, naming the variable and the remedy.
        """
        try:
            info: dict[str, Any] = self._client.info()
        except (errors.AuthenticationError, errors.AuthorizationError):
            raise self.refusal("it refuses the user name or the password; check both in the URL") from None
        except errors.NoPermissionError:
            raise self.refusal("its user may not run INFO; grant +info +fcall +function, and ~* for the keys") from None
        except (errors.ValkeyError, OSError) as error:
            raise self.refusal(f"{_said(error)}; check host and port, and that it runs") from None
        if problem := problem_of(info):
            raise self.refusal(problem)
        found = self._durability(info)
        if found not in _ACCEPTED[accepted]:
            remedy = {
                "unchecked": "its user may not run CONFIG GET: grant +config|get, or set HEADRACE_LOG_DURABILITY=unchecked "
                "if you know that it has `appendonly yes` and `appendfsync always`",
            }.get(
                found,
                "set `appendonly yes` and `appendfsync always` there, or accept that with "
                f"HEADRACE_LOG_DURABILITY={found}",
            )
            raise self.refusal(f"{_PROMISES[found]}; {remedy}")
        self._waits_locally = 0 if found == "memory" else 1
        self._load()
        return found

    def state_of(self, *fields: str) -> list[Any]:
        """Fields of the log's state; None for one that is not set. Raises Unavailable."""
        return self.run(lambda client: client.hmget(self.state, fields))

    def last_position(self) -> int:
        """The position of the log's last entry; 0 if there is no log. Raises Unavailable."""
        ms, low = self.state_of("ms", "low")
        return together(int(ms or 0), int(low or 0))

    def max_memory_bytes(self) -> int:
        """How much memory the server may use; 0: any amount. Raises Unavailable."""
        return int(self.run(lambda client: client.info("memory")).get("maxmemory", 0))

    def refusal(self, problem: str) -> SettingsError:
        return SettingsError(f"HEADRACE_LOG_URL: The log at {self.shown} cannot be used: {problem}.")

    def wrong_partitions(self, made_with: int, /) -> SettingsError:
        return SettingsError(
            f"HEADRACE_LOG_PARTITIONS: The log at {self.shown} was made with {made_with}, which cannot change: set it to "
            f"{made_with}, or name another database number in HEADRACE_LOG_URL for a new log."
        )

    def _durability(self, info: dict[str, Any]) -> Durability:
        if not info.get("aof_enabled"):
            return "memory"
        try:
            policy: str = self._client.config_get("appendfsync").get("appendfsync", "")
        except errors.ResponseError:
            return "unchecked"
        return _PROMISED_BY.get(policy, "unchecked")

    def _load(self) -> None:
        text = f"#!lua name={LIBRARY}\n" + _TEXT.replace("@LIBRARY@", LIBRARY)
        try:
            self._client.function_load(text)
        except errors.NoPermissionError:
            raise self.refusal("its user may not load functions; grant +function|load") from None
        except errors.ResponseError as error:
            if "already exists" not in str(error):
                raise self.refusal(f"it does not take the log's functions: {error}") from None
        except (errors.ValkeyError, OSError) as error:
            raise self.refusal(_said(error)) from None

    def call(self, function: str, *args: object, lasting: bool = False) -> Any:
        """Call one of the log's functions. lasting: wait until the replicas have what it wrote. Raises Unavailable."""
        try:
            return self.run(partial(self._call, function, args, lasting))
        except errors.ResponseError as error:
            if "Function not found" not in str(error):
                raise self._failed(error) from None
        try:
            self._load()
        except SettingsError as error:
            raise Unavailable(_NOT_RESPONDING, retry_after_s=5) from error
        return self.run(partial(self._call, function, args, lasting))  # it did not run before

    def name_of(self, purpose: str, /) -> str:
        """The name of a key or a channel beside the log's own."""
        return f"{self._slot}:{purpose}"

    def spend(self, purpose: str, window_ms: int, most: int, /) -> tuple[bool, int, int]:
        """Count a use within a sliding window, if it has room: whether it had, the uses in it, and the ms until its first leaves.

        Raises Unavailable.
        """
        key = self.name_of(purpose)
        allowed, used, left_ms = self.run(lambda client: client.fcall(f"{LIBRARY}_spend", 1, key, window_ms, most))
        return bool(allowed), int(used), int(left_ms)

    def publish(self, purpose: str, message: bytes, /) -> None:
        """Tell everybody who listens now; nothing is kept. Raises Unavailable."""
        self.run(lambda client: client.publish(self.name_of(purpose), message))

    def listen(self, purpose: str, /) -> "Subscription":
        """What is published from now on. Raises Unavailable."""
        try:
            return Subscription(self, self._client.pubsub(ignore_subscribe_messages=True), self.name_of(purpose))
        except (errors.ValkeyError, OSError) as error:
            raise self._failed(error) from None

    def _call(self, function: str, args: tuple[object, ...], lasting: bool, client: Any) -> Any:
        if not (lasting and self._replicas):
            return client.fcall(f"{LIBRARY}_{function}", len(self._keys), *self._keys, *args)
        with client.pipeline(transaction=False) as both:  # on one connection, whose writes WAITAOF waits for
            both.fcall(f"{LIBRARY}_{function}", len(self._keys), *self._keys, *args)
            both.execute_command("WAITAOF", self._waits_locally, self._replicas, round(self._replica_timeout_s * 1000))
            answer, synced = both.execute(raise_on_error=False)
        for each in (answer, synced):
            if isinstance(each, Exception):
                raise each
        if int(synced[1]) < self._replicas:
            raise Unavailable("The log's replicas do not have this on disk in time.", retry_after_s=5)
        return answer

    def run(self, work: Callable[[Any], Any], /) -> Any:
        """Run commands, given a client. Raises Unavailable, and ResponseError for an answer that says what is wrong."""
        try:
            answer = work(self._client)
        except errors.ResponseError as error:
            if "Function not found" in str(error):
                raise
            raise self._failed(error) from None
        except (errors.ValkeyError, OSError) as error:
            raise self._failed(error) from None
        if self._fails:
            self._fails = False
            _log.info("log_responds_again", log=self.shown)
        return answer

    def failed(self, error: Exception, /) -> Unavailable | SettingsError:
        """The exception to raise for an error of the driver."""
        return self._failed(error)

    def _failed(self, error: Exception) -> Unavailable | SettingsError:
        text = str(error)
        if "HEADRACE_OTHER" in text:
            return self.refusal(
                "it holds the log of another headrace server; name another database number at the URL's end, such as /1"
            )
        if "HEADRACE_FORMAT" in text:
            return self.refusal("a newer headrace made the log; run that version")
        if (found := _MADE_WITH.search(text)) is not None:
            return self.wrong_partitions(int(found[1]))
        if "HEADRACE_FULL" in text:
            return Unavailable("The log is full: the store has not caught up yet.", retry_after_s=5)
        if not self._fails:
            self._fails = True
            _log.error("log_fails", log=self.shown, why=_said(error))
        if "HEADRACE_LOST" in text:
            return LogLost("The log's server has lost the log: restart this server to begin a new one.")
        if isinstance(error, errors.OutOfMemoryError):
            return Unavailable("The log's server is out of memory.", retry_after_s=5)
        if isinstance(error, errors.ReadOnlyError):  # it has become a replica: look up the name again
            self._pool.disconnect()
        return Unavailable(_NOT_RESPONDING, retry_after_s=5)

    def close(self) -> None:
        self._client.close()
        self._pool.disconnect()


class Subscription:
    """What others publish, for one thread."""

    def __init__(self, server: LogServer, listening: Any, channel: str) -> None:
        self._server = server
        self._listening = listening
        self._listening.subscribe(channel)

    def next(self, timeout_s: float, /) -> bytes | None:
        """The next message; None if none comes in time. Raises Unavailable, and is of no use after that."""
        try:
            message = self._listening.get_message(timeout=timeout_s)
        except (errors.ValkeyError, OSError) as error:
            raise self._server.failed(error) from None
        return None if message is None else message["data"]

    def close(self) -> None:
        with suppress(errors.ValkeyError, OSError):
            self._listening.close()


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("valkey", "valkeys") and parts.hostname and (parts.port or _PORT)
        if is_good and (parts.path in ("", "/") or parts.path[1:].isdecimal()) and not parts.query:
            return parts
    except ValueError:
        pass
    # Without the URL, which holds a password.
    raise SettingsError("HEADRACE_LOG_URL: Expected valkey://user:password@host:6379/0, or valkeys:// for TLS.")


def _said(error: Exception) -> str:
    """What a library's error says, in one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def problem_of(info: dict[str, Any], /) -> str:
    """What keeps the log from a server that says this of itself, in answer to INFO; "" for nothing."""
    version = str(info.get("valkey_version") or "")
    if not version:
        return "it is not Valkey; name a Valkey server"
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        return f"it is Valkey {version}; use {'.'.join(map(str, _OLDEST))} or newer"
    if "sentinel" in (info.get("valkey_mode"), info.get("redis_mode"), info.get("server_mode")):
        return "it is a Sentinel, which holds no data; name the primary that it watches"
    if info.get("cluster_enabled"):
        return "it is a node of a cluster; name a server that is not (`cluster-enabled no`)"
    if info.get("role") != "master":
        return "it is a replica, which takes no writes; name the primary"
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        return f"it evicts keys when memory is short, and with them events; set `maxmemory-policy noeviction` (it is {policy})"
    return ""
