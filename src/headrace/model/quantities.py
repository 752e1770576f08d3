"""Sizes and times as people write them in settings: `10MiB`, `7d`. Pure."""

import re

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)", re.ASCII)
_SIZES = {"B": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for end, base in (("iB", 1024), ("B", 1000), ("", 1024))
}
SIZE_UNITS = "KiB, MiB, GiB, TiB (1,024), kB, MB, GB, TB (1,000)"
_TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
TIME_UNITS = "ms, s, m, h, d, w"


def parse_size(text: str, /) -> str:
    """A size with a unit, as a number of bytes; any other text as it is. Raises ValueError for an unknown unit."""
    return _in_units(text, {unit.lower(): size for unit, size in _SIZES.items()}, SIZE_UNITS)


def parse_time(text: str, /, unit_s: float = 1.0) -> str:
    """A time with a unit, as a number of `unit_s` seconds; any other text as it is. Raises ValueError for an unknown unit."""
    return _in_units(text, {unit: seconds / unit_s for unit, seconds in _TIMES.items()}, TIME_UNITS)


def _in_units(text: str, units: dict[str, int] | dict[str, float], known: str) -> str:
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        return text
    number, unit = found.groups()
    size = units.get(unit) or units.get(unit.lower())
    if size is None:
        raise ValueError(f"unknown unit {unit[:20]!r}; known are {known}")
    return f"{float(number) * size:.6f}".rstrip("0").rstrip(".")


def render_size(size: int, /) -> str:
    """With the largest unit that divides it: `10MiB`."""
    for unit, factor in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def render_time(seconds: float, /) -> str:
    """With the largest unit that divides it: `7d`."""
    for unit, factor in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= factor and seconds % factor == 0:
            return f"{seconds / factor:g}{unit}"
    return f"{seconds:g}s"
