"""Commands that need the engine: through the running server, for only one process may open it; or over the folder itself."""

import urllib.error
import urllib.request

import msgspec

from headrace.check import Report
from headrace.errors import SettingsError, Unavailable
from headrace.logs import configure
from headrace.runtime import ADDRESS_FILE, Address, Runtime
from headrace.settings import Settings

_TIMEOUT_S = 600


def check(settings: Settings, /) -> Report:
    """Raises SettingsError where there is no data, Unavailable when the server does not answer."""
    if not (settings.data / "log.sqlite").exists():
        raise SettingsError(f"There is no log in {settings.data}: name the right folder with --data or HEADRACE_DATA.")
    if reply := _ask_server(settings, "/internal/check"):
        return msgspec.json.decode(reply, type=Report)
    configure(settings)
    runtime = Runtime(settings)
    try:
        return runtime.check()
    finally:
        runtime.close()


def _ask_server(settings: Settings, path: str) -> bytes | None:
    """The answer of the server that runs on the folder; None when none does."""
    try:
        address = msgspec.json.decode((settings.data / ADDRESS_FILE).read_bytes(), type=Address)
        host = f"[{address.host}]" if ":" in address.host else address.host
        request = urllib.request.Request(
            f"http://{host}:{address.port}{path}", headers={"Authorization": f"Bearer {address.token}"}
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310
            return reply.read()
    except urllib.error.HTTPError as error:
        if error.code == 503:
            raise Unavailable(error.read().decode(errors="replace")) from None
        return None  # another server has taken the address of one that was killed
    except (FileNotFoundError, urllib.error.URLError, msgspec.DecodeError):
        return None
