"""What each database and each server compiles anew is compiled once for a process of the tests, and for all that it forks.

SQLAlchemy keeps compiled statements for each engine, and the tests open thousands of databases; Falcon compiles the code that finds
a route for each application. Both give the same for the same: what is compiled depends on nothing but what is in its key here.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import falcon.routing.compiled
import sqlalchemy
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

_STATEMENTS = 3000
_APPLICATIONS = 8


_statements = LRUCache(_STATEMENTS)
_new_engine = sqlalchemy.create_engine


def compile_once() -> None:
    """From now on, in this process and in those that it forks."""
    # The key of a compiled statement has the dialect, which here stands for the kind of database alone.
    DefaultDialect.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
    DefaultDialect.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]
    sqlalchemy.create_engine = _create_engine
    falcon.routing.compiled.compile = lru_cache(_APPLICATIONS)(compile)  # type: ignore[attr-defined]


def _create_engine(*args: Any, execution_options: Mapping[str, Any] = {}, **kwargs: Any) -> sqlalchemy.Engine:
    return _new_engine(*args, execution_options={**execution_options, "compiled_cache": _statements}, **kwargs)
