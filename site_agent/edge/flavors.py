"""Flavors and keypairs of the site's Nova."""

from collections.abc import Mapping
from typing import Any

from proto.errors import FaultCode
from proto.messages import FlavorSpec, KeypairSpec
from site_agent.core.answers import Answer, checked
from site_agent.core.matching import Flavor
from site_agent.edge.cloud import Cloud, Service


class Flavors:
    """Flavors; making them is usually an administrator's right."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def get(self, flavor_id: str) -> Flavor | None:
        """Return one flavor with its extra specs, or None."""
        answer = await self._request("GET", f"/flavors/{flavor_id}")
        if answer.status == 404:
            return None
        return await self._complete(checked(answer)["flavor"])

    async def list(self) -> list[Flavor]:
        """Return every flavor the agent's project may use."""
        answer = await self._request("GET", "/flavors/detail")
        return [await self._complete(document) for document in checked(answer)["flavors"]]

    async def create(self, flavor_id: str, spec: FlavorSpec) -> Answer:
        """Try to make a private flavor; the caller judges 403 (may not) and 409 (exists)."""
        flavor = {
            "id": flavor_id,
            "name": flavor_id,
            "vcpus": spec.vcpus,
            "ram": spec.ram,
            "disk": spec.disk,
            "OS-FLV-EXT-DATA:ephemeral": spec.ephemeral,
            "swap": spec.swap,
            "os-flavor-access:is_public": False,
        }
        return await self._request("POST", "/flavors", {"flavor": flavor})

    async def set_extra_specs(self, flavor_id: str, specs: Mapping[str, str]) -> None:
        """Add extra specs; repeating it changes nothing."""
        answer = await self._request("POST", f"/flavors/{flavor_id}/os-extra_specs", {"extra_specs": dict(specs)})
        checked(answer, FaultCode.FLAVOR)

    async def give_access(self, flavor_id: str) -> None:
        """Let the agent's project use a private flavor; 409 = it may already."""
        body = {"addTenantAccess": {"tenant": self._cloud.project_id}}
        answer = await self._request("POST", f"/flavors/{flavor_id}/action", body)
        if answer.status != 409:
            checked(answer, FaultCode.FLAVOR)

    async def _complete(self, document: dict[str, Any]) -> Flavor:
        specs = document.get("extra_specs")
        if specs is None:  # before microversion 2.61 they are a resource of their own
            answer = await self._request("GET", f"/flavors/{document['id']}/os-extra_specs")
            specs = answer.body["extra_specs"] if answer.ok else None
        return Flavor(
            flavor_id=document["id"],
            vcpus=document["vcpus"],
            ram=document["ram"],
            disk=document["disk"],
            ephemeral=document.get("OS-FLV-EXT-DATA:ephemeral") or 0,
            swap=document.get("swap") or 0,  # Nova shows "" for none before 2.75
            extra_specs=specs,
        )

    async def _request(self, method: str, path: str, body: Any = None) -> Answer:
        return await self._cloud.request(Service.COMPUTE, method, path, json=body)


class Keypairs:
    """Keypairs of the agent's own user."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def fingerprint(self, name: str) -> str | None:
        """Return the fingerprint of the keypair of this name, or None."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", f"/os-keypairs/{name}")
        return None if answer.status == 404 else str(checked(answer)["keypair"]["fingerprint"])

    async def find(self, fingerprint: str, kind: str) -> str | None:
        """Return the name of a keypair with this fingerprint and type, or None."""
        marker = ""
        while True:
            query = {"limit": 500, **({"marker": marker} if marker else {})}
            answer = await self._cloud.request(Service.COMPUTE, "GET", "/os-keypairs", params=query)
            body = checked(answer)
            pairs = [entry["keypair"] for entry in body["keypairs"]]
            for pair in pairs:
                if pair["fingerprint"] == fingerprint and pair.get("type", "ssh") == kind:
                    return str(pair["name"])
            if not pairs or not body.get("keypairs_links"):
                return None
            marker = pairs[-1]["name"]

    async def create(self, name: str, spec: KeypairSpec) -> Answer:
        """Try to import a public key; the caller judges 409 (the name exists)."""
        pair = {"name": name, "public_key": spec.public_key, "type": spec.type}
        return await self._cloud.request(Service.COMPUTE, "POST", "/os-keypairs", json={"keypair": pair})
