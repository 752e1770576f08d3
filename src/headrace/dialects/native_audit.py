"""The audit in the native dialect. Translates; never queries."""

from collections.abc import Mapping

from headrace.dialects.names import fingerprint
from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import Pairs
from headrace.model.audit import OUTCOMES, AuditFilters, Entry, person_mark
from headrace.model.errors import InvalidRequest
from headrace.model.times import parse_time, render_time_short

ROUTES = (Route("GET", "/api/v1/audit", "admin", "native", Handled("audit")),)
FIRST = 2**62  # above every entry's number


def parse_filters(pairs: Pairs, project: str, /) -> tuple[AuditFilters, str]:
    """The filters, and their fingerprint for cursors. Raises InvalidRequest, InvalidTimestamp."""
    given = {name: value for name, value in pairs if value}
    outcome = given.get("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        raise InvalidRequest(f"'outcome' must be one of {', '.join(OUTCOMES)}; it is {outcome[:80]!r}.")
    filters = AuditFilters(
        action=given.get("action", ""),
        by=given.get("by", ""),
        person=person_mark(project, given["person"]) if "person" in given else "",
        outcome=outcome,
        from_ms=parse_time(given["from"], "from") if "from" in given else None,
        to_ms=parse_time(given["to"], "to", end_of_day=True) if "to" in given else None,
    )
    return filters, fingerprint(pairs, "limit", "cursor")


def entry_value(entry: Entry, /) -> Mapping[str, object]:
    deed = entry.deed
    actor = deed.actor
    return {
        "id": str(entry.number),
        "at": render_time_short(deed.at_ms),
        "by": {
            "kind": actor.kind,
            "key_id": actor.key_id or None,
            "prefix": actor.prefix or None,
            "name": actor.name or None,
            "address": actor.address or None,
        },
        "project": deed.project or None,
        "mode": deed.mode or None,
        "action": deed.action,
        "target": deed.target or None,
        "person": deed.person or None,
        "detail": deed.detail or None,
        "outcome": entry.outcome,
    }
