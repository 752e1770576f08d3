"""Participants follow the people that they are: when ids become one person, and when they no longer are. Pure.

What a person has come to follows from the progress of the ids, which is kept apart and adds up, and from the rules. So when ids
are regrouped, the standing and badges of each person are found anew, as if all events of its ids had been one participant's, and
no event of anybody else's. What had been paid for otherwise is corrected in the ledger:

- A merge completes a challenge, or earns a badge, that the ids had not reached each by itself. These are effects of the event
  that made the merge, under ordinals of their own: the same event may also be counted by the same rule.
- What several ids had earned, and one person may have once, counts once: the others' part is booked back.
- An undoing books back what only the ids together had earned, and returns to each what it has earned by itself.

A challenge that is not in force keeps the sum of its ids' completions, and an id that is alone again has its own. A badge whose
rule is not in force stays with the id whose event earned it. A badge that was taken back from one id is taken back from the
person.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from headrace.model.reaction_state import Booking, HeldAward, Share, Standing, State
from headrace.reactions.badges import Badge
from headrace.reactions.effects import NewEffects, effect_of
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.ruleset import RuleSet

MERGED = 2  # the ordinal of a merge's effect; that of its points is the next one
_FIRST_BOOKING = 10  # the ordinals of bookings are from here on
_TOGETHER, _APART = "counts once for one person", "is counted apart again"


def merge(rules: RuleSet, state: State, seen: EventFacts, ids: Sequence[str], /) -> None:
    """Ids have become one person, who goes by the first of them, by an event. Their persons are loaded whole."""
    _Regrouping(rules, state, seen, {ids[0]: tuple(ids)}, why=_TOGETHER).run(undone=False)


def part(rules: RuleSet, state: State, event_id: str, at_ms: int, parties: Mapping[str, Sequence[str]], /) -> None:
    """The ids of one person are several, each of whom goes by a name of `parties`. It is loaded whole.

    event_id: an id of its own, for what is booked; no event has parted them.
    """
    seen = EventFacts(event_id, "", at_ms, [], [], relevant=True)
    groups = {name: tuple(ids) for name, ids in parties.items()}
    _Regrouping(rules, state, seen, groups, why=_APART).run(undone=True)


class _Regrouping:
    def __init__(
        self, rules: RuleSet, state: State, seen: EventFacts, parties: Mapping[str, tuple[str, ...]], *, why: str
    ) -> None:
        self._rules = rules
        self._state = state
        self._seen = seen
        self._parties = parties
        self._why = why
        self._ids = [each for ids in parties.values() for each in ids]
        self._former = {state.participant(each) for each in self._ids}
        # What they had, before anything changes:
        self._standings = [
            (no, held)
            for no in sorted(state.stood_in)
            for name in sorted(self._former)
            if (held := state.standings.get((no, name)))
        ]
        self._awards = {badge: held for _, badge, held in self._awards_of(self._ids) if held.stands}

    def run(self, *, undone: bool) -> None:
        state = self._state
        is_known = not state.known.isdisjoint(self._ids)
        if is_known:
            for each in self._ids:
                self._track(each)
        for name in self._former - self._parties.keys():
            state.ids.pop(name, None)
        for name, ids in self._parties.items():
            state.gather(name, ids)
        if not is_known:  # nobody has anything
            return
        for name in self._former - self._parties.keys():
            state.emptied.add(name)
            state.regrouped.pop(name, None)
            for no in state.stood_in:
                state.standings.pop((no, name), None)
                state.changed_standings.discard((no, name))
            state.held.pop(name, None)
            state.revoked.pop(name, None)
        for name, ids in self._parties.items():
            state.emptied.discard(name)
            state.regrouped[name] = ids
            seen = msgspec.structs.replace(self._seen, participant=name)
            new = NewEffects(self._rules, seen, state, set())
            self._stand(name, ids, seen, new, undone=undone)
            self._hold(name, ids, seen, new, undone=undone)

    def _track(self, id: str) -> None:  # noqa: A002
        """Keep an id's shares: those that it has so far, as it was by itself, are all that it has."""
        state = self._state
        if id in state.tracked:
            return
        state.tracked.add(id)
        for no in sorted(state.stood_in):
            if (standing := state.standings.get((no, id))) and standing.completions:
                state.put_share(no, id, Share(standing.completions))
        for _, _, award in self._awards_of([id]):
            state.put_share(award.rule_no, id, Share(1))

    def _awards_of(self, ids: Sequence[str]) -> list[tuple[str, str, HeldAward]]:
        """(id, badge, award), by badge."""
        held = self._state.awards
        return [
            (each, badge, award)
            for badge in sorted(self._state.badges)
            for each in ids
            if (award := held.get((each, badge)))
        ]

    def _stand(self, name: str, ids: tuple[str, ...], seen: EventFacts, new: NewEffects, *, undone: bool) -> None:
        state = self._state
        in_force = {each.no for each in self._rules.challenges}
        for challenge in self._rules.challenges:
            no, rule = challenge.no, challenge.rule
            progress = [state.buckets.get((no, each), {}) for each in ids]
            if not any(progress) and not any((no, each) in state.shares for each in ids):
                state.standings.pop((no, name), None)
                continue
            due = challenge.outcome(challenge.together(progress))
            state.stand(no, name, due)
            times = due.completions - sum(self._share(no, each).net for each in ids)
            if times > 0 and not undone:
                detail: dict[str, object] = {"challengeId": rule.id, "times": times}
                if new.add(no, effect_of(seen, no, "challenge", detail, MERGED)):
                    state.share(no, name, times)
            earned = sum(self._share(no, each).completions for each in ids)
            self._correct(no, name, ids, due.completions - earned, rule.points, rule.id, f"the challenge {rule.id!r}")
        for no, held in self._standings:
            if no not in in_force:
                self._stand_as_before(no, name, ids, held, undone=undone)

    def _stand_as_before(self, no: int, name: str, ids: tuple[str, ...], held: Standing, *, undone: bool) -> None:
        """In a challenge that is not in force."""
        state = self._state
        if undone and len(ids) == 1:
            self._correct(no, name, ids, 0, 0, "", "a challenge that is not in force")
        completions = sum(self._share(no, each).net for each in ids)
        best = max(held.best, state.standing(no, name).best, key=Decimal)
        state.stand(no, name, Standing(max(0, completions), best))

    def _hold(self, name: str, ids: tuple[str, ...], seen: EventFacts, new: NewEffects, *, undone: bool) -> None:
        state = self._state
        state.held[name], state.revoked[name] = set(), set()
        known = {each.rule.id: each for each in self._rules.badges}
        others = list(dict.fromkeys(badge for _, badge, _ in self._awards_of(ids) if badge not in known))
        for badge in (*others, *known):  # in their order: one badge may earn another
            rule = known.get(badge)
            held = [(each, state.awards[each, badge]) for each in ids if (each, badge) in state.awards]
            is_earned = rule is not None and rule.is_earned(name, state)
            if not undone:
                if not held and rule is not None and is_earned:
                    effect = effect_of(seen, rule.no, "badge", {"badgeId": badge}, MERGED)
                    if new.add(rule.no, effect):
                        state.award(name, badge, effect)
                    continue
                stays = bool(held)
            else:
                stays = is_earned or any(rule is None or each.rule_no != rule.no for _, each in held)
            if stays and not held and rule is not None:
                copy = self._awards.get(badge) or HeldAward(rule.no, self._seen.event_id, self._seen.at_ms)
                held = [(name, copy)]
            self._settle_badge(badge, rule, held, stays=stays)
            chosen = next((each for _, each in held), None) if stays else None
            if chosen is not None:
                is_revoked = any(each.revoked_at_ms is not None for _, each in held)
                (state.revoked if is_revoked else state.held)[name].add(badge)

    def _settle_badge(
        self, badge: str, rule: Badge | None, held: Sequence[tuple[str, HeldAward]], *, stays: bool
    ) -> None:
        """Of several who hold it, only one's award stands: the first, or the one that was taken back."""
        state = self._state
        first = min(
            held, key=lambda each: (each[1].revoked_at_ms is None, each[1].at_ms, each[1].event_id), default=None
        )
        for each, award in held:
            stands = stays and first is not None and each == first[0]
            if stays:
                state.awards[each, badge] = msgspec.structs.replace(award, stands=stands)
                state.badges.add(badge)
            else:
                state.awards.pop((each, badge))
            state.changed_awards.add((each, badge))
            share = self._share(award.rule_no, each)
            wanted = int(stands) - share.completions
            points = rule.rule.points if rule is not None else 0
            self._put(award.rule_no, each, share, wanted, points, badge, f"the badge {badge!r}")

    def _correct(
        self, no: int, name: str, ids: tuple[str, ...], wanted: int, points: int, rule_id: str, what: str
    ) -> None:
        """Have the corrections of some ids come to a number of completions."""
        missing = wanted - sum(self._share(no, each).corrected for each in ids)
        if missing:
            share = self._share(no, name)
            self._put(no, name, share, share.corrected + missing, points, rule_id, what)

    def _put(
        self,
        no: int,
        id: str,  # noqa: A002
        share: Share,
        corrected: int,
        points: int,
        rule_id: str,
        what: str,
    ) -> None:
        if corrected == share.corrected:
            return
        state = self._state
        booked = state.booked.get((no, id), 0)
        # What is no longer corrected is booked back as it was booked, whatever the rule pays now.
        amount = -booked if not corrected else (corrected - share.corrected) * points
        state.put_share(no, id, Share(share.completions, corrected))
        if amount:
            state.booked[no, id] = booked + amount
            ordinal = _FIRST_BOOKING + len(state.bookings)
            reason = f"{what} {self._why}"
            state.bookings.append(
                Booking(id, no, ordinal, self._seen.event_id, self._seen.at_ms, amount, reason, rule_id)
            )

    def _share(self, no: int, id: str) -> Share:  # noqa: A002
        return self._state.shares.get((no, id)) or Share()
