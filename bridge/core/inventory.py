"""What a site looks like to the cascading Nova: inventory, traits, compute node, and when it may take new servers.

One Nova host stands for a whole site, or for one availability zone of it. Pure: `now` is an argument (monotonic s).
"""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from proto.messages import Capacity, SiteHost, SiteStatus

SILENT_AFTER = 30.0  # s without a good SiteStatus
RETURN_AFTER = 2  # good statuses in a row until a site counts as online
REPORT_EPOCH = 1_700_000_000  # UTC epoch s; report counts are ticks since then
MAX_INT32 = 2**31 - 1  # Nova's and Placement's columns

OURS = "cascade:"  # a disabled reason that begins so is ours to undo; no other is
WAITING = f"{OURS} waiting for the site's first report"
SILENT = f"{OURS} the site is silent"
TROUBLED = f"{OURS} the site's own cloud does not answer"
NO_CAPACITY = f"{OURS} the site reports no capacity for its availability zone"
UNPLACED = f"{OURS} the host is not yet in its availability zone"

# NOT the uuid of anything else: Nova keys compute node and resource provider by it, so it must never change.
_NODE_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "node.cascade")

DISABLED_TRAIT = "COMPUTE_STATUS_DISABLED"
_BASIC_TRAITS = frozenset({"COMPUTE_NODE", "OWNER_NOVA"})
_IMAGE_TYPE = "COMPUTE_IMAGE_TYPE_"
_DEFAULT_IMAGE_TYPES = frozenset({f"{_IMAGE_TYPE}RAW", f"{_IMAGE_TYPE}QCOW2"})

# True of a site's own hosts or providers, but not of the host above that stands for them: a disabled host does not
# disable its site, a migration inside the site is not one between sites, and its storage sharing is its own affair.
_NOT_MIRRORED = frozenset(
    {
        DISABLED_TRAIT,
        "COMPUTE_SAME_HOST_COLD_MIGRATE",
        "COMPUTE_ACCELERATORS",
        "COMPUTE_MANAGED_PCI_DEVICE",
        "COMPUTE_REMOTE_MANAGED_PORTS",
        "MISC_SHARES_VIA_AGGREGATE",
        "OWNER_CYBORG",
    }
)

HYPERVISOR_TYPE = "cascade"
_ARCHITECTURES = ("x86_64", "aarch64")
_VIRTUALIZATIONS = ("qemu", "kvm")

Inventory = dict[str, dict[str, int | float]]

CAPPED = {"vcpus": "VCPU", "memory_mb": "MEMORY_MB", "disk_gb": "DISK_GB"}  # an operator's word -> resource class


class LastStatus(SiteStatus, frozen=True):
    """``/sites/{site}/alive``: a SiteStatus with what its owner adds; readable as a SiteStatus too."""

    received_at: float = 0.0
    clock_offset: float = 0.0  # s the site's clock is ahead of the bridge's


def node_uuid(host: str) -> str:
    """Return the uuid of a host's compute node and resource provider; the same for ever."""
    return str(uuid.uuid5(_NODE_NAMESPACE, host))


def capacity_of(status: SiteStatus, host: SiteHost) -> Capacity | None:
    """Return what this host stands for, None if the site does not report its zone."""
    return status.capacity.get(host.site_availability_zone or "")


def offers(status: SiteStatus, hosts: Iterable[SiteHost], caps: Mapping[str, int]) -> dict[str, Inventory]:
    """Return the Placement inventories of each host whose zone the site reports.

    ``caps``: what the operator lets the whole site offer at most; its hosts share it in proportion to what they have.
    """
    seen = {host.host: capacity for host in hosts if (capacity := capacity_of(status, host)) is not None}
    found = {host: inventories(capacity) for host, capacity in seen.items()}
    for cap, limit in caps.items():
        name = CAPPED[cap]
        whole = sum(usable(inventory[name]) for inventory in found.values())
        if whole > limit:
            for inventory in found.values():
                amount = usable(inventory[name]) * limit // whole
                inventory[name] = _inventory(amount, int(inventory[name]["max_unit"]))
    return found


def inventories(capacity: Capacity) -> Inventory:
    """Return the Placement inventories of a host: the site's totals without what others use there.

    A site is not a host: its overcommit is in the totals, so the ratio is 1; max_unit is its largest single host, or
    a server that fits no host of the site would be sent there. Totals may fall below what our own instances hold:
    Placement takes that, and hands out nothing more.
    """
    sizes = {
        "VCPU": (capacity.vcpus, capacity.max_vcpus),
        "MEMORY_MB": (capacity.memory_mb, capacity.max_memory_mb),
        "DISK_GB": (capacity.disk_gb, capacity.max_disk_gb),
        **{name: (one.total, one.largest) for name, one in capacity.classes.items()},
    }
    return {name: _inventory(total - capacity.others.get(name, 0), most) for name, (total, most) in sizes.items()}


def with_vanished(wanted: Inventory, shown: Inventory) -> Inventory:
    """Return what to write: a class the site has no more is reserved whole, as it may still be allocated from."""
    return {**{name: _inventory(0, 0) for name in shown}, **wanted}


def usable(inventory: Mapping[str, int | float]) -> int:
    """Return how much of one inventory can be handed out."""
    return int(inventory["total"] - inventory["reserved"])


