"""A rebuild: corrects every participant's points to what the rules in force give, once these have counted every event.

An ordinary replay comes first; this module does the corrections after it. It does not decide what rules give.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from headrace.model.effects import Effect
from headrace.model.event import Tenant
from headrace.model.ledger import Change, Correction, Payer
from headrace.ports.ledger import Settlement, Taking

Note = Callable[[object, Sequence[Correction]], None]


class RulesChanged(Exception):
    """The rules have changed since the rebuild was asked for, and the new ones have not counted every event."""


class Rebuild:
    """Any thread may call it."""

    def __init__(
        self,
        settlement: Settlement,
        payers: Callable[[str], tuple[str, list[Payer]]],
        clock_ms: Callable[[], int],
    ) -> None:
        """payers: returns the application of a project's rules that is in force, and what each rule pays."""
        self._settlement = settlement
        self._payers = payers
        self._clock_ms = clock_ms

    def applied(self, project: str, /) -> str:
        """The application of the rules that a rebuild started now is for."""
        return self._payers(project)[0]

    def run(self, tenant: Tenant, applied: str, note: Note, goes_on: Callable[[], bool], /) -> None:
        """Correct all participants, some at a time, as long as `goes_on`. Restarting after a crash repeats nothing.

        note: saves the corrections in their transaction. Raises RulesChanged, ControlFailed, and what `note` raises.
        """
        after: int | None = 0
        while after is not None and goes_on():
            now_applied, payers = self._payers(tenant.project)
            if now_applied != applied:
                raise RulesChanged
            after = self._settlement.settle(tenant, payers, after, self._clock_ms(), note).last

    def changes(self, project: str, effects: Iterable[Effect], /) -> dict[tuple[str, str, str], Change]:
        """By participant, kind of rule and rule id: what effects that have not happened yet would change."""
        _, payers = self._payers(project)
        worth = {(payer.kind, payer.rule_id): payer.points for payer in payers}
        changes: dict[tuple[str, str, str], Change] = {}
        for effect in effects:
            is_payment = effect.kind == "points"
            kind = str(effect.detail["for"]) if is_payment else effect.kind
            key = effect.participant, kind, effect.rule
            points = worth.get((kind, effect.rule), 0)
            if not effect.participant or not points:
                continue
            before = changes.get(key, Change())
            if is_payment:
                changes[key] = msgspec.structs.replace(before, paid=before.paid + int(str(effect.detail["points"])))
            else:
                times = int(str(effect.detail.get("times", 1)))
                changes[key] = msgspec.structs.replace(before, due=before.due + times * points)
        return changes

    def foresee(self, tenant: Tenant, take: Taking, /) -> Iterator[Sequence[Correction]]:
        """The corrections of a rebuild, page by page; see the Settlement port."""
        return self._settlement.foresee(tenant, self._payers(tenant.project)[1], take)
