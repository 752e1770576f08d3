"""`headrace audit`: shows what was done with admin keys and commands. Works with or without a running server."""

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.opened import Data, open_used
from headrace.cli.server import print_json
from headrace.control.audit import ControlAudit
from headrace.dialects.native_audit import FIRST, entry_value
from headrace.model.audit import AuditFilters, Entry, Outcome, person_mark
from headrace.model.errors import InvalidRequest
from headrace.model.times import parse_time, render_time_short

_MOST = 10_000


def print_audit(
    *,
    project: str | None = None,
    action: str | None = None,
    by: str | None = None,
    person: str | None = None,
    outcome: Outcome | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    limit: int = 100,
    as_json: Annotated[bool, Parameter(name="--json", help="Print one JSON array.")] = False,
    data: Data = None,
) -> None:
    """List what was done with admin keys and commands, the latest first, as tab-separated lines.

    Args:
        project: Only what concerned this project; default: every project, and what concerned none.
        action: Only this action, such as `apply_rules` or `keys create`.
        by: Only what was done by the key of this id, prefix or name, or by commands of this user.
        person: Only what concerned the person of this id, in --project or else in `default`.
        outcome: Only what was done, refused, failed, or begun with an end that nobody knows.
        from_: Earliest time.
        to: Latest time.
        limit: Maximum number of entries, 1 to 10,000.
    """
    if not 1 <= limit <= _MOST:
        raise InvalidRequest(f"--limit must be 1 to {_MOST}.")
    if person:
        project = project or "default"
    filters = AuditFilters(
        project=project or "",
        action=action or "",
        by=by or "",
        person=person_mark(project or "", person) if person else "",
        outcome=outcome,
        from_ms=parse_time(from_, "from") if from_ else None,
        to_ms=parse_time(to, "to", end_of_day=True) if to else None,
    )
    with open_used(data) as engine:
        entries = ControlAudit(engine).page(None, filters, FIRST, limit)
    if as_json:
        print_json([entry_value(each) for each in entries])
        return
    print("at", "by", "address", "project", "mode", "action", "target", "detail", "outcome", sep="\t")
    for entry in entries:
        print(*_cells(entry), sep="\t")


def _cells(entry: Entry) -> list[str]:
    deed, actor = entry.deed, entry.deed.actor
    who = f"{actor.prefix}…" if actor.prefix else actor.key_id
    by = " ".join(each for each in (who, actor.name) if each) if actor.kind == "key" else f"command of {actor.name}"
    shown = [by, actor.address, deed.project, deed.mode, deed.action, deed.target, deed.detail, entry.outcome]
    return [render_time_short(deed.at_ms), *(each or "-" for each in shown)]