def _inventory(total: int, largest: int) -> dict[str, int | float]:
    # Placement knows no total of 0, and an inventory with allocations cannot be removed: reserve all of it instead.
    shown = max(1, _int32(total))
    return {
        "total": shown,
        "reserved": 0 if total > 0 else shown,
        "min_unit": 1,
        "max_unit": max(1, min(_int32(largest), shown)),
        "step_size": 1,
        "allocation_ratio": 1.0,
    }


def traits(site_traits: Iterable[str], disabled: bool) -> frozenset[str]:
    """Return the traits our host should have, whether or not the Placement above knows them all."""
    mirrored = frozenset(site_traits) - _NOT_MIRRORED
    if not any(name.startswith(_IMAGE_TYPE) for name in mirrored):
        mirrored |= _DEFAULT_IMAGE_TYPES
    return mirrored | _BASIC_TRAITS | (frozenset({DISABLED_TRAIT}) if disabled else frozenset())


def merged_traits(present: Collection[str], ours: Collection[str], formerly_ours: Collection[str]) -> frozenset[str]:
    """Return what to write: ours, and the CUSTOM_ traits of others; standard traits are all ours."""
    others = {name for name in present if name.startswith("CUSTOM_") and name not in formerly_ours}
    return frozenset(others | set(ours))


def uptime(site: str) -> str:
    """Return what a host that is a whole site says when it is asked how long it is up."""
    return f"site {site}"


def compute_node(host: str, site: str, capacity: Capacity | None, offer: Inventory | None = None) -> dict[str, Any]:
    """Return the fields of the host's ComputeNode; all zero without a capacity. ``offer``: its inventories, if capped.

    Nova's scheduler ignores a host without free_disk_gb; ratios of None or 0 would be replaced by the conductor's
    own. ``uptime`` in stats spares a call to us for each host in GET /os-hypervisors/detail.
    """
    seen = capacity or Capacity(0, 0, 0, 0, 0, 0, 0)
    shown = offer or inventories(seen)
    vcpus, memory, disk = (usable(shown[name]) for name in CAPPED.values())
    memory_used = _int32(seen.memory_mb_used - seen.others.get("MEMORY_MB", 0))
    disk_used = _int32(seen.disk_gb_used - seen.others.get("DISK_GB", 0))
    free_disk = max(0, disk - disk_used)
    return {
        "uuid": node_uuid(host),
        "host": host,
        "hypervisor_hostname": host,
        "hypervisor_type": HYPERVISOR_TYPE,
        "hypervisor_version": 1,
        "host_ip": "127.0.0.1",
        "cpu_info": "{}",
        "vcpus": vcpus,
        "memory_mb": memory,
        "local_gb": disk,
        "vcpus_used": _int32(seen.vcpus_used - seen.others.get("VCPU", 0)),
        "memory_mb_used": memory_used,
        "local_gb_used": disk_used,
        "free_ram_mb": max(0, memory - memory_used),
        "free_disk_gb": free_disk,
        "disk_available_least": free_disk,
        "current_workload": 0,
        "running_vms": 0,
        "cpu_allocation_ratio": 1.0,
        "ram_allocation_ratio": 1.0,
        "disk_allocation_ratio": 1.0,
        "stats": {"cascade_site": site, "cascade_hosts": str(seen.hosts), "failed_builds": "0", "uptime": uptime(site)},
        "metrics": "[]",
        "numa_topology": None,
        "pci_device_pools": None,
        "supported_hv_specs": [[arch, hv, "hvm"] for arch in _ARCHITECTURES for hv in _VIRTUALIZATIONS],
    }


def _int32(value: int) -> int:
    return max(0, min(value, MAX_INT32))


class Liveness(StrEnum):
    """What is known of a site's link."""

    ONLINE = "online"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What the bridge has heard of a site; begins with the moment it became the owner."""

    last: float  # monotonic s of the last good status, or of the beginning
    good: int = 0  # good statuses without a gap of SILENT_AFTER, at most RETURN_AFTER


def heard(hearing: Hearing, now: float, good: bool) -> Hearing:
    """Return the hearing after a status; one that reports a problem of the site's own cloud is not good."""
    if not good:
        return hearing
    back = now - hearing.last > SILENT_AFTER
    return replace(hearing, last=now, good=1 if back else min(hearing.good + 1, RETURN_AFTER))


def liveness(hearing: Hearing, now: float) -> Liveness | None:
    """Return whether the site is online or silent; None while it is too early to tell: then nothing is changed."""
    if now - hearing.last > SILENT_AFTER:
        return Liveness.SILENT
    return Liveness.ONLINE if hearing.good >= RETURN_AFTER else None


@dataclass(frozen=True, slots=True)
class Switch:
    """A change to make to a Nova service."""

    disabled: bool
    reason: str | None


def switch(disabled: bool, reason: str | None, live: Liveness | None, obstacle: str | None) -> Switch | None:
    """Return how the Nova service must be changed, None to leave it.

    ``obstacle`` is a reason of ours why the host must not take servers. What an operator disabled (no reason, or one
    that is not ours) is never touched; what we disabled is enabled only when the site is online.
    """
    if disabled and not (reason or "").startswith(OURS):
        return None
    if obstacle is not None:
        return None if disabled and reason == obstacle else Switch(True, obstacle)
    return Switch(False, None) if disabled and live is Liveness.ONLINE else None


def next_report_count(previous: int, now: float, interval: float) -> int:
    """Return the report count of a heartbeat at UTC ``now``.

    Nova notes a heartbeat only if the count grew. Counting ticks of the clock lets a new owner of a host beat at once
    beside the old one, without either having to know the other's count.
    """
    return max(previous + 1, int((now - REPORT_EPOCH) / interval))
