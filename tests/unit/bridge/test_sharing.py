"""The spread of sites over bridges: even in the end, nothing moves without need, and no two bridges take one site."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import sharing

ME = 1


@pytest.mark.parametrize(
    ("loads", "free", "room"),
    [
        ({ME: 0}, 5, 5),  # alone: everything
        ({ME: 0, 2: 0}, 5, 2),
        ({ME: 2, 2: 2}, 1, 1),  # one is left over: anybody's
        ({ME: 2, 2: 1}, 1, 0),  # the share is 2, and the other lacks one of it
        ({ME: 2, 2: 1}, 2, 1),
        ({ME: 2, 2: 2, 3: 0}, 1, 0),  # the one that has nothing takes it
        ({ME: 3, 2: 2}, 0, 0),
        ({ME: 0, 2: 0, 3: 0}, 2, 1),  # fewer sites than bridges
        ({ME: 1, 2: 0, 3: 0}, 1, 0),
    ],
)
def test_what_is_taken_at_once(loads: dict[int, int], free: int, room: int) -> None:
    assert sharing.room(loads, ME, free) == room


@pytest.mark.parametrize(
    ("loads", "givers"),
    [
        ({1: 4}, set()),
        ({1: 2, 2: 1}, set()),  # a difference of one is left as it is
        ({1: 2, 2: 0}, {1}),
        ({1: 3, 2: 3, 3: 0}, {1, 2}),
        ({1: 3, 2: 3, 3: 3, 4: 3, 5: 0}, {1, 2}),  # two must move, so two give
        ({1: 3, 2: 1, 3: 1, 4: 1, 5: 1}, {1}),
        ({1: 1, 2: 1, 3: 0}, set()),
        ({1: 6, 2: 0, 3: 0}, {1}),  # one at a time
        ({1: 4, 2: 6, 3: 1}, {2}),  # four may be kept: only the one that has more gives
    ],
)
def test_who_gives_one_back(loads: dict[int, int], givers: set[int]) -> None:
    assert {lease for lease in loads if sharing.gives(loads, lease)} == givers


def test_a_bridge_that_announces_nothing_counts_by_its_sites() -> None:
    assert sharing.loads({"a": 7, "b": 7, "c": ME}, {ME, 2}, ME) == {ME: 1, 2: 0, 7: 2}


def test_those_that_let_a_site_lie_are_passed_over() -> None:
    assert sharing.passed_over({ME: 2, 2: 0, 3: 1, 4: 2}, ME) == {2, 3}


class Cluster:
    """Bridges that act in any order, each on a table that may be old; etcd gives a site to the first who asks."""

    def __init__(self, sites: int, bridges: int, chance: random.Random) -> None:
        self.free = {f"s{number}" for number in range(sites)}
        self.owners: dict[str, int] = {}
        self.bridges = list(range(1, bridges + 1))
        self.chance = chance
        self.moved: Counter[str] = Counter()
        self.seen: dict[int, dict[str, int]] = {}  # what each bridge saw last

    def turn(self, me: int, fresh: bool) -> None:
        """One look of one bridge, with old news or new ones; what it has itself it always knows."""
        if fresh or me not in self.seen:
            self.seen[me] = dict(self.owners)
        others = {site: lease for site, lease in self.seen[me].items() if lease != me}
        table = others | {site: lease for site, lease in self.owners.items() if lease == me}
        free = [site for site in sorted(self.free | self.owners.keys()) if site not in table]
        self.chance.shuffle(free)
        loads = sharing.loads(table, self.bridges, me)
        while free and sharing.room(loads, me, len(free)):
            site = free.pop()
            if site in self.free:  # etcd: the key must not exist
                self.free.remove(site)
                self.owners[site] = me
                loads[me] += 1
        if not free and sharing.gives(loads, me):
            site = self.chance.choice([site for site, lease in self.owners.items() if lease == me])
            del self.owners[site]
            self.free.add(site)
            self.moved[site] += 1

    def settle(self) -> None:
        """All look until nothing changes any more; IndexError if it never ends."""
        for _ in range(10 * (len(self.bridges) + 1) * (len(self.owners) + len(self.free) + 1)):
            before = dict(self.owners)
            for bridge in self.chance.sample(self.bridges, len(self.bridges)):
                self.turn(bridge, fresh=True)
            if self.owners == before and not self.free:
                return
        raise AssertionError(f"it never ends: {self.loads()}")

    def loads(self) -> dict[int, int]:
        return sharing.loads(self.owners, self.bridges, self.bridges[0])


@given(st.integers(0, 30), st.integers(1, 7), st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=60),
       st.integers(0, 2**32))  # fmt: skip
def test_in_the_end_no_two_bridges_differ_by_more_than_one(
    sites: int, bridges: int, turns: list[tuple[int, bool]], seed: int
) -> None:
    cluster = Cluster(sites, bridges, random.Random(seed))
    for who, fresh in turns:
        cluster.turn(cluster.bridges[who % bridges], fresh)
    cluster.settle()
    loads = cluster.loads().values()
    assert max(loads) - min(loads) <= 1 and sum(loads) == sites
    before = dict(cluster.owners)
    cluster.settle()
    assert cluster.owners == before  # and it stays so


@given(st.integers(0, 30), st.integers(1, 6), st.integers(0, 2**32))
def test_a_join_moves_only_what_must_move(sites: int, bridges: int, seed: int) -> None:
    cluster = Cluster(sites, bridges, random.Random(seed))
    cluster.settle()
    cluster.moved.clear()
    cluster.bridges.append(bridges + 1)
    cluster.settle()
    assert cluster.moved.total() == sites // (bridges + 1)
    assert set(cluster.moved.values()) <= {1}


@given(st.integers(0, 30), st.integers(2, 6), st.integers(0, 2**32))
def test_a_death_moves_no_site_of_those_who_live(sites: int, bridges: int, seed: int) -> None:
    cluster = Cluster(sites, bridges, random.Random(seed))
    cluster.settle()
    cluster.moved.clear()
    dead = cluster.bridges.pop()
    for site in [site for site, lease in cluster.owners.items() if lease == dead]:
        del cluster.owners[site]
        cluster.free.add(site)
    cluster.settle()
    assert not cluster.moved
