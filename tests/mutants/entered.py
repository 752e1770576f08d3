"""A pytest plugin: writes which functions of the source each test enters, and how long it takes. `reach.py` uses it.

Leaves out the tests that start a server, which would enter everything, in another process. What runs before a test's own
call, a fixture of its module for instance, counts for every test of its file.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import headrace

_SOURCE = f"{Path(headrace.__file__).parent}{os.sep}"


class _Watch:
    """Takes down what is entered from one `take` to the next."""

    def __init__(self) -> None:
        self._entered: dict[int, CodeType] = {}

    def __call__(self, frame: Any, event: str, argument: object) -> None:
        code = frame.f_code
        self._entered[id(code)] = code  # as an object, for comparing two of them takes long

    def take(self) -> set[str]:
        found, self._entered = self._entered, {}
        return {
            f"{code.co_filename.removeprefix(_SOURCE)}:{code.co_qualname}"
            for code in list(found.values())
            if code.co_filename.startswith(_SOURCE)
        }


_watch = _Watch()
_found: dict[str, dict[str, Any]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    started = [item for item in items if "server" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=started)
    items[:] = [item for item in items if item not in started]


def pytest_runtestloop() -> None:
    sys.settrace(_watch)
    threading.settrace(_watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    file = _found.setdefault(item.nodeid.partition("::")[0], {"before": set(), "tests": {}})
    _watch.take()
    began = time.monotonic()
    result = yield
    before, own = _watches.pop("before", set()), _watches.pop("own", set())
    file["before"] |= before | _watch.take()
    file["tests"][item.nodeid] = [round(time.monotonic() - began, 3), sorted(own)]
    return result


_watches: dict[str, set[str]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    _watches["before"] = _watch.take()
    sys.settrace(_watch)  # a test before may have set another
    try:
        return (yield)
    finally:
        _watches["own"] = _watch.take()


def pytest_sessionfinish() -> None:
    sys.settrace(None)
    said = {name: {"before": sorted(each["before"]), "tests": each["tests"]} for name, each in _found.items()}
    Path(os.environ["ENTERED"]).write_text(json.dumps(said))
