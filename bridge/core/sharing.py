"""Which free sites a bridge takes and when it gives one back, so that all live bridges have about the same number.

``loads`` is how many sites each bridge has, by its lease; every bridge decides for itself, by what it has seen so far.
The rule: a bridge takes what it lacks of its share at once; nobody gives while a site is free, and a difference of one
is left as it is. So a join moves what must move and nothing else, and a table that is even never changes.
"""

from collections.abc import Collection, Mapping


def loads(owners: Mapping[str, int], bridges: Collection[int], me: int) -> dict[int, int]:
    """Return how many sites each bridge has; one that announces nothing (of an older release) counts by its sites.

    ``owners``: site -> lease of its owner; ``bridges``: the leases announced.
    """
    found = dict.fromkeys((*bridges, me), 0)
    for lease in owners.values():
        found[lease] = found.get(lease, 0) + 1
    return found


def room(loads: Mapping[int, int], me: int, free: int) -> int:
    """Return how many of the free sites a bridge takes at once.

    First what it lacks of the share that everybody can have; then one more, if others leave some over.
    """
    share = (sum(loads.values()) + free) // len(loads)
    if loads[me] < share:
        return min(free, share - loads[me])
    lacking = sum(max(0, share - load) for load in loads.values())
    return 1 if loads[me] == share and free > lacking else 0


def gives(loads: Mapping[int, int], me: int) -> bool:
    """Return whether a bridge gives one site back now; to be asked when no site is free.

    Who has more than the most that anybody may keep gives, one at a time. Of those who have just that many as few give
    as are needed for all to have their share.
    """
    share, rest = divmod(sum(loads.values()), len(loads))
    most = share + bool(rest)
    if loads[me] != most or not rest:
        return loads[me] > most
    lacking = sum(max(0, share - load) for load in loads.values())
    excess = sum(max(0, load - most) for load in loads.values())
    full = sorted(lease for lease, load in loads.items() if load == most)
    return me in full[: max(0, lacking - excess)]


def passed_over(loads: Mapping[int, int], me: int) -> frozenset[int]:
    """Return the bridges that had less than this one and let a site lie: their share is not kept for them."""
    return frozenset(lease for lease, load in loads.items() if load < loads[me])
