"""Names and metadata of the site's servers."""

from collections.abc import Mapping
from typing import Any

from proto.specs import ServerNames
from site_agent.core.answers import checked
from site_agent.edge.cloud import Cloud, Service


class Names:
    """All may be repeated."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def get(self, server_id: str, uuid: str) -> ServerNames | None:
        """Return what the site calls the server that stands for an instance; None if it is gone."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", f"/servers/{server_id}")
        if answer.status == 404:
            return None
        document = checked(answer)["server"]
        return ServerNames(
            uuid=uuid,
            name=document["name"],
            description=document.get("description"),
            hostname=document.get("OS-EXT-SRV-ATTR:hostname"),
            metadata=dict(document.get("metadata") or {}),
        )

    async def put(self, server_id: str, changes: Mapping[str, Any]) -> None:
        """Change name, description or hostname; a server that is gone is fine."""
        answer = await self._cloud.request(Service.COMPUTE, "PUT", f"/servers/{server_id}", json={"server": changes})
        if answer.status != 404:
            checked(answer)

    async def put_metadata(self, server_id: str, metadata: Mapping[str, str]) -> None:
        """Replace the metadata; Nova takes it in some vm_states only (Refused), and within its quota."""
        path = f"/servers/{server_id}/metadata"
        answer = await self._cloud.request(Service.COMPUTE, "PUT", path, json={"metadata": dict(metadata)})
        if answer.status != 404:
            checked(answer)
