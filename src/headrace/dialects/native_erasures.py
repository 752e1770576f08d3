"""Erasures of people, and retention, in the native dialect. Translates; never decides."""

from collections.abc import Sequence

import msgspec

from headrace.dialects import native
from headrace.dialects.names import decode_known
from headrace.dialects.wire import Pairs, text_of_body
from headrace.model.erasure import Erasure, ErasureStatus
from headrace.model.quantities import render_time
from headrace.model.retention import DAY_MS, Retention, parse_age
from headrace.model.times import render_time_short

# `detached` is of the inside: until it is done, some of it is on some disk.
_SHOWN: dict[ErasureStatus, str] = {"requested": "requested", "detached": "running", "done": "done"}


def erasure_value(erasure: Erasure, /) -> dict[str, object]:
    finished_at_ms = erasure.finished_at_ms
    return {
        "id": erasure.id,
        "status": _SHOWN[erasure.status],
        "requested_at": render_time_short(erasure.requested_at_ms),
        "finished_at": None if finished_at_ms is None else render_time_short(finished_at_ms),
        "removed": dict(erasure.removed),
    }


class _Keep(msgspec.Struct, forbid_unknown_fields=True):
    keep: str | None


_keep_decoder = msgspec.json.Decoder(_Keep)


def parse_retention(body: bytes, /) -> int | None:
    """`{"keep": "90d"}` in milliseconds; None, to keep events for ever, for null. Raises InvalidRequest."""
    given = decode_known(_keep_decoder, text_of_body(body), "The body", _Keep)
    return None if given.keep is None else parse_age(given.keep, DAY_MS, "'keep'")


def render_retention(retention: Retention, /) -> bytes:
    keep_ms, set_at_ms, pruned_at_ms = retention.keep_ms, retention.set_at_ms, retention.pruned_at_ms
    return native.render_data(
        {
            "keep": None if keep_ms is None else render_time(keep_ms / 1000),
            "set_at": None if set_at_ms is None else render_time_short(set_at_ms),
            "pruned_at": None if pruned_at_ms is None else render_time_short(pruned_at_ms),
            "pruned": retention.pruned,
        }
    )


def parse_page(pairs: Pairs, /) -> tuple[int, str]:
    """How many receipts, and the id of the last one of the page before, or "". Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    return native.parse_limit(given), native.parse_cursor(given, native.bound_to("erasures")) or ""


def render_page(found: Sequence[Erasure], limit: int, /) -> bytes:
    """found: one more than the limit if there are more."""
    rows = [erasure_value(each) for each in found[:limit]]
    cursor = native.render_cursor(found[limit - 1].id, native.bound_to("erasures")) if len(found) > limit else None
    return native.render_data(rows, {"limit": limit, "next_cursor": cursor})
