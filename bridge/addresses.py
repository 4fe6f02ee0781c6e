"""Keeps addresses above for the ports a site makes itself (DHCP), so that no address is given twice."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from bridge.core.translate_network import automatic, elsewhere, reservation
from bridge.edge.neutron import Neutron, Port

RESERVED_ADDRESSES = 3  # ports, each with one address in every subnet


class Addresses:
    """One ownership of one site: made anew at each take-over, as another bridge may have changed them meanwhile."""

    def __init__(self, site: str, hosts: Collection[str], neutron: Neutron) -> None:
        self._site = site
        self._hosts = hosts
        self._neutron = neutron
        self._kept: dict[str, list[Port]] = {}  # by network
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def reserved(self, network: dict[str, Any], subnets: list[dict[str, Any]]) -> list[Port]:
        """Return the ports that hold addresses of a network for the site, making those that are lacking.

        May be repeated. Refused if the network has no address left.
        """
        async with self._locks[network["id"]]:
            ports = await self._look(network["id"])
            while lacking := _lacking(ports, subnets):
                ports.append(await self._neutron.reserve(self._site, network, lacking))
            return ports

    async def kept(self, network: dict[str, Any], subnets: list[dict[str, Any]]) -> list[Port]:
        """Return them as they are; those that are lacking are made only while the site has a port of the network."""
        async with self._locks[network["id"]]:
            ports = await self._look(network["id"])
            lacks = bool(_lacking(ports, subnets)) and await self._used(network["id"], leaving="")
        return await self.reserved(network, subnets) if lacks else ports

    async def unreserve(self, network_id: str, leaving: str) -> None:
        """Give them back, unless a port above, but for those of the instance ``leaving``, is bound to the site.

        A boot asks for them before it makes its port and again after it, so it is either seen here or makes them anew.
        """
        async with self._locks[network_id]:
            if await self._used(network_id, leaving):
                return
            self._kept.pop(network_id, None)
            for port in await self._neutron.ports(network_id=network_id, device_id=reservation(self._site)):
                await self._neutron.delete_port(port["id"])

    async def elsewhere(self, network_id: str) -> str | None:
        """Return another site or host that has ports of a network, None if there is none."""
        return elsewhere(await self._neutron.ports(network_id=network_id), self._site, self._hosts)

    async def _look(self, network_id: str) -> list[Port]:
        if network_id not in self._kept:
            query = {"network_id": network_id, "device_id": reservation(self._site)}
            self._kept[network_id] = await self._neutron.ports(**query)
        return self._kept[network_id]

    async def _used(self, network_id: str, leaving: str) -> bool:
        ports = await self._neutron.ports(network_id=network_id)
        return any(port.get("binding:host_id") in self._hosts and port["device_id"] != leaving for port in ports)


def _lacking(ports: Iterable[Port], subnets: Iterable[dict[str, Any]]) -> list[str]:
    """Return the subnets of which too few addresses are kept; only DHCP takes addresses in a site."""
    wanted = [subnet["id"] for subnet in subnets if subnet.get("enable_dhcp") and not automatic(subnet)]
    return [subnet_id for subnet_id in wanted if _held(ports, subnet_id) < RESERVED_ADDRESSES]


def _held(ports: Iterable[Port], subnet_id: str) -> int:
    return sum(fixed["subnet_id"] == subnet_id for port in ports for fixed in port["fixed_ips"])
