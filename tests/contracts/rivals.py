"""Two transactions that meet at a given statement: no sleeps, and no luck."""

import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event, text


class Rival:
    """Runs something in a thread of its own; `result` waits for it, and raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._result: Any = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error

    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(60)
        assert self.is_done(), "it waits for ever"
        if self._error is not None:
            raise self._error
        return self._result

    def wait_until_blocked(self, engine: Engine) -> None:
        """Until it waits for a lock, or has ended. On SQLite a transaction that writes is alone: nothing to wait for."""
        if engine.dialect.name == "sqlite":
            return
        # In this database alone: the server has those of other tests as well.
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        until = time.monotonic() + 60
        while not self.is_done():
            with engine.connect() as connection:
                if connection.scalar(waiting):
                    return
            assert time.monotonic() < until
            time.sleep(0.002)


def before(engine: Engine, beginning: str, act: Callable[[], object]) -> None:
    """Call `act` once, before the engine first runs a statement that begins so."""
    done: list[bool] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not done and statement.startswith(beginning):
            done.append(True)
            act()

    event.listen(engine, "before_cursor_execute", look)
