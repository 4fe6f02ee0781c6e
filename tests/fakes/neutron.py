"""The cascading Neutron and Glance in memory, with the interfaces of bridge.edge.neutron and bridge.edge.glance."""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

from bridge.core.translate import CREATED_MARK, made_by_bridge
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
    """One network with one subnet; addresses count up."""

    def __init__(self) -> None:
        self.ports: dict[str, Port] = {}
        self.away = False
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
        return [dict(port) for port in self.ports.values() if port.get("device_id") == uuid]

    async def port(self, port_id: str) -> Port | None:
        """Return a port."""
        self._answer()
        return dict(self.ports[port_id]) if port_id in self.ports else None

    async def create_port(self, network_id: str, fields: dict[str, Any]) -> Port:
        """Make a port of ours."""
        self._answer()
        return self.add(**{"binding:profile": {CREATED_MARK: True}, **fields})

    async def update_port(self, port_id: str, fields: dict[str, Any]) -> Port:
        """Change a port."""
        self._answer()
        if port_id not in self.ports:
            raise Refused(FaultCode.NETWORK, f"port {port_id} could not be found")
        self.ports[port_id] |= fields
        return dict(self.ports[port_id])

    async def release(self, ports: Iterable[Port]) -> None:
        """Delete our ports, give the tenant's back."""
        self._answer()
        for port in ports:
            if made_by_bridge(port):
                self.ports.pop(port["id"], None)
            elif port["id"] in self.ports:
                self.ports[port["id"]] |= {"device_id": "", "device_owner": "", "binding:host_id": None}

    async def reserved(self, site: str, network: dict[str, Any], subnets: list[dict[str, Any]]) -> list[Port]:
        """Return the ports that hold addresses for a site."""
        self._answer()
        mine = [port for port in self.ports.values() if port.get("device_id") == f"cascade-{site}"]
        return mine or [self.add(device_id=f"cascade-{site}")]

    def forget(self, site: str) -> None:
        """Believe nothing of a site's reserved addresses; there is no cache here."""

    async def unreserve(self, site: str, hosts: Collection[str], network_id: str, leaving: str) -> None:
        """Give back what ``reserved`` made, unless the site still has a port of another instance."""
        self._answer()
        ports = [port for port in self.ports.values() if port["network_id"] == network_id]
        if any(port.get("binding:host_id") in hosts and port.get("device_id") != leaving for port in ports):
            return
        for port in ports:
            if port.get("device_id") == f"cascade-{site}":
                del self.ports[port["id"]]

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
            **fields,
        }
        self.ports[port["id"]] = port
        return dict(port)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("neutron is away")


class FakeGlance:
    """One image."""

    async def image(self, image_id: str) -> dict[str, Any]:
        """Return an active image."""
        if image_id != IMAGE["id"]:
            raise Refused(FaultCode.IMAGE, f"image {image_id} does not exist")
        return IMAGE

    async def chunk(self, image_id: str, offset: int, length: int) -> bytes:
        """Return bytes of an image."""
        return CONTENT[offset : offset + length]
