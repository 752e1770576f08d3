"""Traits: the properties of a person or group. Pure.

Each id has its own traits, and a person has the merged traits of all its ids. So undoing a join does not need the history.

The newest value by the events' own time wins, whatever order events arrive in; at equal times, the one later in the log. A
set-once value stays as it was first set, until a plain set or an unset. Adding, appending and the like change the value that the
trait has when they arrive.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from headrace.model.person import MAX_TRAITS, MAX_TRAITS_BYTES, Cell, Cells, Op

_MAX_ELEMENTS = 1000  # of a list that events append to
_UNSET = "unset"
_encoder = msgspec.json.Encoder()


def changed(cells: Cells, ops: Sequence[Op], at_ms: int, position: int, /) -> tuple[Cells, int]:
    """The traits after some changes, and the number of changes that were dropped for lack of room."""
    found, dropped = dict(cells), 0
    for op in ops:
        if op.kind == "clear":
            for name in list(found):
                _put(found, name, Cell(None, at_ms, position, _UNSET))
        elif op.name in found or len(found) < MAX_TRAITS:
            _change(found, op, at_ms, position)
        else:
            dropped += 1
    if len(_encoder.encode(found)) > MAX_TRAITS_BYTES:
        return dict(cells), len(ops)
    return found, dropped


def merged(parts: Iterable[Cells], /) -> Cells:
    """The merged traits of the ids of one person: the value set last, or else the value set once first."""
    found: Cells = {}
    for cells in parts:
        for name, cell in cells.items():
            held = found.get(name)
            if held is None or _beats(cell, held):
                found[name] = cell
    return found


def shown(cells: Cells, /) -> dict[str, Any]:
    """Each trait's value by name, in the order in which the traits were first set."""
    return {name: cell.value for name, cell in cells.items() if cell.kind != _UNSET}


def _beats(cell: Cell, held: Cell) -> bool:
    if (cell.kind == "once") != (held.kind == "once"):
        return held.kind == "once"
    if cell.kind == "once":
        return cell.position < held.position
    return _moment(cell) >= _moment(held)


def _moment(cell: Cell) -> tuple[int, int]:
    return cell.at_ms, cell.position


def _put(cells: Cells, name: str, cell: Cell) -> None:
    """Set or unset a trait, unless its current value is newer."""
    held = cells.get(name)
    if held is None or held.kind == "once" or _moment(cell) >= _moment(held):
        cells[name] = cell


def _change(cells: Cells, op: Op, at_ms: int, position: int) -> None:
    held = cells.get(op.name)
    if op.kind == "set":
        _put(cells, op.name, Cell(op.value, at_ms, position))
    elif op.kind == "unset":
        _put(cells, op.name, Cell(None, at_ms, position, _UNSET))
    elif op.kind == "once":
        if held is None or (held.kind == _UNSET and (at_ms, position) >= _moment(held)):
            cells[op.name] = Cell(op.value, at_ms, position, "once")
    else:
        value = _combined(op, None if held is None else held.value)
        if value is not None:
            cells[op.name] = Cell(value, max(at_ms, held.at_ms if held else at_ms), position)


def _combined(op: Op, held: Any) -> Any:
    """The current value after an operation; None if it does not change."""
    if op.kind == "add":
        if not _is_number(op.value):
            return None
        total = (held if _is_number(held) else 0) + op.value
        return total if not isinstance(total, float) or math.isfinite(total) else None
    elements = cast("list[Any]", held) if type(held) is list else ([] if held is None else [held])
    given = cast("list[Any]", op.value) if type(op.value) is list else [op.value]
    if op.kind == "remove":
        return [each for each in elements if each not in given]
    if op.kind == "union":
        given = [each for number, each in enumerate(given) if each not in elements and each not in given[:number]]
    return None if len(elements) + len(given) > _MAX_ELEMENTS else elements + given


def _is_number(value: object) -> bool:
    return type(value) is int or type(value) is float
