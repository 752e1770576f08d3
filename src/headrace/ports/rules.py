"""Rules in control: their versions, their history, and those put aside. Everything raises ControlFailed."""

from collections.abc import Callable, Mapping
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.reaction_state import Overrun
from headrace.model.rulebook import Application, Fired, PassedOver, PutAside, RuleRow, Version


class RuleStore(Protocol):
    """The rules of each project. Every version of a rule's meaning has a number."""

    def rule_set_ids(self) -> dict[str, int]:
        """The id of the rules in force, by project; without projects that never had any."""
        ...

    def timeline(self, project: str, after: int, /) -> list[tuple[int, Version, list[RuleRow]]]:
        """The documents that apply to events after a position, earliest first.

        Each with the position after which it applies, and the versions of all rules that the project ever had.
        """
        ...

    def current(self, project: str, /) -> tuple[Version, list[RuleRow]] | None:
        """The rules in force, and the versions of all rules the project ever had; None if it never had any."""
        ...

    def apply(
        self,
        application: Application,
        now_ms: int,
        last: Callable[[], int],
        /,
        replaces: Callable[[str], bool] = lambda _: True,
    ) -> bool:
        """Put a whole document in force, or nothing. Returns False if the same content is in force already.

        Creates the project if it is new. Rules of the document that were put aside are evaluated again, even if the content
        is the same; its source then replaces the one that is kept. Of two concurrent calls, the one that commits last wins.

        last: called within the transaction for the last acknowledged event's position; the document applies to later events.
        replaces: whether rules of a version ("" for none) are the ones to replace; asked about those in force, within the
        transaction. If they are not, raises OtherRules.
        """
        ...


class RuleHistory(Protocol):
    """What happened to a project's rules."""

    def history(self, project: str, limit: int, /) -> list[Version]:
        """The latest applications, newest first, without their documents."""
        ...

    def applied(self, project: str, version: str, /) -> Version | None:
        """The latest application of a version; None if the project never had it."""
        ...

    def failures(self, limit: int, /) -> list[tuple[str, str, int]]:
        """(project, rule id, how often its condition was neither true nor false), for each project's rules that failed most."""
        ...

    def fired(self, tenant: Tenant, /) -> Mapping[int, Fired]:
        """By number: the versions of the project's rules that have fired in the mode."""
        ...


class PassedOverEvents(Protocol):
    """Events on which rules were not evaluated."""

    def passed_over(self, tenant: Tenant, rule_no: int, after: str, limit: int, /) -> list[PassedOver]:
        """The tenant's events on which a rule was not evaluated (rule number 0: no rule was), ordered by id, after an id."""
        ...

    def passed_over_by_all(self, project: str, /) -> Mapping[str, int]:
        """By mode: on how many of the project's events no rule was evaluated."""
        ...


class Overruns(Protocol):
    """Rules whose conditions would have cost too much on consecutive events."""

    def load(self, tenant: Tenant, /) -> tuple[int, Mapping[int, Overrun]]:
        """The version of the tenant's state (see ReactionStates), and its overruns by rule number as of that version."""
        ...

    def put_aside(self, project: str, /) -> list[PutAside]:
        """The project's rules that are put aside, including those no longer in force."""
        ...

    def counts(self) -> Mapping[Tenant, int]:
        """How many rules are put aside, for each project and mode that has any."""
        ...
