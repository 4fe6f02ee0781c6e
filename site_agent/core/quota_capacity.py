"""What a site can hold for an agent that may not see its hosts: the quota of its own project.

Nova's limits know neither disks nor hosts nor zones, and -1 stands for no limit. What is not limited itself is bounded
by what is: whoever can use only the flavors there are cannot use more disk than the flavor with the most disk for a
core or a MiB would take. A quota that bounds nothing tells nothing, and then nothing is said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proto.messages import Capacity
from site_agent.core.matching import Flavor

UNLIMITED = -1
WHOLE_SITE = ""
_MIB = 1024  # MiB a GiB, for swap

Amounts = Mapping[str, int]
"""Amount by dimension: instances, cores, ram (MiB), disk (GiB)."""
_LIMITED = {
    "instances": ("maxTotalInstances", "totalInstancesUsed"),
    "cores": ("maxTotalCores", "totalCoresUsed"),
    "ram": ("maxTotalRAMSize", "totalRAMUsed"),
}


@dataclass(frozen=True, slots=True)
class Quota:
    """One project's limits and what it uses of them; a dimension that is not limited is not in ``limits``."""

    limits: Amounts
    used: Amounts


def read_quota(absolute: Mapping[str, int]) -> Quota:
    """Return the quota of the ``absolute`` part of GET /limits."""
    limits = {name: absolute.get(maximum, UNLIMITED) for name, (maximum, _) in _LIMITED.items()}
    used = {name: max(0, absolute.get(taken, 0)) for name, (_, taken) in _LIMITED.items()}
    return Quota({name: limit for name, limit in limits.items() if limit != UNLIMITED}, used)


def needs(flavor: Flavor) -> dict[str, int]:
    """Return what one server of a flavor takes."""
    disk = flavor.disk + flavor.ephemeral + -(-flavor.swap // _MIB)
    return {"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram, "disk": disk}


def bound(quota: Quota, flavors: Iterable[Flavor], dimension: str) -> int | None:
    """Return the most the project can use of one dimension; None if nothing bounds it."""
    if dimension in quota.limits:
        return quota.limits[dimension]
    wanted = [needs(flavor) for flavor in flavors]
    bounds = [_implied(limit, limited, dimension, wanted) for limited, limit in quota.limits.items()]
    return min((found for found in bounds if found is not None), default=None)


def quota_capacity(quota: Quota, flavors: Iterable[Flavor], zones: Iterable[str], now: float) -> dict[str, Capacity]:
    """Return the same capacity for the whole site and for each zone, for a quota holds in all zones together.

    Empty if something is bounded by nothing. The largest single host is unknown: as large as all. ``hosts`` is 0 =
    not known.
    """
    every = list(flavors)
    most = {name: bound(quota, every, name) for name in ("cores", "ram", "disk")}
    cores, ram, disk = most["cores"], most["ram"], most["disk"]
    if cores is None or ram is None or disk is None:
        return {}
    capacity = Capacity(
        vcpus=cores,
        memory_mb=ram,
        disk_gb=disk,
        max_vcpus=cores,
        max_memory_mb=ram,
        max_disk_gb=disk,
        hosts=0,
        vcpus_used=quota.used["cores"],
        memory_mb_used=quota.used["ram"],
        measured_at=now,
    )
    return dict.fromkeys((WHOLE_SITE, *zones), capacity)


def _implied(limit: int, limited: str, dimension: str, wanted: list[dict[str, int]]) -> int | None:
    """Return how much of a dimension the servers that fit under a limit of another one can take at most."""
    if any(need[dimension] and not need[limited] for need in wanted):
        return None
    return max((need[dimension] * limit // need[limited] for need in wanted if need[limited]), default=None)
