"""The cascading Neutron and Glance in memory, with the interfaces of bridge.edge.neutron and bridge.edge.glance."""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

from bridge.core.translate import CREATED_MARK, made_by_bridge
from bridge.core.translate_network import RESERVED_OWNER, remote_groups, reservation
from proto.errors import FaultCode, Refused, Unavailable

Port = dict[str, Any]
NETWORK: dict[str, Any] = {"id": "net-1", "name": "private", "project_id": "project-1", "mtu": 1450}
SUBNET: dict[str, Any] = {
    "id": "sub-1",
    "name": "private-4",
    "cidr": "10.0.0.0/16",
    "ip_version": 4,
    "gateway_ip": "10.0.0.1",
    "enable_dhcp": True,
}
GROUP: dict[str, Any] = {
    "id": "group-1",
    "name": "default",
    "project_id": "project-1",
    "revision_number": 1,
    "stateful": True,
    "security_group_rules": [
        {"direction": "egress", "ethertype": "IPv4"},
        {"direction": "egress", "ethertype": "IPv6"},
        {"direction": "ingress", "ethertype": "IPv4", "remote_group_id": "group-1"},
    ],
}
CONTENT = b"the bytes of an image" * 10
IMAGE: dict[str, Any] = {
    "id": "img-1",
    "name": "cirros",
    "status": "active",
    "size": len(CONTENT),
    "os_hash_algo": "sha512",
    "os_hash_value": hashlib.sha512(CONTENT).hexdigest(),
    "disk_format": "raw",
    "container_format": "bare",
    "min_disk": 0,
    "min_ram": 0,
}


class FakeNeutron:
    """One network with one subnet and one security group; addresses count up."""

    def __init__(self) -> None:
        self.made: dict[str, Port] = {}  # ports
        self.groups: dict[str, dict[str, Any]] = {GROUP["id"]: GROUP}
        self.extensions: set[str] = set()
        self.away = False
        self.full = False  # no further address
        self._made = 0

    async def network(self, network_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return a network and its subnets."""
        self._answer()
        if network_id != NETWORK["id"]:
            raise Refused(FaultCode.NETWORK, f"network {network_id} does not exist")
        return NETWORK, [SUBNET]

    async def ports_of(self, uuid: str) -> list[Port]:
        """Return the ports of an instance."""
        self._answer()
        return [dict(port) for port in self.made.values() if port.get("device_id") == uuid]

    async def port(self, port_id: str) -> Port | None:
        """Return a port."""
        self._answer()
        return dict(self.made[port_id]) if port_id in self.made else None

    async def create_port(self, network_id: str, fields: dict[str, Any]) -> Port:
        """Make a port of ours."""
        self._answer()
        return self.add(**{"binding:profile": {CREATED_MARK: True}, **fields})

    async def update_port(self, port_id: str, fields: dict[str, Any]) -> Port:
        """Change a port."""
        self._answer()
        if port_id not in self.made:
            raise Refused(FaultCode.NETWORK, f"port {port_id} could not be found")
        self.made[port_id] |= {**fields, "fixed_ips": self._addresses(port_id, fields)}
        return dict(self.made[port_id])

    def _addresses(self, port_id: str, fields: dict[str, Any]) -> list[dict[str, str]]:
        """Return the addresses of a port, the free ones of a subnet that it asks for among them."""
        asked: list[dict[str, str]] = fields.get("fixed_ips", self.made[port_id]["fixed_ips"])
        if self.full and any("ip_address" not in fixed for fixed in asked):
            raise Refused(FaultCode.NETWORK, "No more IP addresses available on network net-1.")
        return [{"ip_address": f"10.0.9.{len(asked)}", **fixed} for fixed in asked]

    async def release(self, ports: Iterable[Port]) -> None:
        """Delete our ports, give the tenant's back."""
        self._answer()
        for port in ports:
            if made_by_bridge(port):
                self.made.pop(port["id"], None)
            elif port["id"] in self.made:
                self.made[port["id"]] |= {"device_id": "", "device_owner": "", "binding:host_id": None}

    async def networks(self, network_ids: Collection[str]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Return those that exist with their subnets."""
        self._answer()
        return [(NETWORK, [SUBNET])] if NETWORK["id"] in network_ids else []

    async def security_groups(self, group_ids: Collection[str]) -> list[dict[str, Any]]:
        """Return those that exist and those their rules name."""
        self._answer()
        asked: set[str] = set()
        found: list[dict[str, Any]] = []
        while wanted := (set(group_ids) | remote_groups(found)) - asked:
            found += [self.groups[group] for group in sorted(wanted & self.groups.keys())]
            asked |= wanted
        return found

    async def has(self, extension: str) -> bool:
        """Whether there is an extension."""
        return extension in self.extensions

    async def ports(self, **query: str) -> list[Port]:
        """Return the ports that match."""
        self._answer()
        return [dict(p) for p in self.made.values() if all(p.get(key) == value for key, value in query.items())]

    async def ports_on(self, hosts: Collection[str]) -> list[Port]:
        """Return the ports of hosts."""
        self._answer()
        return [dict(port) for port in self.made.values() if port.get("binding:host_id") in hosts]

    async def delete_port(self, port_id: str) -> None:
        """Delete a port."""
        self._answer()
        self.made.pop(port_id, None)

    async def reserve(self, site: str, network: dict[str, Any], subnet_ids: list[str]) -> Port:
        """Make a port that holds an address for a site."""
        self._answer()
        return self.add(device_id=reservation(site), device_owner=RESERVED_OWNER, security_groups=[])

    async def networks_of(self, project_id: str) -> list[dict[str, Any]]:
        """Return the networks Nova would choose from."""
        self._answer()
        return [NETWORK]

    async def auto_allocated(self, project_id: str) -> str:
        """Return the project's own network."""
        self._answer()
        return str(NETWORK["id"])

    async def security_group_ids(self, project_id: str, names: Iterable[str]) -> list[str] | None:
        """Return no groups but the default."""
        self._answer()
        return None

    def add(self, **fields: Any) -> Port:
        """Insert a port."""
        self._made += 1
        high, low = divmod(self._made + 9, 250)
        port: Port = {
            "id": f"port-{self._made}",
            "network_id": NETWORK["id"],
            "mac_address": f"fa:16:3e:00:{high:02x}:{low:02x}",
            "fixed_ips": [{"ip_address": f"10.0.{high}.{low + 1}", "subnet_id": SUBNET["id"]}],
            "status": "ACTIVE",
            "security_groups": [GROUP["id"]],
            **fields,
        }
        self.made[port["id"]] = port
        return dict(port)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("neutron is away")
