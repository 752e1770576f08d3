"""Which worker should store which of the log's partitions. Pure: every worker works it out for itself, from what control says."""

from collections.abc import Collection, Mapping


def shares_of(members: Collection[str], holders: Mapping[int, str], /) -> dict[int, str]:
    """The member that should hold each partition: as many for each as can be, give or take one, and as few moved as can be.

    holders: by partition whoever holds it now, "" for nobody; whoever is not a member counts as nobody. No members, no shares.
    """
    if not members:
        return {}
    kept: dict[str, list[int]] = {member: [] for member in members}
    free: list[int] = []
    for partition, holder in sorted(holders.items()):
        kept.get(holder, free).append(partition)
    fewest, over = divmod(len(holders), len(kept))
    # Whoever has most keeps the one that is left over; among equals, the names decide.
    room: dict[str, int] = {}
    for rank, member in enumerate(sorted(kept, key=lambda each: (-len(kept[each]), each))):
        most = fewest + (rank < over)
        free += kept[member][most:]
        kept[member] = kept[member][:most]
        room[member] = most - len(kept[member])
    takers = iter([member for member in sorted(room) for _ in range(room[member])])
    for partition in sorted(free):
        kept[next(takers)].append(partition)
    return {partition: member for member, partitions in kept.items() for partition in partitions}
