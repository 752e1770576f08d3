"""The ports themselves: small enough that a caller gets what it uses and a fake can be written in a minute."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Protocol

import pytest

from headrace import ports

MOST = 5


def every_port() -> Iterator[type]:
    for found in pkgutil.iter_modules(ports.__path__, f"{ports.__name__}."):
        module = importlib.import_module(found.name)
        for _, value in inspect.getmembers(module, inspect.isclass):
            if Protocol in value.__bases__ and value.__module__ == module.__name__:
                yield value


def methods_of(port: type) -> list[str]:
    """A port's own: one that joins others has theirs besides."""
    return [name for name, value in vars(port).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("port", tuple(every_port()), ids=lambda port: port.__name__)
def test_a_port_has_at_most_five_methods_of_its_own(port: type) -> None:
    assert len(methods_of(port)) <= MOST


def test_every_port_is_looked_at() -> None:
    assert len(list(every_port())) > 40
