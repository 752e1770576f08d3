"""Has msgspec look at each type before there are threads.

At the first use of a struct type, msgspec gathers what it knows of the fields, in Python, and so with pauses in which other
threads run. It lets everybody have it before it is complete: a thread that decodes the same type meanwhile reads a null pointer.
The process dies, or hangs in the engine's handler of that signal. Seen with msgspec 0.22 (StructInfo_Convert in
https://github.com/msgspec/msgspec).
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec


def resolve_struct_types() -> None:
    """Look at every struct and named tuple of headrace that is imported. Call it before threads are started."""
    for each in _types():
        with suppress(TypeError, NameError):  # it has a field that nobody can decode, so nobody does
            msgspec.json.Decoder(each)


def _types() -> Iterator[type[Any]]:
    found: list[type[Any]] = [*msgspec.Struct.__subclasses__(), *tuple.__subclasses__()]
    for each in found:
        found += each.__subclasses__()
        if each.__module__.startswith("headrace.") and (issubclass(each, msgspec.Struct) or hasattr(each, "_fields")):
            yield each
