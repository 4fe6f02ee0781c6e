"""Server groups of the site's Nova, as the agent's project sees them."""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proto.errors import FaultCode, Refused
from proto.specs import ServerGroupSpec
from site_agent.core.answers import Answer, checked
from site_agent.core.boot import speaks
from site_agent.edge.cloud import Cloud, Service

PAGE = 500  # groups of one answer; Nova gives at most osapi_max_limit, which may be less
ONE_POLICY = (2, 64)  # microversion from which a group has one policy, with rules


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """A group of the site; ``members`` counts the servers that are not deleted."""

    group_id: str
    name: str
    members: int


class ServerGroups:
    """Groups can only be told apart by their names: Nova gives them neither tags nor descriptions."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def list(self) -> builtins.list[ServerGroup]:
        """Return all groups of the project, the oldest first as far as Nova's own order tells."""
        found: builtins.list[ServerGroup] = []
        while True:
            params = {"limit": PAGE, "offset": len(found)}
            answer = await self._cloud.request(Service.COMPUTE, "GET", "/os-server-groups", params=params)
            page = [_group(entry) for entry in checked(answer)["server_groups"]]
            if not page:
                return found
            found += page

    async def get(self, group_id: str) -> ServerGroup | None:
        """Return one group as it is now, None if it is gone."""
        answer = await self._request("GET", f"/os-server-groups/{group_id}")
        return None if answer.status == 404 else _group(checked(answer)["server_group"])

    async def create(self, name: str, spec: ServerGroupSpec) -> None:
        """Make a group; Refused if the site is too old for its rules, or by the site."""
        body: dict[str, Any] = {"name": name, "policy": spec.policy}
        if spec.rules:
            body["rules"] = {key: int(value) for key, value in spec.rules.items()}
        if not speaks(self._cloud.microversion, ONE_POLICY):
            if spec.rules:
                raise Refused(FaultCode.UNSUPPORTED, "the site's Nova knows no rules of server groups (before 2.64)")
            body = {"name": name, "policies": [spec.policy]}
        checked(await self._request("POST", "/os-server-groups", {"server_group": body}))

    async def delete(self, group_id: str) -> None:
        """Delete a group; one that is gone is fine."""
        answer = await self._request("DELETE", f"/os-server-groups/{group_id}")
        if answer.status != 404:
            checked(answer)

    async def _request(self, method: str, path: str, body: Any = None) -> Answer:
        return await self._cloud.request(Service.COMPUTE, method, path, json=body)


def _group(document: Mapping[str, Any]) -> ServerGroup:
    return ServerGroup(document["id"], document["name"], len(document.get("members") or []))
