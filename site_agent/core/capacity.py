"""What a site can hold, summed up from its Placement."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proto.messages import Capacity, ClassCapacity
from proto.specs import FlavorSpec
from site_agent.core import fits

VCPU, MEMORY, DISK = fits.VCPU, fits.MEMORY, fits.DISK
WHOLE_SITE = ""
_SHARED = "MISC_SHARES_VIA_AGGREGATE"
_BASIC = (VCPU, MEMORY, DISK)
# Standard classes worth telling: a flavor can ask for them by number, whichever host has them. Addresses, bandwidths
# and the like belong to ports and single devices, which a host that stands for a whole site cannot mirror.
_COUNTED = frozenset({"PCPU", "VGPU", "PGPU", "FPGA", "MEM_ENCRYPTION_CONTEXT"})


@dataclass(frozen=True, slots=True)
class Provider:
    """One resource provider; amounts by resource class."""

    uuid: str
    root: str
    capacity: Mapping[str, int]  # (total - reserved) * allocation_ratio
    used: Mapping[str, int]
    traits: frozenset[str]
    allocations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by consumer: server or migration
    largest: Mapping[str, int] = field(default_factory=dict)  # max_unit: what one server can have


@dataclass(frozen=True, slots=True)
class Reading:
    """What the agent adds to Placement's own words."""

    ours: Collection[str]  # servers made for instances above
    flavors: Iterable[FlavorSpec] = ()  # to tell how many more of each fit
    now: float = 0.0  # epoch s


def effective(inventory: Mapping[str, Any]) -> int:
    """Return how much of one inventory can be handed out, as Placement counts it; never negative."""
    free = inventory.get("total", 0) - inventory.get("reserved", 0)
    return max(0, int(free * inventory.get("allocation_ratio", 1.0)))


def used(allocations: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return what all consumers of a provider use together."""
    return _summed(allocations.values())


def sum_up(
    providers: Iterable[Provider], zones: Mapping[str, str], reading: Reading | None = None
) -> dict[str, Capacity]:
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
        result[zone] = _capacity(mine, shared, len(roots), reading or Reading(()))
    return result


def _capacity(nodes: list[Provider], shared: list[Provider], hosts: int, reading: Reading) -> Capacity:
    every = nodes + shared
    largest = {name: _largest(nodes, shared, name) for name in _BASIC}
    totals = _summed(provider.capacity for provider in every)
    taken = _summed(provider.used for provider in every)
    classes = {
        name: ClassCapacity(total, _largest(nodes, shared, name), taken.get(name, 0))
        for name, total in totals.items()
        if name.startswith("CUSTOM_") or name in _COUNTED
    }
    others = _others(nodes, shared, reading.ours)
    return Capacity(
        vcpus=totals.get(VCPU, 0),
        memory_mb=totals.get(MEMORY, 0),
        disk_gb=totals.get(DISK, 0),
        max_vcpus=largest[VCPU],
        max_memory_mb=largest[MEMORY],
        max_disk_gb=largest[DISK],
        hosts=hosts,
        vcpus_used=taken.get(VCPU, 0),
        memory_mb_used=taken.get(MEMORY, 0),
        disk_gb_used=taken.get(DISK, 0),
        traits=sorted(frozenset[str]().union(*(provider.traits for provider in nodes))),
        classes=classes,
        others={name: amount for name, amount in others.items() if amount and (name in _BASIC or name in classes)},
        fits=fits.by_flavor(_hosts(nodes), _free(shared), reading.flavors),
        measured_at=reading.now,
    )


def _others(nodes: list[Provider], shared: list[Provider], ours: Collection[str]) -> dict[str, int]:
    """Return what is used by all but our servers on these nodes: in shared storage also by ours of other zones."""
    mine = set(ours)
    here = {consumer for provider in nodes for consumer in provider.allocations if consumer in mine}
    every = nodes + shared
    return _summed(
        amounts for provider in every for consumer, amounts in provider.allocations.items() if consumer not in here
    )


def _hosts(nodes: list[Provider]) -> list[fits.Host]:
    trees: dict[str, list[Provider]] = {}
    for provider in nodes:
        trees.setdefault(provider.root, []).append(provider)
    return [
        fits.Host(
            free=_free(tree),
            largest=_summed(provider.largest for provider in tree),
            traits=frozenset[str]().union(*(provider.traits for provider in tree)),
        )
        for tree in trees.values()
    ]


def _free(providers: list[Provider]) -> dict[str, int]:
    return _summed(
        {name: max(0, total - provider.used.get(name, 0)) for name, total in provider.capacity.items()}
        for provider in providers
    )


def _summed(amounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in amounts:
        total.update(one)
    return dict(total)


def _largest(nodes: list[Provider], shared: list[Provider], name: str) -> int:
    by_root: dict[str, int] = {}
    for provider in nodes:
        by_root[provider.root] = by_root.get(provider.root, 0) + provider.capacity.get(name, 0)
    return max([*by_root.values(), *(provider.capacity.get(name, 0) for provider in shared)], default=0)
