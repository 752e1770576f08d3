"""Which worker should store which partition: the function by itself, and many that follow it at once."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from headrace.model.partition_shares import shares_of

_MEMBERS = st.sampled_from("abcde")
_HOLDERS = st.dictionaries(st.integers(0, 63), st.sampled_from(["", *"abcdefg"]), max_size=20)


@given(st.sets(_MEMBERS, min_size=1), _HOLDERS)
def test_shares_are_even_and_no_partition_moves_that_need_not(members: set[str], holders: dict[int, str]) -> None:
    shares = shares_of(members, holders)
    assert shares.keys() == holders.keys()
    counts = Counter(shares.values())
    each = [counts[member] for member in members]
    assert max(each) - min(each) <= 1
    assert counts.keys() <= members
    stay = sum(shares[partition] == holder for partition, holder in holders.items())
    most = sorted((Counter(holders.values())[member] for member in members), reverse=True)
    fewest, over = divmod(len(holders), len(members))
    assert stay == sum(min(has, fewest + (rank < over)) for rank, has in enumerate(most)), "no division keeps more"


def test_nobody_has_a_share_where_there_are_no_members() -> None:
    assert shares_of([], {0: "", 1: "a"}) == {}


@given(st.sets(_MEMBERS, min_size=1), _HOLDERS)
def test_what_is_shared_evenly_stays_as_it_is(members: set[str], holders: dict[int, str]) -> None:
    shares = shares_of(members, holders)
    assert shares_of(members, shares) == shares


class Workers(RuleBasedStateMachine):
    """Workers that look one after the other, each at what it last saw of the others, and act on it: see `PartitionShare`."""

    @initialize(partitions=st.integers(1, 12))
    def begin(self, partitions: int) -> None:
        self.members: set[str] = set()
        self.holders = dict.fromkeys(range(partitions), "")
        self.seen: dict[str, tuple[set[str], dict[int, str]]] = {}

    @rule(member=_MEMBERS)
    def join(self, member: str) -> None:
        self.members.add(member)

    @rule(member=_MEMBERS)
    def leave(self, member: str) -> None:
        self.members.discard(member)
        self.holders = {each: "" if holder == member else holder for each, holder in self.holders.items()}

    @rule(member=_MEMBERS)
    def look(self, member: str) -> None:
        self.seen[member] = set(self.members), dict(self.holders)

    @rule(member=_MEMBERS)
    def act(self, member: str) -> None:
        if member not in self.members or member not in self.seen:
            return
        mine = {each for each, holder in shares_of(*self.seen[member]).items() if holder == member}
        for each, holder in list(self.holders.items()):
            if holder == member and each not in mine:
                self.holders[each] = ""
            elif holder == "" and each in mine:  # the lease: free now, whatever was seen before
                self.holders[each] = member

    def teardown(self) -> None:
        if not getattr(self, "members", None):
            return
        for _ in range(2):  # in the first, everybody gives back; in the second, takes
            for member in sorted(self.members):
                self.look(member)
                self.act(member)
        counts = Counter(self.holders.values())
        each = [counts[member] for member in self.members]
        assert counts[""] == 0, "every partition is stored by somebody"
        assert max(each) - min(each) <= 1


TestWorkersThatFollowIt = Workers.TestCase
TestWorkersThatFollowIt.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
