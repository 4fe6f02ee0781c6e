"""What a site can hold, summed up from its Placement."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proto.messages import Capacity

VCPU, MEMORY, DISK = "VCPU", "MEMORY_MB", "DISK_GB"
WHOLE_SITE = ""
_SHARED = "MISC_SHARES_VIA_AGGREGATE"


@dataclass(frozen=True, slots=True)
class Provider:
    """One resource provider; amounts by resource class."""

    uuid: str
    root: str
    capacity: Mapping[str, int]  # (total - reserved) * allocation_ratio
    used: Mapping[str, int]
    traits: frozenset[str]


def effective(inventory: Mapping[str, Any]) -> int:
    """Return how much of one inventory can be handed out, as Placement counts it."""
    free = inventory.get("total", 0) - inventory.get("reserved", 0)
    return int(free * inventory.get("allocation_ratio", 1.0))


def sum_up(providers: Iterable[Provider], zones: Mapping[str, str]) -> dict[str, Capacity]:
    """Return the capacity of each availability zone and, under "", of the whole site.

    ``zones``: compute node (a root provider) -> zone, only nodes that take servers; providers of other roots count
    only if they share their storage, which then belongs to every zone.
    """
    every = list(providers)
    shared = [provider for provider in every if _SHARED in provider.traits]
    result = {}
    for zone in {WHOLE_SITE, *zones.values()}:
        roots = {root for root, name in zones.items() if zone in (WHOLE_SITE, name)}
        mine = [provider for provider in every if provider.root in roots and provider not in shared]
        result[zone] = _capacity(mine, shared, len(roots))
    return result


def _capacity(nodes: list[Provider], shared: list[Provider], hosts: int) -> Capacity:
    every = nodes + shared
    largest = {name: _largest(nodes, shared, name) for name in (VCPU, MEMORY, DISK)}
    return Capacity(
        vcpus=_sum(every, VCPU),
        memory_mb=_sum(every, MEMORY),
        disk_gb=_sum(every, DISK),
        max_vcpus=largest[VCPU],
        max_memory_mb=largest[MEMORY],
        max_disk_gb=largest[DISK],
        hosts=hosts,
        vcpus_used=_used(every, VCPU),
        memory_mb_used=_used(every, MEMORY),
        disk_gb_used=_used(every, DISK),
        traits=sorted(frozenset[str]().union(*(provider.traits for provider in nodes))),
    )


def _sum(providers: list[Provider], name: str) -> int:
    return sum(provider.capacity.get(name, 0) for provider in providers)


def _used(providers: list[Provider], name: str) -> int:
    return sum(provider.used.get(name, 0) for provider in providers)


def _largest(nodes: list[Provider], shared: list[Provider], name: str) -> int:
    by_root: dict[str, int] = {}
    for provider in nodes:
        by_root[provider.root] = by_root.get(provider.root, 0) + provider.capacity.get(name, 0)
    return max([*by_root.values(), *(provider.capacity.get(name, 0) for provider in shared)], default=0)
