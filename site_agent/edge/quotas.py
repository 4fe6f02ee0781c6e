"""What the site grants the agent's own project; every member of a project may read it."""

from typing import Any

from site_agent.core.answers import checked
from site_agent.core.quota_capacity import Quota, read_quota
from site_agent.edge.cloud import Cloud, Service


class Quotas:
    """Limits of the agent's project in Nova."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def quota(self) -> Quota:
        """Return Nova's limits of the project, and what is used of them."""
        return read_quota((await self._get("/limits"))["limits"]["absolute"])

    async def zones(self) -> list[str]:
        """Return the names of the availability zones that have a host."""
        found = (await self._get("/os-availability-zone"))["availabilityZoneInfo"]
        return [zone["zoneName"] for zone in found if zone["zoneState"]["available"]]

    async def _get(self, path: str) -> dict[str, Any]:
        body: dict[str, Any] = checked(await self._cloud.request(Service.COMPUTE, "GET", path))
        return body
