"""What a command at a URL has the server do in the background: starts it, and asks until it has ended. Never opens data."""

import time
from http.client import HTTPException
from typing import Any, TypeVar

import msgspec

from headrace.cli.remote import broken_off, remote_at
from headrace.model.errors import HeadraceError, InvalidRequest, SettingsError, Unavailable

Result = TypeVar("Result")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_PATIENCE_S = 120.0
_PATH = "/api/v1/tasks"


class _Task(msgspec.Struct):
    id: str
    status: str
    result: Any = None
    problem: str | None = None


class _Answer(msgspec.Struct):
    data: _Task


def run_at(url: str, kind: str, body: object, result: type[Result], /) -> Result:
    """The result of a task on the server at a URL, once it has ended.

    Raises what `Remote.opened` raises, Unavailable if the task has failed, or if the server has not answered for so long,
    and InvalidRequest if the server no longer knows it.
    """
    task = _ask(url, "POST", f"{_PATH}/{kind}", body)
    pause_s, silent_since = _FIRST_PAUSE_S, 0.0
    while task.status == "running":
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        try:
            task = _ask(url, "GET", f"{_PATH}/{task.id}", None)
        except Unavailable as error:
            # A gateway whose worker ends, and the like: the task may go on.
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > _PATIENCE_S:
                raise Unavailable(f"{error.message} The {kind} may go on, as {task.id}.") from None
        except InvalidRequest as error:
            raise InvalidRequest(
                f"{error.message} The server was restarted, or another worker took over, before the {kind} had ended: "
                "run the command again."
            ) from None
        else:
            silent_since = 0.0
    if task.status != "done":
        raise Unavailable(task.problem or f"The {kind} ended as {task.status[:40]!r}.")
    try:
        return msgspec.convert(task.result, result, strict=False)
    except msgspec.ValidationError as error:
        raise _no_server(url, error) from None


def _ask(url: str, method: str, path: str, body: object) -> _Task:
    with remote_at(url).opened(method, path, body) as reply:
        try:
            return msgspec.json.decode(reply.read(), type=_Answer).data
        except msgspec.DecodeError as error:
            raise _no_server(url, error) from None
        except (OSError, HTTPException) as error:
            raise broken_off(error) from None


def _no_server(url: str, error: Exception) -> HeadraceError:
    return SettingsError(f"What answered at {url} is no Headrace server of this version: {error}.")
