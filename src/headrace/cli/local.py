"""Commands that need the store's engine. They ask the running server, or open the folder themselves if no server runs."""

import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import quote

import msgspec

from headrace.assembly.capabilities.erasures import prune
from headrace.assembly.folder import address_in
from headrace.assembly.logs import configure
from headrace.assembly.runtime import Runtime, open_runtime
from headrace.cli.opened import deed_of, user_name
from headrace.cli.remote import broken_off, warn_if_stale
from headrace.model.audit import MAX_DETAIL_CHARS
from headrace.model.errors import HeadraceError, InvalidRequest, NotFound, SettingsError, Unavailable
from headrace.model.event import Tenant
from headrace.model.retention import AskedToPrune, Pruned
from headrace.model.settings import Settings
from headrace.ports.store import StoreFailed
from headrace.upkeep.backup import Done
from headrace.upkeep.check import Report
from headrace.upkeep.own_columns import ListedColumn
from headrace.upkeep.quarantine import Asked, answer

_TIMEOUT_S = 600


def check(settings: Settings, /) -> Report:
    """Raises SettingsError if there is no data, Unavailable if the server does not answer."""
    _require_log(settings)
    if reply := _ask_server(settings, "/internal/check"):
        return msgspec.json.decode(reply, type=Report)
    with _runtime(settings) as runtime:
        return runtime.check()


def own_columns(settings: Settings, /) -> list[ListedColumn]:
    """Raises SettingsError if there is no data, Unavailable if the server does not answer."""
    _require_log(settings)
    if reply := _ask_server(settings, "/internal/columns"):
        return msgspec.json.decode(reply, type=list[ListedColumn])
    with _runtime(settings) as runtime:
        return runtime.upkeep.columns.listed()


def quarantine(settings: Settings, asked: Mapping[str, object], /) -> bytes:
    """The answer to what `headrace quarantine` asks, as JSON: see the route /internal/quarantine.

    Raises SettingsError if there is no data, InvalidRequest, NotFound, Unavailable.
    """
    _require_log(settings)
    try:
        with _open(settings, "POST", "/internal/quarantine", asked) as reply:
            return reply.read()
    except _Answered as error:
        if error.code not in (401, 404, 405):
            raise Unavailable(_detail(error.body)) from None
        said = _detail(error.body)
        if error.code == 404 and "put aside" in said:  # else another server has the address of one that was killed
            raise NotFound(said) from None
    except (FileNotFoundError, urllib.error.URLError, msgspec.DecodeError):
        pass
    wanted = msgspec.convert(asked, Asked)
    deed = f"quarantine {wanted.action}" if wanted.action != "list" else ""
    with _runtime(settings, deed, ", ".join(wanted.ids)) as runtime:
        return msgspec.json.encode(answer(runtime.pipeline.quarantine, wanted))


@contextmanager
def _runtime(
    settings: Settings, action: str = "", detail: str = "", tenant: Tenant | None = None
) -> Generator[Runtime]:
    """The folder's runtime, for a command that does in it what `action` says, which is audited; "" changes nothing.

    tenant: whom it concerns, if it is one alone. Raises what `open_runtime` raises, and Unavailable where the store or control
    fails.
    """
    configure(settings)
    if settings.role == "gateway":
        raise SettingsError(
            f"A gateway cannot do this, and no worker runs on {settings.data}: run the command on the machine of the active "
            "worker, with --data (or HEADRACE_DATA) naming its data folder."
        )
    runtime = open_runtime(settings)
    try:
        if not action:
            yield runtime
            return
        deed = deed_of(action, detail[:MAX_DETAIL_CHARS])
        if tenant is not None:
            deed.project, deed.mode = tenant.project, tenant.mode
        runtime.control.audit.begin(deed)
        try:
            yield runtime
        except HeadraceError:
            runtime.control.audit.end(deed, "refused")
            raise
        except BaseException:
            runtime.control.audit.end(deed, "failed")
            raise
        runtime.control.audit.end(deed, "done")
    except StoreFailed as error:
        raise Unavailable(str(error)) from error
    finally:
        runtime.close()


def backup(settings: Settings, folder: Path, keep: int | None, /) -> Done:
    """Raises SettingsError if there is no data, InvalidRequest, Unavailable."""
    asked = {"folder": str(folder.absolute()), "keep": keep}
    reply = _ask_for_backup(settings, asked)
    if reply is not None:
        return msgspec.json.decode(reply, type=Done)
    with _runtime(settings, "backup") as runtime:
        return runtime.upkeep.backups.make(folder.absolute(), keep)


def forget_backups(settings: Settings, folder: Path, /) -> None:
    """Raises SettingsError if there is no data, InvalidRequest, Unavailable."""
    if _ask_for_backup(settings, {"folder": str(folder.absolute()), "forget": True}) is None:
        with _runtime(settings, "backup") as runtime:
            runtime.upkeep.backups.forget(folder.absolute())


