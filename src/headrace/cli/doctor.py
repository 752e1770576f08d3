"""`headrace doctor`: examines a set-up and prints what is wrong with it. Changes nothing."""

import errno
import os
import resource
import shutil
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Literal

import msgspec

from headrace.__main__ import NEWEST, OLDEST
from headrace.assembly.export_targets import is_bucket
from headrace.assembly.folder import address_in
from headrace.assembly.log import examine as examine_log
from headrace.assembly.roles import require_urls
from headrace.assembly.store import examine as examine_store
from headrace.control.database import inspect_database
from headrace.control.keyring import require_sendable
from headrace.delivery.addresses import parse_networks
from headrace.http.addresses import Addresses
from headrace.http.telemetry import SIGNALS, exporter_of
from headrace.log.reading import last_position
from headrace.model.errors import HeadraceError, SettingsError
from headrace.model.settings import Settings
from headrace.upkeep.diagnosis import Facts, Finding, diagnose
from headrace.upkeep.placing import UNFINISHED

_MOUNTS = Path("/proc/self/mounts")
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_MARKS = {"ok": "ok", "warning": "warn", "problem": "FAIL"}


def examine(settings: Settings, /) -> list[Finding]:
    return diagnose(settings, gather(settings))


def render(findings: list[Finding], /) -> str:
    """A line for each finding, followed by its remedy."""
    lines: list[str] = []
    for each in findings:
        lines.append(f"{_MARKS[each.verdict]:<5} {each.subject}: {each.text}")
        if each.remedy:
            lines.append(f"      {each.remedy}")
    return "\n".join(lines)


def gather(settings: Settings, /) -> Facts:
    """The facts about this machine and the data folder. Creates nothing and writes nothing."""
    path = settings.data.absolute()
    folder, problem = _folder(path)
    at = next(each for each in (path, *path.parents) if each.exists())
    found = at.stat()
    disk = os.statvfs(at)
    last_event_ms, log_problem = (0, "") if settings.log_url else _last_event_ms(path)
    return Facts(
        python=".".join(map(str, sys.version_info[:3])),
        is_tried_python=OLDEST <= sys.version_info[:2] <= NEWEST,
        folder="unusable" if log_problem else folder,
        folder_problem=log_problem or problem,
        mode=found.st_mode & 0o777,
        is_ours=found.st_uid == os.geteuid(),
        filesystem=_filesystem(at),
        free_bytes=shutil.disk_usage(at).free,
        free_inodes=disk.f_favail if disk.f_files else 1 << 62,  # btrfs does not count inodes
        memory_bytes=_memory_bytes(),
        files_limit=_files_limit(),
        port=_port(settings),
        now_ms=time.time_ns() // 1_000_000,
        last_event_ms=last_event_ms,
        database=inspect_database(settings.control_url or path / "control.sqlite"),
        log_server=examine_log(settings),
        store_server=examine_store(settings),
        engine=_engine(),
        refusal=_refusal(settings),
    )


def _refusal(settings: Settings) -> str:
    """What a start would refuse, of the settings that are more than a number or a word; "" for nothing."""
    try:
        require_urls(settings)
        Addresses(settings)
        require_sendable(settings.admin_key)
        parse_networks(settings.webhook_allowed_networks)
        for signal in SIGNALS:
            exporter_of(os.environ, signal)
    except SettingsError as error:
        return error.message
    if not settings.export_to or is_bucket(settings.export_to):
        return ""
    folder, problem = _folder(Path(settings.export_to).absolute())
    return f"HEADRACE_EXPORT_TO: {settings.export_to} cannot be used: {problem}." if folder == "unusable" else ""


def _folder(path: Path) -> tuple[Literal["absent", "usable", "unusable"], str]:
    for each in (path, path / "store"):
        if each.is_symlink() and not each.exists():
            return "unusable", f"{each.name} is a link to {each.readlink()}, which does not exist: is its disk mounted?"
    if not path.exists():
        parent = next(each for each in path.parents if each.exists())
        if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            return "absent", ""
        return "unusable", f"it does not exist, and {parent} cannot be written"
    if not path.is_dir():
        return "unusable", "it is not a folder"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return "unusable", "this user may not read and write it"
    if (path / UNFINISHED).exists():
        return "unusable", "a restore into it was cut off: remove everything in it, and restore again"
    unwritable = [each.name for each in path.iterdir() if not os.access(each, os.R_OK | os.W_OK)]
    if unwritable:
        return "unusable", f"this user may not read and write {', '.join(sorted(unwritable)[:5])} in it"
    return "usable", ""


def _filesystem(path: Path) -> str:
    """The file system of the innermost mount above the path. Source: https://man7.org/linux/man-pages/man5/fstab.5.html"""
    try:
        mounts = [line.split()[1:3] for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    above = [(point.encode().decode("unicode_escape"), kind) for point, kind in mounts]
    inside = [(len(point), kind) for point, kind in above if path.resolve().is_relative_to(point)]
    return max(inside, default=(0, ""))[1]


def _memory_bytes() -> int:
    """The memory of the machine, or the limit of this container."""
    has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUP_LIMITS:
        try:
            limit = path.read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():
            has = min(has, int(limit))
    return has


def _files_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 62 if hard == resource.RLIM_INFINITY else hard


def _port(settings: Settings) -> Literal["free", "ours", "taken", "not allowed", "no address"]:
    if _server_runs(settings.data):
        return "ours"
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except socket.gaierror:
        return "no address"
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return "not allowed"
        return "taken" if error.errno == errno.EADDRINUSE else "no address"
    return "free"


def _server_runs(data: Path) -> bool:
    try:
        address = address_in(data)
        with socket.create_connection((address.host, address.port), timeout=2):
            return True
    except (OSError, msgspec.DecodeError):
        return False


def _last_event_ms(path: Path) -> tuple[int, str]:
    """When the newest event was received, and why the log cannot be read, if it cannot."""
    try:
        return last_position(path / "log.sqlite") >> 20, ""
    except HeadraceError as error:
        return 0, str(error).rstrip(".")


def _engine() -> str:
    try:
        import_module("chdb")
    except Exception as error:  # noqa: BLE001  a wheel of another machine fails in many ways
        return f"The engine (chdb) cannot be loaded: {error}."
    return ""
