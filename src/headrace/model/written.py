"""Settings as people write them in the environment: names, units, and what to say of a mistake. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence

from headrace.model.errors import SettingsError
from headrace.model.nearest import nearest_name
from headrace.model.quantities import SIZE_UNITS, TIME_UNITS, parse_size, parse_time

PREFIX = "HEADRACE_"
_MAX_SHOWN = 80
_BOUND = re.compile(r"Expected `(?:int|float)` (>=|>|<=|<) ([0-9.]+)")
_BOUNDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
# What Kubernetes sets in each container beside a service named `headrace`; nobody has chosen it.
# Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_KUBERNETES = re.compile(PREFIX + r"(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")


def is_of_kubernetes(variable: str, value: str, /) -> bool:
    is_address = variable == PREFIX + "PORT" and re.match("(?:tcp|udp|sctp)://", value)
    return bool(is_address or _OF_KUBERNETES.fullmatch(variable))


def field_of(variable: str, fields: Collection[str], /) -> str:
    """The setting of a variable. Raises SettingsError, with the nearest name."""
    field = variable.removeprefix(PREFIX).lower()
    if field in fields and variable.isupper():
        return field
    found = nearest_name(field, fields)
    hint = f"did you mean {PREFIX}{found.upper()}?" if found else "`headrace settings` lists all settings."
    raise SettingsError(f"{variable[:_MAX_SHOWN]} is not a setting: {hint}")


def in_plain_numbers(field: str, value: str, /) -> object:
    """A size as bytes, a time in the field's own unit. Raises SettingsError."""
    try:
        if field.endswith("_bytes"):
            return parse_size(value)
        if field.endswith("_s"):
            return parse_time(value)
        if field.endswith("_ms"):
            return parse_time(value, 0.001)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}{field.upper()}: {error}.") from None
    return value


def told(message: str, written: Mapping[str, str], choices_of: Mapping[str, Sequence[str]]) -> str:
    """msgspec's message with the variable's name in place of `$.port`, and with what may be written instead."""
    problem, _, path = message.partition(" - at ")
    field = path.strip("`").removeprefix("$.").removeprefix("$")
    if not field:
        return f"{problem}."
    if problem.endswith("got `str`") and field in written:
        kind = "whole number" if "`int`" in problem else "number"
        problem = f"{written[field][:_MAX_SHOWN]!r} is not a {kind}"
    if bound := _BOUND.fullmatch(problem):
        problem = f"must be {_BOUNDS[bound[1]]} {float(bound[2]):g}"
    if choices := choices_of.get(field):
        shown = f"{written[field][:_MAX_SHOWN]!r} is not one of" if field in written else "must be one of"
        problem = f"{shown} {', '.join(choices)}"
    elif field.endswith("_bytes"):
        problem += f"; write bytes, or a size such as 10MiB ({SIZE_UNITS})"
    elif field.endswith(("_s", "_ms")):
        unit = "milliseconds" if field.endswith("_ms") else "seconds"
        problem += f"; write a number of {unit}, or a time such as 90s ({TIME_UNITS})"
    return f"{PREFIX}{field.upper()}: {problem}."
