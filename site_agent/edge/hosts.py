"""Compute hosts of the site and what its Placement says of them."""

from dataclasses import dataclass
from typing import Any

from proto.errors import FaultCode, Refused, Unavailable
from site_agent.core.boot import speaks
from site_agent.core.capacity import Provider, effective, used
from site_agent.edge.cloud import Cloud, Service

# Newer listings of hypervisors ask every host for its uptime (2.88); this one has uuids and costs one query.
HYPERVISOR_VERSION = "2.53"
MIGRATION_VERSION, WITH_UUIDS = "2.59", (2, 59)
MOVING = ("migrating", "post-migrating", "finished", "confirming", "reverting", "running")
"""Statuses of migrations that hold an allocation: a resize waits for its confirm as `finished`, maybe for days."""
FORBIDDEN, GONE = 403, 404


@dataclass(frozen=True, slots=True)
class ProviderName:
    """One resource provider of the list."""

    uuid: str
    root: str


class Hosts:
    """What an administrator of the site can see of its hosts: Refused is raised only where the credentials may not."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def zones(self) -> dict[str, str]:
        """Return compute node uuid -> availability zone of every node that is up and takes servers."""
        services = await self._get(Service.COMPUTE, "/os-services?binary=nova-compute")
        zones = {
            entry["host"]: entry["zone"]
            for entry in services["services"]
            if entry["state"] == "up" and entry["status"] == "enabled"
        }
        nodes = await self._get(Service.COMPUTE, "/os-hypervisors/detail", HYPERVISOR_VERSION)
        hosts = {node["id"]: node["service"]["host"] for node in nodes["hypervisors"]}
        return {uuid: zones[host] for uuid, host in hosts.items() if host in zones}

    async def providers(self) -> list[ProviderName]:
        """Return every resource provider."""
        body = await self._get(Service.PLACEMENT, "/resource_providers")
        return [ProviderName(entry["uuid"], entry["root_provider_uuid"]) for entry in body["resource_providers"]]

    async def provider(self, name: ProviderName) -> Provider | None:
        """Return what one provider has, how much of it is used, and its traits; None if it is gone meanwhile."""
        try:
            return await self._provider(name)
        except _Gone:
            return None

    async def _provider(self, name: ProviderName) -> Provider:
        path = f"/resource_providers/{name.uuid}"
        inventories = await self._get(Service.PLACEMENT, f"{path}/inventories")
        allocations = await self._get(Service.PLACEMENT, f"{path}/allocations")
        traits = await self._get(Service.PLACEMENT, f"{path}/traits")
        consumers = {uuid: entry["resources"] for uuid, entry in allocations["allocations"].items()}
        found: dict[str, dict[str, Any]] = inventories["inventories"]
        return Provider(
            uuid=name.uuid,
            root=name.root,
            capacity={kind: effective(inventory) for kind, inventory in found.items()},
            used=used(consumers),
            traits=frozenset(traits["traits"]),
            allocations=consumers,
            largest={kind: inventory["max_unit"] for kind, inventory in found.items() if "max_unit" in inventory},
        )

    async def moves(self) -> dict[str, str]:
        """Return migration -> server of what moves or is resized: the migration holds what the server had before.

        Empty where the credentials may not see them, or the site's Nova does not tell their uuids.
        """
        found: dict[str, str] = {}
        for status in MOVING if speaks(self._cloud.microversion, WITH_UUIDS) else ():
            try:
                body = await self._get(Service.COMPUTE, f"/os-migrations?status={status}", MIGRATION_VERSION)
            except Refused:
                return {}
            found |= {entry["uuid"]: entry["instance_uuid"] for entry in body["migrations"]}
        return found

    async def _get(self, service: Service, path: str, microversion: str | None = None) -> dict[str, Any]:
        answer = await self._cloud.request(service, "GET", path, microversion=microversion)
        if answer.status == FORBIDDEN:
            raise Refused(FaultCode.REJECTED, answer.message)
        if not answer.ok:
            error = _Gone if answer.status == GONE else Unavailable
            raise error(f"GET {service} {path}: {answer.message}")
        body: dict[str, Any] = answer.body
        return body


class _Gone(Unavailable):
    """There is no such thing (any more)."""
