"""Points and ranks in the native dialect: the ledger, participants, leaderboards. Translates; never queries."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.dialects import native
from headrace.dialects.wire import Pairs, integer_of
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import render_evt
from headrace.model.scores import Board, Entry, LedgerPage, Participants
from headrace.model.times import parse_time, render_time_short

MAX_OFFSET = 10_000
_PLACE = re.compile(r"[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,9}", re.ASCII)


class AskedBoard(msgspec.Struct, frozen=True):
    """A page from `offset` on, or around a participant; limited to a time if that is given."""

    limit: int
    offset: int
    around: str | None
    from_ms: int | None = None
    to_ms: int | None = None


class AskedEntries(msgspec.Struct, frozen=True):
    """Entries of one participant, or of all, after a cursor."""

    limit: int
    participant: str | None
    after: str


def entry_value(entry: Entry, /) -> dict[str, object]:
    """An entry as a value. It names the event that earned it, or else gives a reason."""
    return {
        "points": entry.points,
        "entry": entry.kind,
        "kind": entry.rule_kind or None,
        "rule": entry.rule_id or None,
        "event_id": render_evt(entry.id) if entry.kind == "earned" else None,
        "reason": entry.reason or None,
        "timestamp": render_time_short(entry.at_ms),
    }


def parse_page(given: Mapping[str, str], /) -> tuple[int, int]:
    """`limit` and `offset`. Raises InvalidRequest."""
    offset = integer_of(given["offset"], "offset") if "offset" in given else 0
    if not 0 <= offset <= MAX_OFFSET:
        raise InvalidRequest(f"'offset' must be 0 to {MAX_OFFSET}; it is {offset}.")
    return native.parse_limit(dict(given)), offset


def parse_board(pairs: Pairs, /) -> AskedBoard:
    """Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    limit, offset = parse_page(given)
    if "around" in given and "offset" in given:
        raise InvalidRequest("Send either 'around' or 'offset', not both.")
    return AskedBoard(limit, offset, given.get("around"))


def parse_points_board(pairs: Pairs, /) -> AskedBoard:
    """Like `parse_board`, with `from` and `to`, which are inclusive. Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    from_ms = parse_time(given["from"], "from") if "from" in given else None
    to_ms = parse_time(given["to"], "to", end_of_day=True) if "to" in given else None
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        raise InvalidRequest("'from' is after 'to'.")
    return msgspec.structs.replace(parse_board(pairs), from_ms=from_ms, to_ms=to_ms)


def render_board(
    asked: AskedBoard, board: Board | None, scores: Callable[[dict[str, Any]], dict[str, object]], /
) -> bytes:
    """Render a page. Raises NotFound if it should be around a participant who is not on the board."""
    if board is None:
        raise NotFound(f"The participant {(asked.around or '')[:200]!r} is not on this leaderboard.")
    rows = [{"rank": row.rank, "participant": row.participant} | scores(row.scores) for row in board.rows]
    return native.render_data(rows, {"limit": asked.limit, "offset": board.offset, "total": board.total})


def challenge_scores(scores: dict[str, Any], /) -> dict[str, object]:
    return {"completions": scores["completions"], "best": number_of(scores["best"])}


def points_scores(scores: dict[str, Any], /) -> dict[str, object]:
    return {"points": int(scores["points"])}


def number_of(text: str, /) -> int | float:
    """A decimal as a JSON number: an integer if it is whole."""
    return float(text) if "." in text else int(text)


def parse_participants(pairs: Pairs, /) -> tuple[int, str | None]:
    """`limit`, and the name after which the page begins. Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    return native.parse_limit(given), native.parse_cursor(given, native.bound_to("participants"))


def render_participants(limit: int, page: Participants, /) -> bytes:
    rows = [{"id": each.name, "points": each.points, "badges": each.badges} for each in page.found]
    cursor = native.render_cursor(page.found[-1].name, native.bound_to("participants")) if page.more else None
    return native.render_data(rows, {"total": page.total, "limit": limit, "next_cursor": cursor})


def parse_entries(pairs: Pairs, /) -> AskedEntries:
    """Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    participant = given.get("participant")
    after = native.parse_cursor(given, _filters_of(participant)) or ""
    if after and not _PLACE.fullmatch(after):
        raise InvalidRequest("'cursor' is not valid; omit it to start from the beginning.")
    return AskedEntries(native.parse_limit(given), participant, after)


def render_entries(asked: AskedEntries, page: LedgerPage, /) -> bytes:
    """Render entries. `points` in `meta` is the sum of all entries, including those on other pages."""
    rows = [{"participant": name} | entry_value(entry) for name, entry in page.entries]
    cursor = None
    if page.more:
        cursor = native.render_cursor(page.entries[-1][1].place, _filters_of(asked.participant))
    meta = {"total": page.total, "points": page.points, "limit": asked.limit, "next_cursor": cursor}
    return native.render_data(rows, meta)


def _filters_of(participant: str | None) -> str:
    return native.bound_to("points", participant=participant)
