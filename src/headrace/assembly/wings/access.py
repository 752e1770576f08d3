"""Who is admitted: by a key, by a console's session, or as a command on this machine."""

import secrets

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.admission import Admission
from headrace.assembly.clock import clock_ms
from headrace.assembly.console import ConsoleAdmission
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.key_uses import KeyUses
from headrace.assembly.rate_limits import RateLimits, SharedRateLimits, limits_of
from headrace.control.keyring import Keyring
from headrace.model.settings import Settings

_KNOWN_FOR_MS = 600_000  # how long a gateway admits keys that it knows while control is away


class AccessWing(msgspec.Struct, frozen=True):
    """local_token: what commands on this machine show."""

    keyring: Keyring
    admission: Admission
    console: ConsoleAdmission
    local_token: str
    uses: KeyUses


def access_of(settings: Settings, adapters: Adapters, control: ControlAdapters, /) -> AccessWing:
    known_for_ms = _KNOWN_FOR_MS if settings.role == "gateway" else 0
    keyring = Keyring(control.keys, settings.admin_key, clock_ms, known_for_ms=known_for_ms)
    limits = RateLimits(limits_of(settings))
    server = adapters.log_server
    shared = limits if settings.role == "all" or server is None else SharedRateLimits(limits, server)
    local_token = secrets.token_urlsafe(32)
    console = ConsoleAdmission(
        *(control.sessions, keyring, limits),
        admin_key=settings.admin_key,
        attempts=settings.console_attempts,
        clock_ms=clock_ms,
    )
    return AccessWing(keyring, Admission(keyring, shared, local_token), console, local_token, KeyUses(clock_ms))
