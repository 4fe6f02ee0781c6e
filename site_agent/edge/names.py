"""Names and metadata of the site's servers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from proto.errors import Unavailable
from proto.specs import ServerNames
from site_agent.core.answers import checked
from site_agent.edge.cloud import Cloud, Service


class Names:
    """All may be repeated."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def get(self, server_id: str, uuid: str) -> ServerNames | None:
        """Return what the site calls the server of an instance; None if it is gone, Unavailable if its cell is down."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", f"/servers/{server_id}")
        if answer.status == 404:
            return None
        document = checked(answer)["server"]
        if "name" not in document:  # of a cell that does not answer Nova shows little more than the id
            raise Unavailable("a cell of the site does not answer")
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

    async def add_metadata(self, server_id: str, metadata: Mapping[str, str]) -> None:
        """Set some items and leave the others; Nova takes it in some vm_states only (Refused), within its quota."""
        path = f"/servers/{server_id}/metadata"
        answer = await self._cloud.request(Service.COMPUTE, "POST", path, json={"metadata": dict(metadata)})
        if answer.status != 404:
            checked(answer)

    async def drop_metadata(self, server_id: str, key: str) -> None:
        """Delete one item; one that is gone is fine. Refused in some vm_states."""
        path = f"/servers/{server_id}/metadata/{quote(key, safe='')}"
        answer = await self._cloud.request(Service.COMPUTE, "DELETE", path)
        if answer.status != 404:
            checked(answer)
