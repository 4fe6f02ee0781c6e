"""What a zone holds, what of it others use, and how many more servers of a flavor fit."""

import msgspec
import pytest

from proto.messages import Capacity, ClassCapacity
from site_agent.core import fits
from site_agent.core.capacity import Provider, Reading, sum_up, used
from tests.unit.site_agent.world import FLAVOR

OURS, VENDORS, SOUTHERN = "our-server", "vendors-server", "our-server-in-the-south"
SHARED = frozenset({"MISC_SHARES_VIA_AGGREGATE"})
SMALL = msgspec.structs.replace(FLAVOR, vcpus=1, ram=512, disk=1, ephemeral=0, swap=0, extra_specs={})


def provider(
    name: str,
    capacity: dict[str, int],
    allocations: dict[str, dict[str, int]] | None = None,
    root: str = "",
    traits: frozenset[str] = frozenset(),
) -> Provider:
    taken = allocations or {}
    return Provider(name, root or name, capacity, used(taken), traits, taken, dict(capacity))


def test_what_others_use_is_told_apart_from_what_ours_use() -> None:
    node = provider("a", {"VCPU": 8, "MEMORY_MB": 4096}, {OURS: {"VCPU": 2}, VENDORS: {"VCPU": 3, "MEMORY_MB": 512}})
    north = sum_up([node], {"a": "north"}, Reading({OURS}))["north"]
    assert (north.vcpus, north.vcpus_used, north.others) == (8, 5, {"VCPU": 3, "MEMORY_MB": 512})


def test_in_shared_storage_our_servers_of_other_zones_are_others() -> None:
    providers = [
        provider("a", {"VCPU": 8}, {OURS: {"VCPU": 1}}),
        provider("b", {"VCPU": 8}, {SOUTHERN: {"VCPU": 1}}),
        provider("ceph", {"DISK_GB": 100}, {OURS: {"DISK_GB": 10}, SOUTHERN: {"DISK_GB": 20}}, traits=SHARED),
    ]
    found = sum_up(providers, {"a": "north", "b": "south"}, Reading({OURS, SOUTHERN}))
    assert (found["north"].others, found["south"].others, found[""].others) == ({"DISK_GB": 20}, {"DISK_GB": 10}, {})


def test_custom_classes_of_nested_providers_count_and_addresses_do_not() -> None:
    node = provider("a", {"VCPU": 8})
    gpus = provider("gpus", {"CUSTOM_GPU": 4, "IPV4_ADDRESS": 9, "PCPU": 2}, {VENDORS: {"CUSTOM_GPU": 1}}, root="a")
    found = sum_up([node, gpus], {"a": "north"}, Reading(()))["north"]
    assert found.classes == {"CUSTOM_GPU": ClassCapacity(4, 4, 1), "PCPU": ClassCapacity(2, 2)}
    assert found.others == {"CUSTOM_GPU": 1}


def test_fits_are_counted_host_by_host() -> None:
    whole = {"VCPU": 4, "MEMORY_MB": 4096, "DISK_GB": 100}
    halves = [provider(name, whole, {VENDORS: {"VCPU": 2}}) for name in ("a", "b")]
    zones = {"a": "north", "b": "north"}
    large = msgspec.structs.replace(SMALL, flavor_id="large", vcpus=3)
    found = sum_up(halves, zones, Reading((), [SMALL, large]))["north"]
    assert found.fits == {SMALL.flavor_id: 4, "large": 0}  # 4 cores are free, but no 3 of them together


def test_shared_disk_bounds_all_hosts_together() -> None:
    nodes = [provider(name, {"VCPU": 8, "MEMORY_MB": 8192}) for name in ("a", "b")]
    disk = provider("ceph", {"DISK_GB": 5}, {VENDORS: {"DISK_GB": 2}}, traits=SHARED)
    found = sum_up([*nodes, disk], {"a": "n", "b": "n"}, Reading((), [SMALL]))["n"]
    assert found.fits[SMALL.flavor_id] == 3


@pytest.mark.parametrize(
    ("specs", "count"),
    [
        ({}, 4),
        ({"trait:CUSTOM_GOLD": "required"}, 0),
        ({"trait:HW_NVME": "required"}, 4),
        ({"trait:HW_NVME": "forbidden"}, 0),
        ({"resources:CUSTOM_GPU": "2"}, 1),
        ({"resources:VCPU": "0", "resources:CUSTOM_GPU": "1"}, 3),
        ({"hw:cpu_policy": "dedicated"}, 0),
    ],
)
def test_extra_specs_count(specs: dict[str, str], count: int) -> None:
    capacity = {"VCPU": 4, "MEMORY_MB": 4096, "DISK_GB": 100, "CUSTOM_GPU": 3}
    node = provider("a", capacity, traits=frozenset({"HW_NVME"}))
    flavor = msgspec.structs.replace(SMALL, extra_specs=specs)
    assert sum_up([node], {"a": "n"}, Reading((), [flavor]))["n"].fits[SMALL.flavor_id] == count


def test_what_one_server_can_have_bounds_it() -> None:
    node = Provider("a", "a", {"VCPU": 64, "MEMORY_MB": 9999, "DISK_GB": 99}, {}, frozenset(), {}, {"VCPU": 16})
    large = msgspec.structs.replace(SMALL, vcpus=17)
    assert sum_up([node], {"a": "n"}, Reading((), [large]))["n"].fits[SMALL.flavor_id] == 0


def test_a_quota_bounds_where_hosts_are_not_seen() -> None:
    quota = Capacity(10, 2048, 100, 10, 2048, 100, 0, vcpus_used=4, memory_mb_used=0)
    dedicated = msgspec.structs.replace(SMALL, flavor_id="d", extra_specs={"hw:cpu_policy": "dedicated"}, vcpus=2)
    assert fits.within(quota, [SMALL, dedicated]) == {SMALL.flavor_id: 4, "d": 3}
    assert fits.within(msgspec.structs.replace(quota, vcpus_used=11), [SMALL]) == {SMALL.flavor_id: 0}
