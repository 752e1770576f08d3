"""Holds in the store which ids go by another id of their person, for the time of the questions about people."""

import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import TypeAlias

import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.model.event_queries import MAX_MERGED
from headrace.ports.store import StoreFailed
from headrace.store.engine import Handles
from headrace.store.queries import merged
from headrace.store.queries.place import ONE_SERVER, Place

MergedIds: TypeAlias = Callable[[Tenant], Iterable[Sequence[tuple[str, str]]]]
"""A tenant's ids that go by another id, each with that one, in some fixed order; a page at a time. Raises Unavailable."""

_LOAD_AGAIN_S = 24 * 3600  # the table keeps an edition twice as long
_encoder = msgspec.json.Encoder()


class _Edition:
    """What is loaded of one tenant's ids: how many questions use it, and whether there is a newer one."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.number = secrets.randbits(62)
        self.loaded_at = time.monotonic()
        self.ready = threading.Event()
        self.users = self.rows = 0
        self.replaced = False


class Merged(msgspec.Struct, frozen=True):
    """edition: None where nobody has merged ids, or too many have to tell; `complete` says which."""

    edition: int | None
    complete: bool = True


class MergedEditions:
    """Any thread may call it. Each edition is loaded once, and dropped when it is replaced and nobody uses it."""

    def __init__(
        self,
        writers: Handles,
        merged_ids: MergedIds,
        *,
        may_vanish: bool = False,
        place: Place = ONE_SERVER,
        inserting: Callable[[], dict[str, object]] = dict,
    ) -> None:
        """may_vanish: another process may drop an edition of this one, as `forget` drops those that it does not know.

        inserting: settings of an insert.
        """
        self._writers = writers
        self._place = place
        self._inserting = inserting
        self._merged_ids = merged_ids
        self._may_vanish = may_vanish
        self._of_tenant: dict[Tenant, _Edition] = {}
        self._live: set[int] = set()  # numbers of editions that were begun and not dropped
        self._lock = threading.Lock()

    @contextmanager
    def using(self, tenant: Tenant, /) -> Generator[Merged]:
        """Within it, the tenant's merged ids as of now are in the store. Raises Unavailable."""
        digest, count = blake2b(digest_size=16), 0
        for page in self._merged_ids(tenant):
            digest.update(_encoder.encode(page))
            count += len(page)
            if count > MAX_MERGED:
                yield Merged(None, complete=False)
                return
        if not count:
            yield Merged(None)
            return
        edition = self._take(tenant, digest.digest())
        try:
            yield Merged(edition.number)
            if self._may_vanish:
                self._require_there(tenant, edition)  # behind the question: what is there now was there all the time
        finally:
            self._give_back(edition)

    def forget(self, tenant: Tenant, /) -> None:
        """Drop what is loaded of a tenant's ids as soon as no question uses it, and what killed processes left.

        Raises Unavailable.
        """
        with self._lock:
            known = self._of_tenant.pop(tenant, None)
            if known:
                known.replaced = True
            unused = known is not None and not known.users
        if known and unused:
            self._drop(known)
        try:
            with self._writers.lend() as client:
                found = client.raw_query(merged.editions().sql, fmt="TabSeparated").decode().split()
                with self._lock:
                    left = sorted(set(map(int, found)) - self._live)
                for number in left:
                    client.command(merged.drop(number, self._place).sql)
        except ClickHouseError as error:
            raise Unavailable("The store did not answer.") from error

    def _take(self, tenant: Tenant, digest: bytes) -> _Edition:
        with self._lock:
            known = self._of_tenant.get(tenant)
            if known and known.digest == digest and time.monotonic() - known.loaded_at < _LOAD_AGAIN_S:
                known.users += 1
                edition, is_new = known, False
            else:
                edition, is_new = _Edition(digest), True
                edition.users = 1
                self._of_tenant[tenant] = edition
                self._live.add(edition.number)
                if known:
                    known.replaced = True
        if is_new:
            if known and not known.users:
                self._drop(known)
            try:
                found = self._load(edition, tenant)
            except BaseException:
                self._fail(tenant, edition)
                raise
            with self._lock:
                edition.digest = found  # of what was loaded, should it have changed since it was looked at
            edition.ready.set()
        elif not edition.ready.wait(timeout=60) or (edition.replaced and not edition.digest):
            self._give_back(edition)
            raise Unavailable("The people's ids could not be loaded.")
        return edition

    def _require_there(self, tenant: Tenant, edition: _Edition) -> None:
        """Raises Unavailable if the edition is gone; then the next question loads it anew."""
        query = merged.rows(edition.number)
        try:
            with self._writers.lend() as client:
                found = int(client.raw_query(query.sql, parameters=query.params, fmt="TabSeparated"))
        except ClickHouseError as error:
            raise Unavailable("The store did not answer.") from error
        if found == edition.rows:
            return
        with self._lock:
            if self._of_tenant.get(tenant) is edition:
                del self._of_tenant[tenant]
            edition.replaced = True
        raise Unavailable("People were erased meanwhile. Ask again.")

    def _load(self, edition: _Edition, tenant: Tenant) -> bytes:
        digest = blake2b(digest_size=16)
        try:
            for page in self._merged_ids(tenant):
                digest.update(_encoder.encode(page))
                edition.rows += len(page)
                rows = b"\n".join(_encoder.encode((edition.number, *pair)) for pair in page)
                with self._writers.lend() as client:
                    client.raw_insert(
                        "merged_ids",
                        merged.COLUMNS,
                        insert_block=rows,
                        fmt="JSONCompactEachRow",
                        settings=self._inserting(),
                    )
        except (ClickHouseError, OSError, StoreFailed) as error:
            raise Unavailable("The store did not answer.") from error
        return digest.digest()

    def _fail(self, tenant: Tenant, edition: _Edition) -> None:
        """Let those who wait for it know, and the next question load it anew."""
        with self._lock:
            if self._of_tenant.get(tenant) is edition:
                del self._of_tenant[tenant]
            edition.replaced, edition.digest = True, b""
        edition.ready.set()
        self._give_back(edition)

    def _give_back(self, edition: _Edition) -> None:
        with self._lock:
            edition.users -= 1
            unused = edition.replaced and not edition.users
        if unused:
            self._drop(edition)

    def _drop(self, edition: _Edition) -> None:
        with self._lock:
            self._live.discard(edition.number)
        try:
            with self._writers.lend() as client:
                client.command(merged.drop(edition.number, self._place).sql)
        except ClickHouseError:
            pass  # it goes after two days by itself
