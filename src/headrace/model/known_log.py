"""The log that a control database knows, and the refusal of another one."""

import msgspec

from headrace.model.errors import SettingsError


class KnownLog(msgspec.Struct, frozen=True):
    """id: made with the log, at random. shown: its server's URL without the password, as the last worker that opened it names it.

    process: that worker's, as it holds its leases.
    """

    id: str
    shown: str
    process: str = ""


class OtherLog(SettingsError):
    """The log is not the one that the control database knows."""

    def __init__(self, known: KnownLog, shown: str) -> None:
        super().__init__(
            f"HEADRACE_LOG_URL names {shown}, but the log of the database that HEADRACE_CONTROL_URL names is at {known.shown}, "
            "and events would be missing from one of the two: set the same URLs for every gateway and worker, or give these "
            "a control database of their own."
        )
