"""Counts what each key is used for, in memory: an addition for each request that is admitted. Asks and decides nothing.

Bookkeeping takes the counts once a minute and adds them to control's. What a killed server has not written is lost, and nothing
else.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock

from headrace.model.keys import OPERATORS_KEY, KeyUse

TOGETHER_MS = 600_000
KEPT_MS = 86_400_000
MOST_CLIENTS = 20  # of a key, by name, in the time that is counted together: clients choose their names
OTHERS = "others"
_CLIENT_CHARS = 60
_CONVERTER = re.compile(r":\w+(?=})")  # of a template's placeholder


class KeyUses:
    """`note` is for the event loop; any thread may call the rest.

    writing: hold it from `take` until control has what was taken, and to read both: otherwise a reader misses what is on its way.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        # By key, kind of request, method, path's template, and the client's name.
        self._counts: dict[tuple[str, str, str, str, str], int] = {}
        self._clients: dict[str, set[str]] = {}  # by key
        self._since_ms = clock_ms()  # since when those are known
        self._lock = Lock()
        self.writing = Lock()

    def note(self, key_id: str, kind: str, method: str, template: str, agent: str, /) -> None:
        """A request was admitted. agent: its User-Agent, of which only the first word counts: pages of browsers look alike."""
        client = agent.partition(" ")[0][:_CLIENT_CHARS]
        with self._lock:
            alike = key_id, kind, method, template, client
            if alike in self._counts:
                self._counts[alike] += 1
            elif key_id != OPERATORS_KEY:  # which nobody revokes
                alike = key_id, kind, method, template, self._named(key_id, client)
                self._counts[alike] = self._counts.get(alike, 0) + 1

    def take(self) -> list[KeyUse]:
        """What was noted since the last call."""
        now_ms = self._clock_ms()
        with self._lock:
            counts, self._counts = self._counts, {}
            if now_ms - self._since_ms >= TOGETHER_MS:
                self._clients, self._since_ms = {}, now_ms
        return _uses(counts, now_ms)

    def pending(self, key_id: str, /) -> list[KeyUse]:
        """What was noted of a key and not taken yet."""
        with self._lock:
            counts = {alike: count for alike, count in self._counts.items() if alike[0] == key_id}
        return _uses(counts, self._clock_ms())

    def _named(self, key_id: str, client: str) -> str:
        known = self._clients.setdefault(key_id, set())
        if client not in known and len(known) >= MOST_CLIENTS:
            return OTHERS
        known.add(client)
        return client


def _uses(counts: dict[tuple[str, str, str, str, str], int], now_ms: int) -> list[KeyUse]:
    from_ms = now_ms - now_ms % TOGETHER_MS
    # Two names may look the same once what nobody can see in them is gone.
    found = Counter[tuple[str, str, str, str]]()
    for (key_id, kind, method, template, client), count in counts.items():
        route = f"{method} {_CONVERTER.sub('', template)}"
        found[key_id, kind, route, "".join(c for c in client if c.isprintable())] += count
    return [
        KeyUse(key_id, from_ms, kind, route, client, n, now_ms) for (key_id, kind, route, client), n in found.items()
    ]


def together(uses: Sequence[KeyUse], /) -> list[KeyUse]:
    """Uses of a key that differ only in their times, added up: the most requests first."""
    found: dict[tuple[str, str, str], KeyUse] = {}
    for each in uses:
        alike = each.kind, each.route, each.client
        known = found.get(alike)
        found[alike] = (
            each
            if known is None
            else KeyUse(
                *(each.key_id, min(known.from_ms, each.from_ms), *alike),
                known.requests + each.requests,
                max(known.last_ms, each.last_ms),
            )
        )
    return sorted(found.values(), key=lambda each: (-each.requests, each.kind, each.route, each.client))
