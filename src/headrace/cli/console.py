"""`headrace console`: a link that opens the running server's console, once."""

from ipaddress import ip_address

import msgspec

from headrace.assembly.folder import address_in
from headrace.cli.local import ask
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings


class _Code(msgspec.Struct):
    code: str


def link(settings: Settings, /) -> str:
    """The link. Raises SettingsError if no server runs, Unavailable."""
    code = msgspec.json.decode(ask(settings, "POST", "/internal/console", None, {}), type=_Code).code
    try:
        address = address_in(settings.data)
    except (FileNotFoundError, msgspec.DecodeError):  # it has stopped meanwhile
        raise SettingsError(f"No server is running on {settings.data}.") from None
    host = _reachable(address.host)
    # In the fragment: browsers send it to no server, so it is in no log.
    return f"http://{host}:{address.port}/console#code={code}"


def _reachable(host: str) -> str:
    """The address for a browser on this machine: one that means every address is none."""
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    if parsed.is_unspecified:
        return "127.0.0.1" if parsed.version == 4 else "[::1]"
    return f"[{host}]" if parsed.version == 6 else host
