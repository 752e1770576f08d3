"""Finds what is wrong with a set-up, and how to fix it. Pure: judges facts gathered elsewhere."""

from typing import Literal

import msgspec

from headrace.model.quantities import render_size
from headrace.model.settings import Settings

Verdict = Literal["ok", "warning", "problem"]
MIB, GIB = 1024**2, 1024**3
_REMOTE = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.glusterfs",
)
_VOLATILE = ("tmpfs", "ramfs")
# Resident memory of an idle server with its engine; see bench/RESULTS.md.
_IDLE_BYTES = 600 * MIB
_LEAST_FREE_BYTES = GIB
_LEAST_FREE_INODES = 10_000
FILES_BESIDE_CONNECTIONS = 1024  # as serve.py counts them
_AHEAD_MS = 60_000


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a machine and a data folder.

    folder: "absent" if the first start would create it. mode: its permission bits. is_ours: whether this user owns it.
    filesystem: as named in /proc/mounts, "" if unknown. files_limit: the hard limit of open files.
    port: "ours" if this folder's server listens on it. last_event_ms: the time of the log's newest position, 0 if there is none.
    database, log_server, store_server, engine: what is wrong with the control database, with the servers of the log and of the
    store if they have one, and with the store's engine; "" for nothing. refusal: what else a start would refuse to go on with.
    """

    python: str
    is_tried_python: bool
    folder: Literal["absent", "usable", "unusable"]
    folder_problem: str = ""
    mode: int = 0o700
    is_ours: bool = True
    filesystem: str = ""
    free_bytes: int = 1 << 62
    free_inodes: int = 1 << 62
    memory_bytes: int = 1 << 62
    files_limit: int = 1 << 62
    port: Literal["free", "ours", "taken", "not allowed", "no address"] = "free"
    now_ms: int = 0
    last_event_ms: int = 0
    database: str = ""
    log_server: str = ""
    store_server: str = ""
    engine: str = ""
    refusal: str = ""


class Finding(msgspec.Struct, frozen=True):
    """remedy: what to do, "" if nothing is needed."""

    verdict: Verdict
    subject: str
    text: str
    remedy: str = ""


def diagnose(settings: Settings, facts: Facts, /) -> list[Finding]:
    """At least one finding for each subject, in the order in which a start would encounter them."""
    return [
        _python(facts),
        _settings(facts),
        *_folder(settings, facts),
        _disk(settings, facts),
        _memory(settings, facts),
        _files(settings, facts),
        _port(settings, facts),
        _clock(facts),
        _control(settings, facts),
        *_log_server(settings, facts),
        *_store_server(settings, facts),
        _engine(facts),
        *_exposure(settings),
    ]


def _python(facts: Facts) -> Finding:
    if facts.is_tried_python:
        return Finding("ok", "python", facts.python)
    return Finding("problem", "python", f"{facts.python} was not tried.", "Use Python 3.11 to 3.14.")


def _settings(facts: Facts) -> Finding:
    if facts.refusal:
        return Finding("problem", "settings", facts.refusal, "`headrace settings` explains each variable.")
    return Finding("ok", "settings", "They are valid.")


def _folder(settings: Settings, facts: Facts) -> list[Finding]:
    path = settings.data.absolute()
    if facts.folder == "unusable":
        remedy = f"Give this user write access to {path}, or set HEADRACE_DATA or --data."
        return [Finding("problem", "folder", f"{path} cannot be used: {facts.folder_problem}.", remedy)]
    found: list[Finding] = []
    if facts.filesystem in _REMOTE:
        text = f"{path} is on {facts.filesystem}, where locks and fsync cannot be relied on."
        found.append(Finding("problem", "folder", text, "Use a local disk."))
    elif facts.filesystem in _VOLATILE:
        text = f"{path} is on {facts.filesystem}, in memory: a reboot loses everything."
        found.append(Finding("problem", "folder", text, "Use a disk."))
    if facts.folder == "usable" and facts.mode & 0o077:
        text = f"Others on this machine may read {path} (mode {facts.mode:o})."
        found.append(Finding("warning", "folder", text, f"chmod 700 {path}"))
    if facts.folder == "usable" and not facts.is_ours:
        found.append(
            Finding("warning", "folder", f"Another user owns {path}.", "Run the server as the folder's owner.")
        )
    said = "will be made by the first start" if facts.folder == "absent" else "can be written"
    return found or [Finding("ok", "folder", f"{path} {said}.")]


def _disk(settings: Settings, facts: Facts) -> Finding:
    free = _about(facts.free_bytes)
    if facts.free_bytes < _LEAST_FREE_BYTES:
        return Finding("problem", "disk", f"{free} free.", "Free space, or move the folder to a larger disk.")
    if facts.free_inodes < _LEAST_FREE_INODES:
        return Finding("problem", "disk", f"{facts.free_inodes} inodes free.", "Delete small files on that disk.")
    if facts.free_bytes < settings.log_max_bytes:
        text = f"{free} free, less than the log alone may take ({render_size(settings.log_max_bytes)})."
        return Finding("warning", "disk", text, "Free space, or lower HEADRACE_LOG_MAX_BYTES.")
    return Finding("ok", "disk", f"{free} free.")


def _memory(settings: Settings, facts: Facts) -> Finding:
    need = _IDLE_BYTES + settings.query_readers * settings.query_max_memory_bytes
    need += settings.max_bodies_bytes + settings.intake_queue_bytes + settings.max_unread_bytes
    has = _about(facts.memory_bytes)
    if facts.memory_bytes >= need:
        return Finding("ok", "memory", f"{has}; the limits that are set allow a use of {_about(need)}.")
    return Finding(
        "problem" if facts.memory_bytes < _IDLE_BYTES + 256 * MIB else "warning",
        "memory",
        f"{has}, but the limits that are set allow a use of {_about(need)}: the kernel may end the server.",
        "Lower HEADRACE_QUERY_MAX_MEMORY_BYTES, HEADRACE_QUERY_READERS or HEADRACE_MAX_BODIES_BYTES, or give more memory.",
    )


def _files(settings: Settings, facts: Facts) -> Finding:
    need = settings.max_connections + FILES_BESIDE_CONNECTIONS
    if facts.files_limit >= need:
        return Finding("ok", "open files", f"{need} are needed at most, and allowed.")
    text = f"{facts.files_limit} are allowed; {settings.max_connections} connections need {need}."
    return Finding("warning", "open files", text, f"Raise `ulimit -n` to {need}, or lower HEADRACE_MAX_CONNECTIONS.")


def _port(settings: Settings, facts: Facts) -> Finding:
    place = f"{settings.host}:{settings.port}"
    match facts.port:
        case "free":
            return Finding("ok", "port", f"{place} is free.")
        case "ours":
            return Finding("ok", "port", "The server of this folder is running.")
        case "taken":
            text = f"Another program listens on {place}."
            return Finding("problem", "port", text, "Stop it, or set HEADRACE_PORT or --port.")
        case "not allowed":
            text = f"This user may not listen on {place}."
            return Finding("problem", "port", text, "Use a port from 1024 up, and a proxy in front.")
        case "no address":
            text = f"This machine has no address {settings.host!r}."
            return Finding("problem", "port", text, "Set HEADRACE_HOST to one of its addresses, or to 0.0.0.0 for all.")


def _clock(facts: Facts) -> Finding:
    ahead_ms = facts.last_event_ms - facts.now_ms
    if ahead_ms <= _AHEAD_MS:
        return Finding("ok", "clock", "Not behind the newest event.")
    text = f"The newest event was received {ahead_ms / 60_000:,.0f} minutes after now: the clock was or is wrong."
    return Finding("problem", "clock", text, "Set the clock by NTP; if it is right now, wait or restore a backup.")


def _control(settings: Settings, facts: Facts) -> Finding:
    kind = "PostgreSQL" if settings.control_url else "SQLite"
    if facts.database:
        remedy = "Check HEADRACE_CONTROL_URL." if settings.control_url else "Restore control.sqlite from a backup."
        return Finding("problem", "control database", facts.database, remedy)
    return Finding("ok", "control database", f"{kind}, and its schema fits this version.")


def _log_server(settings: Settings, facts: Facts) -> list[Finding]:
    if facts.log_server:
        return [Finding("problem", "log server", facts.log_server, "See docs/scale.md.")]
    if not settings.log_url:
        return []
    return [Finding("ok", "log server", "Valkey, set up as the log needs it.")]


def _store_server(settings: Settings, facts: Facts) -> list[Finding]:
    if not settings.store_url:
        return []
    if not settings.control_url:
        remedy = "Set it to a PostgreSQL database: its leases keep two servers from storing the same events."
        return [Finding("problem", "store server", "HEADRACE_STORE_URL needs HEADRACE_CONTROL_URL.", remedy)]
    if facts.store_server:
        return [Finding("problem", "store server", facts.store_server, "See docs/scale.md.")]
    return [Finding("ok", "store server", "ClickHouse answers, and has the database.")]


def _engine(facts: Facts) -> Finding:
    if facts.engine:
        remedy = "Reinstall headrace; the engine has wheels for Linux with glibc and for macOS."
        return Finding("problem", "store engine", facts.engine, remedy)
    return Finding("ok", "store engine", "It loads.")


def _exposure(settings: Settings) -> list[Finding]:
    if settings.host in ("127.0.0.1", "::1", "localhost") or settings.trusted_proxies:
        return []
    text = f"The server listens on {settings.host} in plain HTTP: keys can be read on the way."
    remedy = "Put a proxy with TLS in front and set HEADRACE_TRUSTED_PROXIES; see docs/deploy.md."
    return [Finding("warning", "exposure", text, remedy)]


def _about(size: int) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / MIB:,.0f} MiB"
