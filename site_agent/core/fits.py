"""How many more servers of a flavor fit? Counted host by host, told only as a sum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proto import extra_specs
from proto.messages import Capacity
from proto.specs import FlavorSpec

VCPU, PCPU, MEMORY, DISK = "VCPU", "PCPU", "MEMORY_MB", "DISK_GB"
MOST = 200  # flavors told of, as they go up with every status
_MIB = 1024  # MiB a GiB, for swap


@dataclass(frozen=True, slots=True)
class Host:
    """One host with all that hangs on it; amounts by resource class."""

    free: Mapping[str, int]
    largest: Mapping[str, int]  # what one server can have
    traits: frozenset[str]


def needs(flavor: FlavorSpec) -> dict[str, int]:
    """Return what one server takes in Placement, by resource class."""
    disk = flavor.disk + flavor.ephemeral + -(-flavor.swap // _MIB)
    cpu = PCPU if flavor.extra_specs.get("hw:cpu_policy") == "dedicated" else VCPU
    wanted = {cpu: flavor.vcpus, MEMORY: flavor.ram, DISK: disk, **extra_specs.resources(flavor.extra_specs)}
    return {name: amount for name, amount in wanted.items() if amount > 0}


def by_flavor(hosts: list[Host], shared: Mapping[str, int], flavors: Iterable[FlavorSpec]) -> dict[str, int]:
    """Return flavor id above -> how many more fit. What a host lacks itself, such as disk, comes from ``shared``."""
    return {flavor.flavor_id: _count(hosts, shared, flavor) for flavor in list(flavors)[:MOST]}


def within(capacity: Capacity, flavors: Iterable[FlavorSpec]) -> dict[str, int]:
    """Return how many more fit into what is known only as a sum: a quota, not hosts."""
    free = {
        VCPU: capacity.vcpus - capacity.vcpus_used,
        MEMORY: capacity.memory_mb - capacity.memory_mb_used,
        DISK: capacity.disk_gb - capacity.disk_gb_used,
    }
    found = {}
    for flavor in list(flavors)[:MOST]:
        wanted = needs(flavor)
        wanted[VCPU] = wanted.pop(PCPU, 0) or wanted.get(VCPU, 0)  # a quota counts both as cores
        found[flavor.flavor_id] = min(max(0, free[name]) // wanted[name] for name in free if wanted.get(name))
    return found


def _count(hosts: list[Host], shared: Mapping[str, int], flavor: FlavorSpec) -> int:
    wanted = needs(flavor)
    required, forbidden = extra_specs.traits(flavor.extra_specs)
    fitting = [host for host in hosts if required <= host.traits and not forbidden & host.traits]
    total = sum(_on_host(host, shared, wanted) for host in fitting)
    together = [shared[name] // wanted[name] for name in wanted if name in shared]
    return min([total, *together])


def _on_host(host: Host, shared: Mapping[str, int], wanted: Mapping[str, int]) -> int:
    own = {name: amount for name, amount in wanted.items() if name in host.free or name not in shared}
    if any(amount > host.largest.get(name, amount) for name, amount in own.items()):
        return 0
    counts = [host.free.get(name, 0) // amount for name, amount in own.items()]
    return min(counts, default=0)
