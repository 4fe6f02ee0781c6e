"""What a site looks like above, and when it may take servers."""

import msgspec
import pytest

from bridge.core import inventory
from bridge.core.inventory import Hearing, LastStatus, Liveness, Switch
from proto.codec import from_json, to_json
from proto.messages import Capacity, ClassCapacity, SiteHost, SiteStatus

CAPACITY = Capacity(
    vcpus=640,
    memory_mb=1_048_576,
    disk_gb=20_000,
    max_vcpus=64,
    max_memory_mb=262_144,
    max_disk_gb=4_000,
    hosts=10,
    vcpus_used=40,
    memory_mb_used=8_192,
    disk_gb_used=500,
)


def test_a_site_is_shown_as_one_host_no_larger_than_its_largest() -> None:
    assert inventory.inventories(CAPACITY)["VCPU"] == {
        "total": 640,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": 64,
        "step_size": 1,
        "allocation_ratio": 1.0,
    }


def test_nothing_is_shown_as_all_reserved_since_placement_knows_no_total_of_zero() -> None:
    empty = inventory.inventories(Capacity(0, 0, 0, 0, 0, 0, 0))
    assert all(values["total"] == values["reserved"] == 1 for values in empty.values())


def test_a_huge_site_is_clamped_to_what_the_columns_hold() -> None:
    huge = Capacity(1, 2**40, 1, 1, 2**35, 1, 1)
    assert inventory.inventories(huge)["MEMORY_MB"]["total"] == 2**31 - 1
    assert inventory.inventories(huge)["MEMORY_MB"]["max_unit"] == 2**31 - 1
    assert inventory.compute_node("h", "paris", huge)["memory_mb"] == 2**31 - 1


def test_max_unit_is_never_above_the_total() -> None:
    odd = Capacity(4, 1, 1, 64, 1, 1, 1)
    assert inventory.inventories(odd)["VCPU"]["max_unit"] == 4


def test_each_zone_of_a_site_has_its_own_capacity() -> None:
    status = SiteStatus("paris", "a", 0.0, 0.0, {"": CAPACITY}, {}, 0)
    assert inventory.capacity_of(status, SiteHost("h", "paris")) == CAPACITY
    assert inventory.capacity_of(status, SiteHost("h", "paris", "north")) is None


def test_traits_mirror_the_site_but_for_those_of_its_own_hosts() -> None:
    site = ["HW_CPU_X86_AVX2", "CUSTOM_GOLD", "COMPUTE_STATUS_DISABLED", "COMPUTE_NODE", "MISC_SHARES_VIA_AGGREGATE"]
    assert inventory.traits(site, disabled=False) == {
        "HW_CPU_X86_AVX2",
        "CUSTOM_GOLD",
        "COMPUTE_NODE",
        "OWNER_NOVA",
        "COMPUTE_IMAGE_TYPE_QCOW2",
        "COMPUTE_IMAGE_TYPE_RAW",
    }


def test_image_types_are_the_sites_where_it_names_any() -> None:
    named = inventory.traits(["COMPUTE_IMAGE_TYPE_VMDK"], disabled=False)
    assert {name for name in named if "IMAGE" in name} == {"COMPUTE_IMAGE_TYPE_VMDK"}


def test_the_disabled_trait_follows_the_service() -> None:
    assert inventory.DISABLED_TRAIT in inventory.traits([], disabled=True)
    assert inventory.DISABLED_TRAIT not in inventory.traits([], disabled=False)


def test_operators_custom_traits_stay_and_ours_go_when_the_site_loses_them() -> None:
    present = {"CUSTOM_OPERATOR", "CUSTOM_SITE_OLD", "HW_CPU_X86_AVX", "COMPUTE_STATUS_DISABLED"}
    merged = inventory.merged_traits(present, {"COMPUTE_NODE"}, {"CUSTOM_SITE_OLD"})
    assert merged == {"CUSTOM_OPERATOR", "COMPUTE_NODE"}


def test_the_compute_node_has_what_the_scheduler_wants() -> None:
    node = inventory.compute_node("paris-1", "paris", CAPACITY)
    assert node["uuid"] == inventory.node_uuid("paris-1") == "5ee08cae-88c8-52a0-8279-3188075faeb0"
    assert (node["free_disk_gb"], node["free_ram_mb"]) == (19_500, 1_040_384)
    assert node["disk_available_least"] == 19_500
    assert all(node[f"{name}_allocation_ratio"] == 1.0 for name in ("cpu", "ram", "disk"))
    assert ["aarch64", "kvm", "hvm"] in node["supported_hv_specs"]
    assert node["stats"]["uptime"] == "site paris"


def test_a_host_without_a_report_is_empty() -> None:
    node = inventory.compute_node("paris-1", "paris", None)
    assert (node["vcpus"], node["memory_mb"], node["local_gb"]) == (0, 0, 0)


def test_a_site_is_online_after_two_statuses_and_silent_after_thirty_seconds() -> None:
    hearing = Hearing(last=100.0)
    assert inventory.liveness(hearing, 129.0) is None
    assert inventory.liveness(hearing, 130.1) is Liveness.SILENT
    hearing = inventory.heard(hearing, 105.0, good=True)
    assert inventory.liveness(hearing, 105.0) is None
    hearing = inventory.heard(hearing, 110.0, good=True)
    assert inventory.liveness(hearing, 140.0) is Liveness.ONLINE
    assert inventory.liveness(hearing, 140.1) is Liveness.SILENT


