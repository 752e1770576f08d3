"""Opens the control database and takes the partition's lease. Imports no other adapter, so that commands start fast."""

import secrets
import time

from sqlalchemy import Engine

from headrace.control.database import open_database
from headrace.control.leases import LEASE_S, ControlLeases, LastingLease
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from headrace.ports.control import ControlFailed

PARTITION = "partition/0"
_MARGIN_S, _LOOK_EVERY_S = 2.0, 0.2
# PostgreSQL indexes at most 2,704 bytes a row: a project, a mode, and this many characters of up to four bytes.
_MAX_ID_CHARS = 600


def open_control(settings: Settings, /) -> Engine:
    """Open the control database named by `control_url`, or else the file in the data folder. Raises SettingsError."""
    if not settings.control_url:
        return open_database(settings.data / "control.sqlite")
    if settings.max_id_chars > _MAX_ID_CHARS:
        raise SettingsError(f"HEADRACE_MAX_ID_CHARS: Expected int <= {_MAX_ID_CHARS} with HEADRACE_CONTROL_URL.")
    return open_database(settings.control_url)


def take_partition(control: Engine, /) -> tuple[ControlLeases, LastingLease | None]:
    """This process's leases, and the lease of the only partition, whose holder moves the worker's position.

    On SQLite the lock on the data folder rules out a second server, so no partition lease is needed. On a shared database the
    lease alone does: the lease of a server that was killed has to expire before it can be taken.
    Raises SettingsError if another server keeps renewing it.
    """
    if control.dialect.name == "sqlite":
        return ControlLeases(control, length_s=None), None
    leases, owner = ControlLeases(control), secrets.token_hex(8)
    give_up_at = time.monotonic() + LEASE_S + _MARGIN_S
    try:
        while (lease := leases.take(PARTITION, owner)) is None:
            if time.monotonic() > give_up_at:
                raise SettingsError(
                    "Another headrace server is running on the database that HEADRACE_CONTROL_URL names: "
                    "stop it, or give this one a database of its own. A command for that server has to run on its machine, "
                    "with --data (or HEADRACE_DATA) naming its data folder."
                )
            time.sleep(_LOOK_EVERY_S)
    except ControlFailed as error:
        raise SettingsError(str(error)) from error
    return leases, LastingLease(leases, owner, lease)
