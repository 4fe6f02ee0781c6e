"""Networks, subnets, ports and security groups of the site's Neutron."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proto.errors import FaultCode, Refused
from site_agent.core.answers import Answer, checked
from site_agent.edge.cloud import Cloud, Service

RULES_OF_ONE_CALL = 100
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Resource:
    """A network, subnet, port or security group: its id and what Neutron says of it."""

    id: str
    tags: frozenset[str]
    created: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Added:
    """What became of rules that were to be added, beside those that were."""

    there: set[str] = field(default_factory=set)  # ids of those that the site has, in its own spelling
    refused: list[tuple[dict[str, Any], Refused]] = field(default_factory=list)


class Networks:
    """Neutron as far as servers need it. ``kind`` is a collection: networks, subnets, ports or security-groups."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._extensions: frozenset[str] | None = None

    async def extensions(self) -> frozenset[str]:
        """Return the aliases of the site's extensions; read once, a restart of the agent reads anew."""
        if self._extensions is None:
            answer = await self._cloud.request(Service.NETWORK, "GET", "/extensions", params={"fields": "alias"})
            self._extensions = frozenset(entry["alias"] for entry in checked(answer)["extensions"])
        return self._extensions

    async def has(self, extension: str) -> bool:
        """Whether the site's Neutron has an extension."""
        return extension in await self.extensions()

    async def find(self, kind: str, **query: str) -> list[Resource]:
        """Return the resources of the agent's project that match a query, oldest first."""
        return await self.find_visible(kind, project_id=self._cloud.project_id, **query)

    async def find_visible(self, kind: str, **query: str) -> list[Resource]:
        """Return the resources of any project that match a query and that the agent's user may see, oldest first."""
        answer = await self._cloud.request(Service.NETWORK, "GET", f"/{kind}", params=query)
        found = [_resource(document) for document in checked(answer)[_plural(kind)]]
        return sorted(found, key=lambda resource: (resource.created, resource.id))

    async def create(self, kind: str, identity: str, fields: Mapping[str, Any]) -> Answer:
        """Try to make a resource whose description is its identity; the caller judges 409.

        Neutron takes no tags in the call (the extension ``tag-creation`` is something else), and a tag added after it
        may be missing after a crash: the description is what an earlier try is known by.
        """
        body = {_singular(kind): {**fields, "description": identity}}
        return await self._cloud.request(Service.NETWORK, "POST", f"/{kind}", json=body)

    async def add_tag(self, kind: str, resource_id: str, tag: str) -> None:
        """Make sure a resource has a tag."""
        checked(await self._cloud.request(Service.NETWORK, "PUT", f"/{kind}/{resource_id}/tags/{tag}"))

    async def set_tags(self, kind: str, resource_id: str, tags: Iterable[str]) -> None:
        """Replace all tags of a resource."""
        body = {"tags": sorted(tags)}
        checked(await self._cloud.request(Service.NETWORK, "PUT", f"/{kind}/{resource_id}/tags", json=body))

    async def update(self, kind: str, resource_id: str, fields: Mapping[str, Any]) -> None:
        """Change some fields; Refused(NETWORK) if the site does not let us."""
        body = {_singular(kind): fields}
        answer = await self._cloud.request(Service.NETWORK, "PUT", f"/{kind}/{resource_id}", json=body)
        checked(answer, FaultCode.NETWORK)

    async def delete(self, kind: str, resource_id: str) -> None:
        """Delete a resource; one that is gone is fine."""
        answer = await self._cloud.request(Service.NETWORK, "DELETE", f"/{kind}/{resource_id}")
        if answer.status != 404:
            checked(answer, FaultCode.NETWORK)

    async def add_rules(self, rules: list[dict[str, Any]]) -> Added:
        """Add rules to security groups, as many as the site takes."""
        added = Added()
        for begin in range(0, len(rules), RULES_OF_ONE_CALL):
            some = rules[begin : begin + RULES_OF_ONE_CALL]
            if not (await self._post_rules(some)).ok:  # all or none: one by one shows which
                for rule in some:
                    await self._add_rule(rule, added)
        return added

    async def _add_rule(self, rule: dict[str, Any], added: Added) -> None:
        answer = await self._post_rules([rule])
        if answer.status == 409 and "RuleExists" in answer.message:
            if found := _ID.search(answer.message):
                added.there.add(found.group())
            return
        try:
            checked(answer, FaultCode.NETWORK)
        except Refused as refusal:
            added.refused.append((rule, refusal))

    async def _post_rules(self, rules: list[dict[str, Any]]) -> Answer:
        body = {"security_group_rules": rules}
        return await self._cloud.request(Service.NETWORK, "POST", "/security-group-rules", json=body)


def made(answer: Answer, kind: str) -> Resource:
    """Return what a successful ``create`` made; raise what a refusal means."""
    return _resource(checked(answer, FaultCode.NETWORK)[_singular(kind)])


def _plural(kind: str) -> str:
    return kind.replace("-", "_")


def _singular(kind: str) -> str:
    return _plural(kind)[:-1]


def _resource(document: Mapping[str, Any]) -> Resource:
    tags = frozenset(document.get("tags") or ())
    return Resource(document["id"], tags, document.get("created_at") or "", document)
