"""What a quota says a site can hold, and what it does not say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from site_agent.core.matching import Flavor
from site_agent.core.quota_capacity import Quota, bound, needs, quota_capacity, read_quota

SMALL, LARGE = Flavor("s", 1, 512, 5, 0, 0, {}), Flavor("l", 4, 4096, 80, 10, 1, {})
NOW = 1_800_000_000.0


def limits(**changes: int) -> dict[str, Any]:
    """The absolute limits of a project: 16 cores, 32 GiB, any number of servers, half of it used."""
    return {
        "maxTotalInstances": -1, "maxTotalCores": 16, "maxTotalRAMSize": 32768,
        "totalInstancesUsed": 4, "totalCoresUsed": 8, "totalRAMUsed": 16384, **changes,
    }  # fmt: skip


def test_limits_are_the_capacity_and_bound_the_disk() -> None:
    found = quota_capacity(read_quota(limits()), [SMALL, LARGE], ["north", "south"], NOW)
    assert set(found) == {"", "north", "south"} and len(set(map(repr, found.values()))) == 1
    whole = found[""]
    assert (whole.vcpus, whole.memory_mb, whole.vcpus_used, whole.memory_mb_used) == (16, 32768, 8, 16384)
    assert whole.disk_gb == 4 * (80 + 10 + 1), "four large ones, and their swap of 1 MiB is a GiB begun"
    assert (whole.max_vcpus, whole.max_memory_mb, whole.hosts, whole.measured_at) == (16, 32768, 0, NOW)


@pytest.mark.parametrize(
    ("changes", "flavors"),
    [
        ({"maxTotalCores": -1, "maxTotalRAMSize": -1}, [SMALL]),
        ({}, []),
        ({"maxTotalRAMSize": -1}, [Flavor("odd", 0, 512, 5, 0, 0, {})]),
    ],
    ids=["no limit", "no flavor", "a flavor that no limit holds"],
)
def test_what_nothing_bounds_is_not_made_up(changes: dict[str, int], flavors: list[Flavor]) -> None:
    assert quota_capacity(read_quota(limits(**changes)), flavors, ["north"], NOW) == {}


def test_a_limit_of_servers_bounds_the_rest() -> None:
    quota = read_quota(limits(maxTotalInstances=10, maxTotalCores=-1, maxTotalRAMSize=-1))
    whole = quota_capacity(quota, [SMALL, LARGE], [], NOW)[""]
    assert (whole.vcpus, whole.memory_mb, whole.disk_gb) == (40, 40960, 910)


def test_a_quota_of_nothing_is_no_capacity_but_an_answer() -> None:
    whole = quota_capacity(read_quota(limits(maxTotalCores=0)), [SMALL], [], NOW)[""]
    assert (whole.vcpus, whole.disk_gb) == (0, 0)


sizes = st.integers(1, 64)
some_flavors = st.lists(
    st.builds(Flavor, st.just("f"), sizes, sizes, sizes, st.just(0), st.just(0), st.none()), min_size=1
)


@given(some_flavors, st.integers(0, 200), st.integers(0, 200), st.lists(st.integers(0, 63), max_size=30))
def test_no_mix_of_servers_within_the_limits_uses_more(
    flavors: list[Flavor], cores: int, ram: int, chosen: list[int]
) -> None:
    quota = Quota({"cores": cores, "ram": ram}, {})
    used = {"cores": 0, "ram": 0, "disk": 0, "instances": 0}
    for number in chosen:
        need = needs(flavors[number % len(flavors)])
        if used["cores"] + need["cores"] <= cores and used["ram"] + need["ram"] <= ram:
            used = {name: used[name] + need[name] for name in used}
    assert used["disk"] <= (bound(quota, flavors, "disk") or 0)
    assert used["instances"] <= (bound(quota, flavors, "instances") or 0)