def _ask_for_backup(settings: Settings, asked: Mapping[str, object]) -> bytes | None:
    """The running server's response; None if no server runs. Raises SettingsError, InvalidRequest, Unavailable."""
    _require_log(settings)
    try:
        with _open(settings, "POST", "/internal/backup", asked, timeout_s=None) as reply:
            return reply.read()
    except _Answered as error:
        if error.code not in (401, 404, 405):  # else another server has the address of one that was killed
            raise (InvalidRequest if error.code == 400 else Unavailable)(_detail(error.body)) from None
    except (FileNotFoundError, urllib.error.URLError, msgspec.DecodeError):
        pass
    return None


def prune_events(settings: Settings, asked: AskedToPrune, /) -> Pruned:
    """Raises SettingsError if there is no data, Unavailable if the server does not answer."""
    _require_log(settings)
    try:
        with _open(settings, "POST", "/internal/prune", asked) as reply:
            return msgspec.json.decode(reply.read(), type=Pruned)
    except _Answered as error:
        if error.code not in (401, 404, 405):  # else another server has the address of one that was killed
            raise Unavailable(_detail(error.body)) from None
    except (FileNotFoundError, urllib.error.URLError, msgspec.DecodeError):
        pass
    with _runtime(settings, "" if asked.dry_run else "prune", asked.said, Tenant(asked.project, asked.mode)) as runtime:
        return prune(runtime.erasures.pruner, asked)


class _Answered(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__(code)
        self.code = code
        self.body = body


class _Problem(msgspec.Struct):
    detail: str = ""


def _detail(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).detail
    except msgspec.DecodeError:
        return body.decode(errors="replace")


def _require_log(settings: Settings) -> None:
    if settings.log_url:
        return
    try:
        (settings.data / "log.sqlite").stat()  # `exists` hides a PermissionError from Python 3.14 on
    except PermissionError as error:
        raise _of_another_user(settings, error) from None
    except OSError:
        raise SettingsError(
            f"There is no log in {settings.data}: set the data folder with --data or HEADRACE_DATA."
        ) from None


def _of_another_user(settings: Settings, error: PermissionError) -> SettingsError:
    return SettingsError(
        f"{settings.data} cannot be read: {error.strerror}. Run the command as the user that runs the server."
    )


def ask(settings: Settings, method: str, path: str, body: object, headers: Mapping[str, str], /) -> bytes:
    """Send a request to the server running on the folder and return the response body. Raises what `opened` raises."""
    with opened(settings, method, path, body, headers) as reply:
        return reply.read()


def opened(settings: Settings, method: str, path: str, body: object, headers: Mapping[str, str], /) -> HTTPResponse:
    """Send a request to the server running on the folder. A body of bytes is sent as it is, any other as JSON.

    Raises SettingsError if no server runs, InvalidRequest or Unavailable with the server's message, and Unavailable if the
    server ends before it answers.
    """
    try:
        return _open(settings, method, path, body, headers)
    except (ConnectionResetError, BrokenPipeError, HTTPException) as error:
        raise broken_off(error) from None
    except _Answered as error:
        said = error.body.decode(errors="replace")
        if error.code == 401:
            raise _no_server(settings) from None
        try:
            refusal = msgspec.json.decode(said, type=_Refusal)
            message = refusal.error or refusal.detail or said
        except msgspec.DecodeError:
            message = said
        raise (Unavailable if error.code >= 500 or error.code == 429 else InvalidRequest)(message) from None
    except (FileNotFoundError, urllib.error.URLError, msgspec.DecodeError):
        raise _no_server(settings) from None


class _Refusal(msgspec.Struct):
    """Hogsend's errors have `error`, and the native dialect's have `detail`."""

    error: str = ""
    detail: str = ""


def _no_server(settings: Settings) -> SettingsError:
    return SettingsError(
        f"No server is running on {settings.data}: start one with `headrace serve`, or set its folder with --data."
    )


def _open(
    settings: Settings,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float | None = _TIMEOUT_S,
) -> HTTPResponse:
    try:
        address = address_in(settings.data)
    except PermissionError as error:
        raise _of_another_user(settings, error) from None
    host = f"[{address.host}]" if ":" in address.host else address.host
    request = urllib.request.Request(
        f"http://{host}:{address.port}{path}",
        method=method,
        data=body if body is None or isinstance(body, bytes) else msgspec.json.encode(body),
        headers={
            "Authorization": f"Bearer {address.token}",
            "Content-Type": "application/json",
            "Headrace-User": quote(user_name(), safe="@"),
            **(headers or {}),
        },
    )
    # Ignore the environment's proxies: both processes run on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        reply = opener.open(request, timeout=timeout_s)
        warn_if_stale(reply.headers)
        return reply
    except urllib.error.HTTPError as error:
        with error:
            warn_if_stale(error.headers)
            raise _Answered(error.code, error.read()) from None


def _ask_server(settings: Settings, path: str) -> bytes | None:
    """The response of the server running on the folder, or None if no server runs."""
    try:
        with _open(settings, "GET", path) as reply:
            return reply.read()
    except _Answered as error:
        if error.code == 503:
            raise Unavailable(error.body.decode(errors="replace")) from None
        return None  # another server now has the address of a killed one
    except (FileNotFoundError, urllib.error.URLError, msgspec.DecodeError):
        return None
