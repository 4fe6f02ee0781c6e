"""Flavors and keypairs of the site's Nova."""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proto.errors import FaultCode
from proto.specs import FlavorSpec, KeypairSpec
from site_agent.core import identity
from site_agent.core.answers import Answer, checked
from site_agent.core.matching import Flavor
from site_agent.edge.cloud import Cloud, Service

PAGE = 500  # entries of one answer
DESCRIBED = (2, 55)  # microversion from which a flavor has a description


@dataclass(frozen=True, slots=True)
class MadeFlavor:
    """A flavor of the site that the agent made for one version of a flavor above."""

    flavor_id: str  # here
    source: str  # flavor id above
    version: int


@dataclass(frozen=True, slots=True)
class Keypair:
    """A keypair of the agent's user."""

    name: str
    fingerprint: str
    kind: str
    public_key: str

    def holds(self, spec: KeypairSpec) -> bool:
        """Whether it is this key, to the letter that a guest sees."""
        same = (self.fingerprint, self.kind) == (spec.fingerprint, spec.type)
        return same and self.public_key.strip() == spec.public_key.strip()


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
        return [await self._complete(document) for document in await self._documents({})]

    async def made(self) -> builtins.list[MadeFlavor]:
        """Return the flavors the agent made, private ones included; none if it may not see private flavors."""
        documents = await self._documents({"is_public": "None"})
        return [found for document in documents if (found := _made(document)) is not None]

    async def create(self, flavor_id: str, spec: FlavorSpec) -> Answer:
        """Try to make a private flavor; the caller judges 403 (may not) and 409 (exists).

        Nova shows a private flavor, also for giving access to it, to administrators only: who may make flavors without
        being one makes public ones.
        """
        flavor: dict[str, Any] = {
            "id": flavor_id,
            "name": flavor_id,
            "vcpus": spec.vcpus,
            "ram": spec.ram,
            "disk": spec.disk,
            "OS-FLV-EXT-DATA:ephemeral": spec.ephemeral,
            "swap": spec.swap,
            "os-flavor-access:is_public": not self._cloud.is_admin,
        }
        if tuple(int(number) for number in self._cloud.microversion.split(".")) >= DESCRIBED:
            flavor["description"] = identity.tag(spec.flavor_id)
        return await self._request("POST", "/flavors", {"flavor": flavor})

    async def delete(self, flavor_id: str) -> None:
        """Delete a flavor; one that is gone is fine. Servers made of it keep what they have."""
        answer = await self._request("DELETE", f"/flavors/{flavor_id}")
        if answer.status != 404:
            checked(answer, FaultCode.FLAVOR)

    async def set_extra_specs(self, flavor_id: str, specs: Mapping[str, str]) -> None:
        """Add extra specs; repeating it changes nothing. Refused(FLAVOR) if the site knows one of them to be wrong."""
        if not specs:
            return
        answer = await self._request("POST", f"/flavors/{flavor_id}/os-extra_specs", {"extra_specs": dict(specs)})
        checked(answer, FaultCode.FLAVOR)

    async def give_access(self, flavor_id: str) -> None:
        """Let the agent's project use a private flavor; 409 = it may already. Public ones need no access."""
        if not self._cloud.is_admin:
            return
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

    async def _documents(self, query: Mapping[str, str]) -> builtins.list[dict[str, Any]]:
        found: builtins.list[dict[str, Any]] = []
        while True:
            params = {**query, "limit": PAGE, **({"marker": found[-1]["id"]} if found else {})}
            body = checked(await self._cloud.request(Service.COMPUTE, "GET", "/flavors/detail", params=params))
            found += body["flavors"]
            if not body["flavors"] or not body.get("flavors_links"):
                return found

    async def _request(self, method: str, path: str, body: Any = None) -> Answer:
        return await self._cloud.request(Service.COMPUTE, method, path, json=body)


class Keypairs:
    """Keypairs of the agent's own user."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def get(self, name: str) -> Keypair | None:
        """Return the keypair of this name, or None."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", f"/os-keypairs/{name}")
        return None if answer.status == 404 else _keypair(checked(answer)["keypair"])

    async def list(self) -> builtins.list[Keypair]:
        """Return all of them."""
        found: builtins.list[Keypair] = []
        while True:
            params = {"limit": PAGE, **({"marker": found[-1].name} if found else {})}
            body = checked(await self._cloud.request(Service.COMPUTE, "GET", "/os-keypairs", params=params))
            page = [_keypair(entry["keypair"]) for entry in body["keypairs"]]
            found += page
            if not page or not body.get("keypairs_links"):
                return found

    async def delete(self, name: str) -> None:
        """Delete a keypair; one that is gone is fine. Servers made with it keep it."""
        answer = await self._cloud.request(Service.COMPUTE, "DELETE", f"/os-keypairs/{name}")
        if answer.status != 404:
            checked(answer, FaultCode.KEYPAIR)

    async def create(self, name: str, spec: KeypairSpec) -> Answer:
        """Try to import a public key; the caller judges 409 (the name exists)."""
        pair = {"name": name, "public_key": spec.public_key, "type": spec.type}
        return await self._cloud.request(Service.COMPUTE, "POST", "/os-keypairs", json={"keypair": pair})


def _made(document: Mapping[str, Any]) -> MadeFlavor | None:
    parsed = identity.flavor_of(document["id"], document.get("description"))
    foreign = document.get("os-flavor-access:is_public") and not identity.is_ours(document.get("description"))
    if parsed is None or document["name"] != document["id"] or foreign:
        return None
    return MadeFlavor(document["id"], *parsed)


def _keypair(document: Mapping[str, Any]) -> Keypair:
    kind, text = document.get("type") or "ssh", document.get("public_key") or ""
    return Keypair(document["name"], document["fingerprint"], kind, text)