def test_a_site_that_returns_must_be_heard_twice() -> None:
    hearing = Hearing(last=0.0, good=2)
    hearing = inventory.heard(hearing, 31.0, good=True)
    assert inventory.liveness(hearing, 31.0) is None
    hearing = inventory.heard(hearing, 36.0, good=True)
    assert inventory.liveness(hearing, 36.0) is Liveness.ONLINE


def test_a_status_with_a_problem_is_no_sign_of_life() -> None:
    hearing = inventory.heard(Hearing(last=0.0, good=2), 29.0, good=False)
    assert inventory.liveness(hearing, 31.0) is Liveness.SILENT


OPERATOR = "maintenance"


@pytest.mark.parametrize(
    ("disabled", "reason", "live", "obstacle", "expected"),
    [
        (False, None, Liveness.ONLINE, None, None),
        (False, None, None, None, None),
        (False, None, Liveness.SILENT, inventory.SILENT, Switch(True, inventory.SILENT)),
        (True, inventory.SILENT, Liveness.SILENT, inventory.SILENT, None),
        (True, inventory.SILENT, None, None, None),
        (True, inventory.SILENT, Liveness.ONLINE, None, Switch(False, None)),
        (True, inventory.WAITING, None, inventory.SILENT, Switch(True, inventory.SILENT)),
        (True, OPERATOR, Liveness.ONLINE, None, None),
        (True, OPERATOR, Liveness.SILENT, inventory.SILENT, None),
        (True, None, Liveness.ONLINE, None, None),
        (True, "see cascade: x", Liveness.ONLINE, None, None),
    ],
)
def test_only_our_own_disable_is_ever_undone(
    disabled: bool, reason: str | None, live: Liveness | None, obstacle: str | None, expected: Switch | None
) -> None:
    assert inventory.switch(disabled, reason, live, obstacle) == expected


def test_report_counts_grow_and_two_bridges_agree_on_them() -> None:
    now = 1_800_000_000.0
    first = inventory.next_report_count(0, now, 10.0)
    assert first == 10_000_000
    assert inventory.next_report_count(first, now + 1.0, 10.0) == first + 1
    assert inventory.next_report_count(5, now + 10.0, 10.0) == first + 1


def test_what_is_stored_of_a_status_reads_as_a_status_too() -> None:
    stored = to_json(LastStatus("paris", "a", 1.0, 0.0, {"": CAPACITY}, {"agent": "1"}, 0, clock_offset=-2.0))
    assert from_json(stored, SiteStatus).capacity[""] == CAPACITY
    assert from_json(stored, LastStatus).clock_offset == -2.0


def test_what_others_use_in_the_site_is_not_offered() -> None:
    shared = msgspec.structs.replace(
        CAPACITY, others={"VCPU": 30, "DISK_GB": 20_001, "CUSTOM_GPU": 1}, classes={"CUSTOM_GPU": ClassCapacity(4, 2)}
    )
    offered = inventory.inventories(shared)
    assert {name: inventory.usable(one) for name, one in offered.items()} == {
        "VCPU": 610, "MEMORY_MB": 1_048_576, "DISK_GB": 0, "CUSTOM_GPU": 3,
    }  # fmt: skip
    assert offered["CUSTOM_GPU"]["max_unit"] == 2
    node = inventory.compute_node("paris", "paris", shared)
    assert (node["vcpus"], node["vcpus_used"], node["local_gb"], node["local_gb_used"]) == (610, 10, 0, 0)


def test_a_class_the_site_has_no_more_is_reserved_whole() -> None:
    shown = inventory.inventories(msgspec.structs.replace(CAPACITY, classes={"CUSTOM_GPU": ClassCapacity(4, 2)}))
    written = inventory.with_vanished(inventory.inventories(CAPACITY), shown)
    assert inventory.usable(written["CUSTOM_GPU"]) == 0
    assert written["VCPU"] == shown["VCPU"]


def test_hosts_of_a_capped_site_share_the_cap_in_proportion() -> None:
    hosts = [SiteHost("p.north", "eu", "north"), SiteHost("p.south", "eu", "south"), SiteHost("p.new", "eu", "new")]
    zones = {"north": CAPACITY, "south": msgspec.structs.replace(CAPACITY, vcpus=320)}
    status = SiteStatus("p", "a", 0.0, 0.0, zones, {}, 0)
    offers = inventory.offers(status, hosts, {"vcpus": 100, "disk_gb": 10**9})
    assert {host: inventory.usable(offer["VCPU"]) for host, offer in offers.items()} == {"p.north": 66, "p.south": 33}
    assert inventory.usable(offers["p.north"]["DISK_GB"]) == 20_000
    assert inventory.usable(inventory.offers(status, hosts, {"vcpus": 0})["p.north"]["VCPU"]) == 0
    assert inventory.compute_node("p.north", "p", CAPACITY, offers["p.north"])["vcpus"] == 66
