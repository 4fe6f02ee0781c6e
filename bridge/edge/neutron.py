"""The cascading Neutron: networks, subnets, security groups and ports. Every call may be repeated."""

import asyncio
import time
from collections.abc import Collection, Iterable
from typing import Any

from bridge.core.translate import CREATED_MARK, made_by_bridge
from bridge.core.translate_network import RESERVED_OWNER, remote_groups, reservation
from bridge.edge.cloud_session import Answer, CloudSession
from proto.errors import FaultCode, Refused

Port = dict[str, Any]

CACHE_AGE = 30.0  # s a network and its subnets are believed unchanged
IDS_OF_ONE_CALL = 100  # in a query string: 4 KB
AUTO, NONE = "auto", "none"  # network ids with a meaning (Nova API 2.37)


class Neutron:
    """Calls as the cascading cloud's admin."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session
        self._networks: dict[str, tuple[float, dict[str, Any], list[dict[str, Any]]]] = {}
        self._extensions: frozenset[str] | None = None

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

    async def networks(self, network_ids: Collection[str]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Return those of the networks that exist, each with its subnets, as they are now."""
        networks, subnets = await asyncio.gather(
            self._by_ids("/networks", "id", network_ids), self._by_ids("/subnets", "network_id", network_ids)
        )
        return [(net, [subnet for subnet in subnets if subnet["network_id"] == net["id"]]) for net in networks]

    async def security_groups(self, group_ids: Collection[str]) -> list[dict[str, Any]]:
        """Return those of the groups that exist, and those that their rules name, directly or not."""
        found: list[dict[str, Any]] = []
        asked: set[str] = set()
        while wanted := (set(group_ids) | remote_groups(found)) - asked:
            found += await self._by_ids("/security-groups", "id", wanted)
            asked |= wanted
        return found

    async def has(self, extension: str) -> bool:
        """Whether Neutron above has an extension; read once."""
        if self._extensions is None:
            listed = _body(await self._call("GET", "/extensions", query={"fields": "alias"}), "extensions")
            self._extensions = frozenset(entry["alias"] for entry in listed)
        return extension in self._extensions

    async def ports(self, **query: str) -> list[Port]:
        """Return the ports that match a query, such as network_id."""
        ports: list[Port] = _body(await self._call("GET", "/ports", query=query), "ports")
        return ports

    async def ports_on(self, hosts: Collection[str]) -> list[Port]:
        """Return the ports bound to Nova hosts. Neutron takes 2 to 5 ms for each: not for every few seconds."""
        return await self._by_ids("/ports", "binding:host_id", hosts)

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

    async def delete_port(self, port_id: str) -> None:
        """Delete a port; one that is gone is fine."""
        await self._call("DELETE", f"/ports/{port_id}")

    async def reserve(self, site: str, network: dict[str, Any], subnet_ids: list[str]) -> Port:
        """Make a port that holds one address of each subnet for a site's own ports; Refused if there is none left."""
        body = {
            "port": {
                "name": f"cascade-{site}",
                "description": f"address kept for the ports of site {site} itself",
                "network_id": network["id"],
                "project_id": network.get("project_id"),
                "device_id": reservation(site),
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

    async def _by_ids(self, path: str, key: str, values: Collection[str]) -> list[dict[str, Any]]:
        ordered, found = sorted(values), []
        for begin in range(0, len(ordered), IDS_OF_ONE_CALL):
            query = {key: ordered[begin : begin + IDS_OF_ONE_CALL]}
            found += _body(await self._call("GET", path, query=query), path[1:].replace("-", "_"))
        return found

    async def _call(self, method: str, path: str, **options: Any) -> Answer:
        return await self._session.call("network", method, path, **options)


def _body(answer: Answer, key: str) -> Any:
    if answer.status < 300:
        return answer.body[key]
    error = (answer.body or {}).get("NeutronError") if isinstance(answer.body, dict) else None
    reason = error.get("message") if isinstance(error, dict) else str(error or answer.body)
    raise Refused(FaultCode.NETWORK, f"Neutron above answered {answer.status}: {reason}")
