"""`headrace keys`: create, list, rotate and revoke API keys. Works with or without a running server."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from headrace.cli.opened import Data, now_ms, open_used
from headrace.cli.server import print_json
from headrace.control.api_keys import Keys
from headrace.dialects.native_keys import MAX_OVERLAP_S, Status, status_of
from headrace.model.errors import InvalidRequest
from headrace.model.event import Mode
from headrace.model.keys import SCOPES, Key, Scope, Style, masked, parse_origins, parse_scopes
from headrace.model.times import render_time_short

Stdin = Annotated[bool, Parameter(name="--stdin", help="Read the key, its id or its prefix from stdin.")]
_MAX_OVERLAP = timedelta(seconds=MAX_OVERLAP_S)
_MAX_LINE_CHARS = 1000

app = App(name="keys", help="Create, list, rotate and revoke API keys. Works with or without a running server.")


@app.command
def create(
    *,
    project: str = "default",
    mode: Mode = "live",
    style: Style = "flux",
    scopes: str | None = None,
    expires_in: timedelta | None = None,
    publishable: bool = False,
    origins: str | None = None,
    name: str = "",
    data: Data = None,
) -> None:
    """Create a key and print it, with nothing else. It cannot be shown again: only its hash is stored.

    Args:
        project: Project the key belongs to; a new name creates a project.
        mode: live or test; neither sees the other's events.
        style: Sets the key's prefix and, unless --scopes is given, its scopes: flux ingest,query; bricqs and solute
            ingest; admin all. Any key works with any API.
        scopes: One or more of ingest,query,admin.
        expires_in: Lifetime such as 12h, 30d or 1y; without it the key never expires.
        publishable: Create a key that is safe to put in a web page: it can only send events.
        origins: Pages that may use a publishable key, such as https://app.example,https://*.example.org; default: any.
        name: What the key is for, as lists and the audit show it.
    """
    if publishable and style not in ("flux", "publishable"):
        raise InvalidRequest(f"A key cannot be both publishable and of style {style}.")
    now = now_ms()
    given = None if scopes is None else parse_scopes(scopes)
    until_ms = None if expires_in is None else now + expires_in // timedelta(milliseconds=1)
    with _keys(data) as keys:
        _, secret = keys.create(
            *(project, mode, "publishable" if publishable else style, given, now, until_ms),
            origins=() if origins is None else parse_origins(origins),
            name=name,
        )
    print(secret)


@app.command(name="list")
def print_list(
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="Print one JSON array.")] = False,
    data: Data = None,
) -> None:
    """List every key without its secret: as a table on a terminal, otherwise as tab-separated lines."""
    now = now_ms()
    with _keys(data) as keys:
        listed = [_list_one(key, now) for key in keys.list()]
    if as_json:
        print_json(listed)
    elif sys.stdout.isatty():
        _print_table(listed)
    else:
        print(*Listed.__struct_fields__, sep="\t")
        for one in listed:
            print(*map(_render_cell, msgspec.structs.astuple(one)), sep="\t")


@app.command
def rotate(
    key: str | None = None,
    /,
    *,
    stdin: Stdin = False,
    overlap: timedelta = timedelta(days=1),
    expires_in: timedelta | None = None,
    data: Data = None,
) -> None:
    """Replace a key, which keeps working for a while, and print the new one, with nothing else on stdout.

    The new key has the name, scopes and origins of the old one. stderr says until when the old key works.

    Args:
        key: The old key's id, its prefix or the start of it.
        overlap: How long the old key keeps working, such as 0s, 12h or 7d.
        expires_in: Lifetime of the new key; default: that of the old key, from now on.
    """
    if not timedelta(0) <= overlap <= _MAX_OVERLAP:
        raise InvalidRequest(f"--overlap must be 0s to {_MAX_OVERLAP.days}d.")
    now = now_ms()
    until_ms = None if expires_in is None else now + expires_in // timedelta(milliseconds=1)
    named = _named(key, stdin=stdin)
    with _keys(data) as keys:
        made, secret, former = keys.rotate(named, now, overlap // timedelta(milliseconds=1), until_ms)
    print(secret)
    works_until = _to_second(former.expires_at_ms or now)
    print(f"{made.id} takes the place of {former.id}, which works until {works_until}", file=sys.stderr)


@app.command
def revoke(key: str | None = None, /, *, stdin: Stdin = False, data: Data = None) -> None:
    """Revoke a key permanently. A running server rejects it within a second.

    Args:
        key: The key's id, its prefix or the start of it.
    """
    named = _named(key, stdin=stdin)
    with _keys(data) as keys:
        revoked = keys.revoke(named, now_ms())
    print(f"revoked {revoked.id} (prefix {revoked.prefix})")


def _named(given: str | None, *, stdin: bool) -> str:
    """What names a key: an argument that is no secret, or a line of stdin. Raises InvalidRequest."""
    if stdin != (given is None):
        raise InvalidRequest("Give the key's id or prefix, or --stdin and the key on stdin.")
    if given is None:
        line = sys.stdin.readline(_MAX_LINE_CHARS).strip()
        if not line:
            raise InvalidRequest("Nothing came from stdin: pipe a key, its id or its prefix into the command.")
        return line
    if masked(given) != given:
        raise InvalidRequest(
            "This is more of a key than its prefix, and other users of this machine can see a command's arguments, so nothing "
            "was done. Give the key's id or prefix (`headrace keys list` shows both), or --stdin and the key on stdin. "
            "If this is a key in use, rotate it: it may have been seen."
        )
    return given


class Listed(msgspec.Struct, frozen=True):
    """A key as `keys list` prints it. The fields are the columns, in order."""

    id: str
    project: str
    mode: Mode
    style: Style
    scopes: tuple[Scope, ...]
    prefix: str
    status: Status
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    origins: tuple[str, ...]
    name: str | None
    last_used_at: str | None
    replaced_by: str | None


def _list_one(key: Key, now_ms: int) -> Listed:
    return Listed(
        id=key.id,
        project=key.tenant.project,
        mode=key.tenant.mode,
        style=key.style,
        scopes=tuple(scope for scope in SCOPES if scope in key.scopes),
        prefix=key.prefix,
        status=status_of(key, now_ms),
        created_at=_to_second(key.created_at_ms),
        expires_at=None if key.expires_at_ms is None else _to_second(key.expires_at_ms),
        revoked_at=None if key.revoked_at_ms is None else _to_second(key.revoked_at_ms),
        origins=key.origins,
        name=key.name or None,
        last_used_at=None if key.last_used_at_ms is None else _to_second(key.last_used_at_ms),
        replaced_by=key.replaced_by or None,
    )


def _to_second(milliseconds: int) -> str:
    return render_time_short(milliseconds // 1000 * 1000)


def _render_cell(value: str | tuple[str, ...] | None) -> str:
    return "-" if value is None or value == () else value if isinstance(value, str) else ",".join(value)


def _print_table(listed: Sequence[Listed]) -> None:
    # Imported here: only a terminal needs them.
    from rich.box import SIMPLE  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    # In 80 columns the others may fold, but `keys revoke` needs these two.
    table = Table(Column("id", no_wrap=True), Column("prefix", no_wrap=True), box=SIMPLE)
    for header in ("name", "project", "mode", "scopes", "status"):
        table.add_column(header, overflow="fold")
    for one in listed:
        day = (one.revoked_at or one.expires_at or "")[:10]
        status = f"{one.status} until {day}" if day and one.status == "works" else f"{one.status} {day}"
        table.add_row(
            one.id, one.prefix, one.name or "", one.project, one.mode, " ".join((*one.scopes, *one.origins)), status
        )
    Console().print(table)


@contextmanager
def _keys(data: Path | None) -> Generator[Keys]:
    with open_used(data) as engine:
        yield Keys(engine)
