"""Extracts the string and numeric properties that filters and statistics use, so that they need not parse JSON. Pure."""

import sys
from typing import Any

LARGEST = int(sys.float_info.max)


def labels_and_numbers(values: dict[str, Any], tags: dict[str, str], /) -> tuple[dict[str, str], dict[str, float]]:
    """The string properties that no tag of the same name shadows, and the numeric properties that fit into a double."""
    labels: dict[str, str] = {}
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if type(value) is str:
            if name not in tags:
                labels[name] = value
        elif type(value) is float:
            numbers[name] = value
        elif type(value) is int and abs(value) <= LARGEST:
            numbers[name] = float(value)
    return labels, numbers
