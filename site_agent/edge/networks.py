"""Networks, subnets and ports of the site's Neutron."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proto.errors import FaultCode
from site_agent.core.answers import Answer, checked
from site_agent.edge.cloud import Cloud, Service


@dataclass(frozen=True, slots=True)
class Resource:
    """A network, subnet or port: its id and what Neutron says of it."""

    id: str
    tags: frozenset[str]
    created: str
    fields: Mapping[str, Any]


class Networks:
    """Neutron as far as a boot needs it. ``kind`` is a collection: networks, subnets or ports."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._extensions: frozenset[str] | None = None

    async def has(self, extension: str) -> bool:
        """Whether the site's Neutron has an extension; read once, a restart of the agent reads anew."""
        if self._extensions is None:
            answer = await self._cloud.request(Service.NETWORK, "GET", "/extensions", params={"fields": "alias"})
            self._extensions = frozenset(entry["alias"] for entry in checked(answer)["extensions"])
        return extension in self._extensions

    async def find(self, kind: str, **query: str) -> list[Resource]:
        """Return the resources of the agent's project that match a query, oldest first."""
        params = {"project_id": self._cloud.project_id, **query}
        answer = await self._cloud.request(Service.NETWORK, "GET", f"/{kind}", params=params)
        found = [_resource(document) for document in checked(answer)[kind]]
        return sorted(found, key=lambda resource: (resource.created, resource.id))

    async def create(self, kind: str, identity: str, fields: Mapping[str, Any]) -> Answer:
        """Try to make a resource whose description is its identity; the caller judges 409.

        Neutron takes no tags in the call (the extension ``tag-creation`` is something else), and a tag added after it
        may be missing after a crash: the description is what an earlier try is known by.
        """
        body = {kind[:-1]: {**fields, "description": identity}}
        return await self._cloud.request(Service.NETWORK, "POST", f"/{kind}", json=body)

    async def add_tag(self, kind: str, resource_id: str, tag: str) -> None:
        """Make sure a resource has a tag."""
        checked(await self._cloud.request(Service.NETWORK, "PUT", f"/{kind}/{resource_id}/tags/{tag}"))

    async def update(self, kind: str, resource_id: str, fields: Mapping[str, Any]) -> None:
        """Change some fields."""
        body = {kind[:-1]: fields}
        answer = await self._cloud.request(Service.NETWORK, "PUT", f"/{kind}/{resource_id}", json=body)
        checked(answer, FaultCode.NETWORK)

    async def delete(self, kind: str, resource_id: str) -> None:
        """Delete a resource; one that is gone is fine."""
        answer = await self._cloud.request(Service.NETWORK, "DELETE", f"/{kind}/{resource_id}")
        if answer.status != 404:
            checked(answer, FaultCode.NETWORK)


def made(answer: Answer, kind: str) -> Resource:
    """Return what a successful ``create`` made; raise what a refusal means."""
    return _resource(checked(answer, FaultCode.NETWORK)[kind[:-1]])


def _resource(document: Mapping[str, Any]) -> Resource:
    tags = frozenset(document.get("tags") or ())
    return Resource(document["id"], tags, document.get("created_at") or "", document)
