"""What the commands ask of the cascading Nova beyond bridge.edge.nova_api."""

from collections.abc import Mapping
from typing import Any

from bridge.edge.cloud_session import Answer, CloudSession
from bridge.edge.nova_api import MICROVERSION, NovaApi, aggregate_name
from proto.errors import FaultCode, Refused

PAGE = 500  # servers of one answer


class Above:
    """One administrator's view of the cascading Nova."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session
        self.nova = NovaApi(session)

    async def servers(self, host: str) -> list[str]:
        """Return the uuids of all instances on a host."""
        found: list[str] = []
        while True:
            query = {"all_tenants": "1", "host": host, "limit": str(PAGE)} | ({"marker": found[-1]} if found else {})
            page = (await self._get("/servers", query))["servers"]
            found += [server["id"] for server in page]
            if len(page) < PAGE:
                return found

    async def in_zone(self, host: str, zone: str) -> bool:
        """Return whether an aggregate puts the host into an availability zone."""
        return any(host in raw["hosts"] for raw in await self._aggregates(zone))

    async def drop_empty_aggregate(self, zone: str) -> bool:
        """Delete the aggregate that the bridge made for a zone if no host is left in it; True if it is deleted."""
        for raw in await self._aggregates(zone):
            if raw["name"] == aggregate_name(zone) and not raw["hosts"]:
                answer = await self._call("DELETE", f"/os-aggregates/{raw['id']}")
                return answer.ok
        return False

    async def hosts_named_for(self, site: str) -> list[str]:
        """Return the nova-compute hosts whose names are those of a site: ``<site>`` and ``<site>.<AZ>``."""
        return sorted(one.host for one in await self.nova.services() if one.host.partition(".")[0] == site)

    async def _aggregates(self, zone: str) -> list[dict[str, Any]]:
        found = (await self._get("/os-aggregates", {}))["aggregates"]
        return [raw for raw in found if raw["metadata"].get("availability_zone") == zone]

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        answer = await self._call("GET", path, query)
        if not answer.ok:
            raise Refused(FaultCode.REJECTED, f"GET compute {path}: {answer.message()}")
        return answer.body

    async def _call(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Answer:
        return await self._session.call("compute", method, path, query=query, microversion=MICROVERSION)
