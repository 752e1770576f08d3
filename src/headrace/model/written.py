"""Settings as people write them in the environment: names, units, and what to say of a mistake. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from headrace.model.errors import SettingsError
from headrace.model.nearest import nearest_name
from headrace.model.quantities import SIZE_UNITS, TIME_UNITS, parse_size, parse_time

PREFIX = "HEADRACE_"
Read = TypeVar("Read", bound=msgspec.Struct)
_MAX_SHOWN = 80
# Our own that are no settings: of `headrace mcp` (the key that it shows), of installs, and of `make console-dev`.
_READ_ELSEWHERE = (f"{PREFIX}KEY", f"{PREFIX}CONSOLE", f"{PREFIX}URL")
_BOUND = re.compile(r"Expected `(?:int|float)` (>=|>|<=|<) ([0-9.]+)")
_BOUNDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
# What Kubernetes sets in each container beside a service named `headrace`; nobody has chosen it.
# Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_KUBERNETES = re.compile(PREFIX + r"(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")


def read(kind: type[Read], environ: Mapping[str, str], given: Mapping[str, object], /) -> Read:
    """A struct from the variables named like its fields, overridden by what is given and not None. Raises SettingsError."""
    written: dict[str, str] = {}
    for variable, value in environ.items():
        if (
            value
            and variable.startswith(PREFIX)
            and variable not in _READ_ELSEWHERE
            and not is_of_kubernetes(variable, value)
        ):
            written[field_of(variable, kind.__struct_fields__)] = value
    values = {field: in_plain_numbers(field, value) for field, value in written.items()}
    values |= {field: value for field, value in given.items() if value is not None}
    try:
        return msgspec.convert(values, kind, strict=False, dec_hook=lambda wanted, value: wanted(value))
    except msgspec.ValidationError as error:
        raise SettingsError(told(str(error), written, _choices(kind))) from None


def _choices(kind: type[msgspec.Struct]) -> dict[str, tuple[str, ...]]:
    """Of the fields that are one of a few words."""
    hints = {field: get_args(hint)[0] for field, hint in get_type_hints(kind, include_extras=True).items()}
    return {field: get_args(hint) for field, hint in hints.items() if get_origin(hint) is Literal}


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
