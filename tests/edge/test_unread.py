"""Replies that nobody reads: a time limit for each, and one in bytes for all."""

import asyncio
from typing import Any

import pytest

from headrace.http.unread import Unread
from headrace.model.errors import Unavailable

_LEAST = 256 * 1024


class Transport:
    def __init__(self, left: int) -> None:
        self.left = left
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.is_aborted = True


def transport(left: int) -> Any:
    return Transport(left)


@pytest.mark.parametrize(
    ("before", "after", "is_aborted"),
    [(10**6, 10**6 - _LEAST, False), (10**6, 10**6 - _LEAST + 1, True), (10**6, 10**6, True), (_LEAST, 0, False)],
)
def test_a_client_that_reads_less_than_256_kib_in_its_time_is_hung_up_on(
    before: int, after: int, is_aborted: bool
) -> None:
    async def run() -> None:
        unread, one = Unread(timeout_s=0.001, max_bytes=1), transport(before)
        unread.watch(one)
        one.left = after
        until = asyncio.get_running_loop().time() + 30
        while not one.is_aborted and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.001)
            if not is_aborted:
                break
        assert one.is_aborted is is_aborted
        unread.forget(one)

    asyncio.run(run())


def test_a_client_is_watched_until_it_is_forgotten_and_each_time_anew() -> None:
    async def run() -> None:
        unread, one = Unread(timeout_s=3600, max_bytes=100), transport(60)
        other = transport(41)
        assert unread.bytes() == 0
        unread.watch(one)
        unread.watch(one)  # it is still not read
        assert unread.bytes() == 60
        unread.require_room()
        unread.watch(other)
        assert unread.bytes() == 101
        with pytest.raises(Unavailable, match="101 bytes") as refused:
            unread.require_room()
        assert refused.value.retry_after_s == 5
        other.left = 40
        unread.require_room()  # as many as allowed
        unread.forget(one)
        unread.forget(one)
        assert unread.bytes() == 40
        unread.forget(other)
        assert (one.is_aborted, other.is_aborted) == (False, False)

    asyncio.run(run())
