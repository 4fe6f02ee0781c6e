"""What a site must be told of networks, security groups and ports, and in which portions. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from proto.specs import NetworkSpec, PortSpec, SecurityGroupSpec

Spec = NetworkSpec | SecurityGroupSpec | PortSpec

LARGEST = 400 * 1024  # bytes of one message, below what NATS takes
MOST = 50  # things of one message: the site looks at each


@dataclass(slots=True)
class Things:
    """Networks, security groups and ports by their ids above."""

    networks: dict[str, NetworkSpec] = field(default_factory=dict)
    groups: dict[str, SecurityGroupSpec] = field(default_factory=dict)
    ports: dict[str, PortSpec] = field(default_factory=dict)

    def every(self) -> dict[str, Spec]:
        """Return all of them; networks first, ports last."""
        return {**self.networks, **self.groups, **self.ports}

    def add(self, other: "Things") -> None:
        """Take over what another holds."""
        self.networks |= other.networks
        self.groups |= other.groups
        self.ports |= other.ports

    def size(self) -> int:
        """Return about how many bytes a message of them has."""
        return len(msgspec.msgpack.encode(list(self.every().values())))

    def __len__(self) -> int:
        return len(self.networks) + len(self.groups) + len(self.ports)


@dataclass(slots=True)
class Batch:
    """One message: the things it is about, with all that they name."""

    due: list[str] = field(default_factory=list)
    things: Things = field(default_factory=Things)


def due(wanted: Things, told: Mapping[str, Spec], again: Collection[str], waiting: Collection[str]) -> list[str]:
    """Return the ids whose content the site was not told, changed ones first, then those to be told ``again``.

    ``told``: what the site was told last; ``waiting``: ids that failed a moment ago.
    """
    every = wanted.every()
    changed = [name for name, spec in every.items() if told.get(name) != spec and name not in waiting]
    return changed + [name for name in every if name in again and name not in waiting and name not in set(changed)]


def batches(names: Iterable[str], wanted: Things, largest: int = LARGEST, most: int = MOST) -> list[Batch]:
    """Return messages about ``names``, each complete in itself; one thing that is too large alone is alone."""
    made: list[Batch] = []
    for name in names:
        unit = _unit(name, wanted)
        if not made or _full(made[-1], unit, largest, most):
            made.append(Batch())
        made[-1].due.append(name)
        made[-1].things.add(unit)
    return made


def _full(batch: Batch, unit: Things, largest: int, most: int) -> bool:
    return len(batch.due) >= most or batch.things.size() + unit.size() > largest


def _unit(name: str, wanted: Things) -> Things:
    """Return a thing with what it names: a port's network and groups, and all groups that a group's rules reach."""
    if name in wanted.networks:
        return Things(networks={name: wanted.networks[name]})
    if name in wanted.groups:
        return Things(groups=_reached([name], wanted.groups))
    port = wanted.ports[name]
    networks = {port.network_id: wanted.networks[port.network_id]} if port.network_id in wanted.networks else {}
    return Things(networks, _reached(port.security_groups or [], wanted.groups), {name: port})


def _reached(names: Iterable[str], groups: Mapping[str, SecurityGroupSpec]) -> dict[str, SecurityGroupSpec]:
    found: dict[str, SecurityGroupSpec] = {}
    following = set(names)
    while following:
        found |= {name: groups[name] for name in following if name in groups}
        rules = [rule for name in following if name in groups for rule in groups[name].rules]
        following = {rule.remote_group_id for rule in rules if rule.remote_group_id} - found.keys()
        following &= groups.keys()
    return dict(sorted(found.items()))
