"""Challenges, badges and points as participants have them. Everything raises ControlFailed."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.scores import Award, Board, Score


class ParticipantScores(Protocol):
    """The state of single participants. Read-only; always of one tenant."""

    def participant(self, tenant: Tenant, name: str, spans: Sequence[tuple[int, int, int]], /) -> Score | None:
        """The state of an id's person, with the buckets of some spans (rule number, first, last); None if unknown.

        Buckets are those of each of the person's ids; the rest is under the id that the person goes by.
        """
        ...


class ChallengeScores(Protocol):
    """How participants do in challenges. Read-only; always of one tenant."""

    def challenge_counts(self, tenant: Tenant, rule_nos: Sequence[int], /) -> Mapping[int, tuple[int, int]]:
        """By rule number: how many participants have started a challenge, and how many have completed it."""
        ...

    def leaderboard(
        self, tenant: Tenant, rule_no: int, limit: int, offset: int, /, around: str | None = None
    ) -> Board | None:
        """Most completions first, then the best result within one window, then by name. Equal scores share a rank.

        around: return the page with this participant in the middle instead, or None if it has not started the challenge.
        """
        ...


class BadgeHolders(Protocol):
    """Who holds which badge. Read-only; always of one tenant."""

    def holder_counts(self, tenant: Tenant, /) -> Mapping[str, int]:
        """By badge: how many participants hold it."""
        ...

    def holders(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Award]:
        """The holders of a badge, latest first by the time of the event that earned it."""
        ...


class Scores(ParticipantScores, ChallengeScores, BadgeHolders, Protocol):
    """Everything, for requests."""
