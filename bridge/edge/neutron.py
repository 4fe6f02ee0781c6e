"""The cascading Neutron: networks, subnets and the ports of instances. Every call may be repeated."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from bridge.core.translate import CREATED_MARK, made_by_bridge
from bridge.edge.cloud_session import Answer, CloudSession
from proto.errors import FaultCode, Refused

Port = dict[str, Any]

CACHE_AGE = 30.0  # s a network and its subnets are believed unchanged
RESERVED_ADDRESSES = 3  # ports, each with one address in every subnet, kept for the ports a site makes itself
RESERVED_OWNER = "network:dhcp"  # Neutron deletes such ports together with their subnet or network
AUTO, NONE = "auto", "none"  # network ids with a meaning (Nova API 2.37)


class Neutron:
    """Calls as the cascading cloud's admin."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session
        self._networks: dict[str, tuple[float, dict[str, Any], list[dict[str, Any]]]] = {}
        self._reserved: dict[tuple[str, str], list[Port]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def network(self, network_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return a network and its subnets, at most CACHE_AGE s old; Refused if it is gone."""
        known = self._networks.get(network_id)
        if known is not None and time.monotonic() - known[0] < CACHE_AGE:
            return known[1], known[2]
        answer = await self._call("GET", f"/networks/{network_id}")
        if answer.status == 404:
            raise Refused(FaultCode.NETWORK, f"network {network_id} does not exist")
        network = _body(answer, "network")
        subnets = _body(await self._call("GET", "/subnets", query={"network_id": network_id}), "subnets")
        self._networks[network_id] = (time.monotonic(), network, subnets)
        return network, subnets

    async def ports_of(self, uuid: str) -> list[Port]:
        """Return the ports whose device is this instance."""
        ports: list[Port] = _body(await self._call("GET", "/ports", query={"device_id": uuid}), "ports")
        return ports

    async def port(self, port_id: str) -> Port | None:
        """Return a port, None if there is none."""
        answer = await self._call("GET", f"/ports/{port_id}")
        return None if answer.status == 404 else _body(answer, "port")

    async def create_port(self, network_id: str, fields: dict[str, Any]) -> Port:
        """Make a port that goes with its instance; Refused with Neutron's reason (no address left, quota ...)."""
        body = {
            "port": {
                "network_id": network_id,
                "admin_state_up": True,
                "binding:profile": {CREATED_MARK: True},
                **fields,
            }
        }
        answer = await self._call("POST", "/ports", body=body)
        port: Port = _body(answer, "port")
        return port

    async def update_port(self, port_id: str, fields: dict[str, Any]) -> Port:
        """Change a port; Refused if Neutron does not let us or it is gone."""
        port: Port = _body(await self._call("PUT", f"/ports/{port_id}", body={"port": fields}), "port")
        return port

    async def release(self, ports: Iterable[Port]) -> None:
        """Delete the ports the bridge made, and give the tenant's own ports back unbound."""
        for port in ports:
            if made_by_bridge(port):
                await self._call("DELETE", f"/ports/{port['id']}")
            else:
                free = {"device_id": "", "device_owner": "", "binding:host_id": None}
                await self._call("PUT", f"/ports/{port['id']}", body={"port": free})

    async def reserved(self, site: str, network: dict[str, Any], subnets: list[dict[str, Any]]) -> list[Port]:
        """Return the ports that hold addresses above for a site's own ports, making them at the first time."""
        key = (site, network["id"])
        wanted = [subnet["id"] for subnet in subnets if subnet.get("enable_dhcp")]
        async with self._locks[network["id"]]:
            ports = self._reserved.get(key)
            if ports is None:
                query = {"network_id": network["id"], "device_id": _reservation(site)}
                ports = _body(await self._call("GET", "/ports", query=query), "ports")
            while lacking := [subnet_id for subnet_id in wanted if _held(ports, subnet_id) < RESERVED_ADDRESSES]:
                ports.append(await self._reserve(site, network, lacking))
            self._reserved[key] = ports
            return ports

    def forget(self, site: str) -> None:
        """Believe nothing of a site's reserved addresses: another bridge may have owned it meanwhile."""
        self._reserved = {key: ports for key, ports in self._reserved.items() if key[0] != site}

    async def unreserve(self, site: str, hosts: Collection[str], network_id: str, leaving: str) -> None:
        """Give back what ``reserved`` made, unless a port above, but for those of ``leaving``, is bound to the site.

        A boot makes its port first and asks for the reserved addresses after it, so it is either seen here or makes
        them anew.
        """
        async with self._locks[network_id]:
            ports = _body(await self._call("GET", "/ports", query={"network_id": network_id}), "ports")
            if any(port.get("binding:host_id") in hosts and port["device_id"] != leaving for port in ports):
                return
            self._reserved.pop((site, network_id), None)
            for port in ports:
                if port["device_id"] == _reservation(site):
                    await self._call("DELETE", f"/ports/{port['id']}")

    async def _reserve(self, site: str, network: dict[str, Any], subnet_ids: list[str]) -> Port:
        body = {
            "port": {
                "name": f"cascade-{site}",
                "description": f"address kept for the ports of site {site} itself",
                "network_id": network["id"],
                "project_id": network.get("project_id"),
                "device_id": _reservation(site),
                "device_owner": RESERVED_OWNER,
                "fixed_ips": [{"subnet_id": subnet_id} for subnet_id in subnet_ids],
            }
        }
        port: Port = _body(await self._call("POST", "/ports", body=body), "port")
        return port

    async def networks_of(self, project_id: str) -> list[dict[str, Any]]:
        """Return the networks Nova would choose from when the tenant named none: own first, else shared."""
        for query in ({"project_id": project_id, "shared": "false"}, {"shared": "true"}):
            networks: list[dict[str, Any]] = _body(
                await self._call("GET", "/networks", query={**query, "router:external": "false"}), "networks"
            )
            if networks:
                return networks
        return []

    async def auto_allocated(self, project_id: str) -> str:
        """Return the project's auto-allocated network id; Refused if Neutron cannot make one."""
        path = f"/auto-allocated-topology/{project_id}"
        return str(_body(await self._call("GET", path), "auto_allocated_topology")["id"])

    async def security_group_ids(self, project_id: str, names: Iterable[str]) -> list[str] | None:
        """Return the ids of groups given by name or id; None for the project's default alone."""
        wanted = [name for name in names if name]
        if not wanted or wanted == ["default"]:
            return None
        groups = _body(await self._call("GET", "/security-groups", query={"project_id": project_id}), "security_groups")
        by_name = {group["name"]: group["id"] for group in groups} | {group["id"]: group["id"] for group in groups}
        missing = [name for name in wanted if name not in by_name]
        if missing:
            raise Refused(FaultCode.NETWORK, f"security group {missing[0]} does not exist")
        return [by_name[name] for name in wanted]

    async def _call(self, method: str, path: str, **options: Any) -> Answer:
        return await self._session.call("network", method, path, **options)


def _held(ports: Iterable[Port], subnet_id: str) -> int:
    """Return how many addresses of a subnet the ports hold."""
    return sum(fixed["subnet_id"] == subnet_id for port in ports for fixed in port["fixed_ips"])


def _reservation(site: str) -> str:
    return f"cascade-{site}"


def _body(answer: Answer, key: str) -> Any:
    if answer.status < 300:
        return answer.body[key]
    error = (answer.body or {}).get("NeutronError") if isinstance(answer.body, dict) else None
    reason = error.get("message") if isinstance(error, dict) else str(error or answer.body)
    raise Refused(FaultCode.NETWORK, f"Neutron above answered {answer.status}: {reason}")
