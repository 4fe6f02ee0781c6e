"""Networks and subnets: a copy of each network above, known by its tag, its subnets giving out only their share."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from proto.errors import FaultCode, Refused, Unavailable
from proto.specs import NetworkSpec, SubnetSpec
from site_agent.core import identity
from site_agent.core.answers import problem
from site_agent.core.matching import pools, same_pools
from site_agent.core.ports import automatic, network_body, subnet_body, subnet_changes
from site_agent.edge.networks import Resource, made
from site_agent.resources.mapped_network import mapped_network, mapped_subnets
from site_agent.site import Site

LOG = logging.getLogger(__name__)


async def ensure_network(site: Site, spec: NetworkSpec) -> str:
    """Return the id of the site's copy of a network above, with all its subnets; may be repeated, by many at once.

    Where the operator's map names a network of the site, that one is used as it is; Refused if it is not there.
    """
    if spec.site_network:
        return (await mapped_network(site, spec)).id
    return await site.shelf.get(shelf_key(spec), lambda: _ensure(site, spec))


async def subnet_ids(site: Site, spec: NetworkSpec) -> Mapping[str, str]:
    """Return subnet above -> subnet here of a network that was ensured."""
    if spec.site_network:
        return await mapped_subnets(site, spec)
    return {subnet.subnet_id: await _subnet_id(site, spec, subnet) for subnet in spec.subnets}


def shelf_key(spec: NetworkSpec) -> tuple[str, ...]:
    """Key of the network among the remembered ids: a change of its subnets or their addresses is looked at anew."""
    shares = (f"{subnet.subnet_id} {' '.join(subnet.site_addresses)}" for subnet in spec.subnets)
    return ("network", spec.network_id, *shares)


def forget(site: Site, spec: NetworkSpec) -> None:
    """Look anew for the copy of a network and of its subnets when it is next needed: one of them was not there."""
    site.shelf.drop(shelf_key(spec))
    for subnet in spec.subnets:
        site.shelf.drop(("subnet", subnet.subnet_id))


async def make_equal(site: Site, spec: NetworkSpec) -> bool:
    """Change the site's copy of a network, and its subnets, to what they are above; False if there is no copy.

    Subnets that are gone above go, unless the site still uses them: Refused. May be repeated. What a network is
    mapped to is never touched.
    """
    if spec.site_network:
        return True
    async with site.locks[spec.network_id]:
        network = await find(site, "networks", spec.network_id)
        if network is None:
            return False
        body = network_body(spec, await site.networks.extensions())
        if changes := {key: value for key, value in body.items() if network.fields.get(key) != value}:
            await site.networks.update("networks", network.id, changes)
        for subnet in spec.subnets:
            found = await _ensure_subnet(site, network, subnet)
            if different := subnet_changes(subnet, found.fields):
                LOG.info("subnet %s: %s", found.id, ", ".join(sorted(different)))
                await site.networks.update("subnets", found.id, different)
        await _drop_subnets(site, network, {identity.tag(subnet.subnet_id) for subnet in spec.subnets})
    return True


async def _drop_subnets(site: Site, network: Resource, staying: set[str]) -> None:
    for found in await site.networks.find("subnets", network_id=network.id):
        description = str(found.fields.get("description"))
        if identity.is_ours(description) and description not in staying:
            await site.networks.delete("subnets", found.id)
            site.shelf.clear()
            LOG.info("subnet %s is gone above and is deleted", found.id)


async def drop_unused(site: Site, network_ids: Iterable[str]) -> list[str]:
    """Delete those of our networks here that no port of an instance is on; return their ids above. May be repeated.

    A boot that is just about to use one finds it gone and makes it anew; one that was faster makes Neutron refuse.
    """
    gone: list[str] = []
    for network_id in network_ids:
        ports = await site.networks.find("ports", network_id=network_id)
        if any(identity.is_ours(port.fields.get("description")) for port in ports):
            continue
        for network in await site.networks.find("networks", id=network_id):
            if identity.is_ours(network.fields.get("description")) and await _deleted(site, network):
                gone.append(identity.uuid_of([network.fields["description"]]))
    return gone


async def _deleted(site: Site, network: Resource) -> bool:
    try:
        await site.networks.delete("networks", network.id)
    except Refused as error:
        LOG.info("network %s stays: %s", network.id, error)
        return False
    finally:
        site.shelf.clear()  # its subnets may be gone also where the network stays
    LOG.info("network %s is not used any more and is deleted", network.id)
    return True


async def _subnet_id(site: Site, spec: NetworkSpec, subnet: SubnetSpec) -> str:
    async def look() -> str:
        found = await find(site, "subnets", subnet.subnet_id)
        if found is None:
            site.shelf.drop(shelf_key(spec))
            raise Unavailable(f"subnet {subnet.subnet_id} was removed from the site: making it anew", retry_after=0.5)
        return found.id

    return await site.shelf.get(("subnet", subnet.subnet_id), look)


async def _ensure(site: Site, spec: NetworkSpec) -> str:
    async with site.locks[spec.network_id]:
        network = await find(site, "networks", spec.network_id) or await _create_network(site, spec)
        for subnet in spec.subnets:
            await _ensure_subnet(site, network, subnet)
        return network.id


async def find(site: Site, kind: str, identity_above: str) -> Resource | None:
    """Return what stands for a thing above: by its tag, else by its description (a crash came before the tag)."""
    tag = identity.tag(identity_above)
    if found := await site.networks.find(kind, tags=tag):
        return found[0]
    found = await site.networks.find(kind, description=tag)
    for resource in found[:1]:
        await site.networks.add_tag(kind, resource.id, tag)
        return resource
    return None


async def _create_network(site: Site, spec: NetworkSpec) -> Resource:
    tag = identity.tag(spec.network_id)
    fields = network_body(spec, await site.networks.extensions())
    answer = await site.networks.create("networks", tag, fields)
    if answer.status == 400 and fields.pop("mtu", None):
        LOG.warning("the site refuses an MTU of %d for network %s: %s", spec.mtu, spec.network_id, answer.message)
        answer = await site.networks.create("networks", tag, fields)
    mine = made(answer, "networks")
    await site.networks.add_tag("networks", mine.id, tag)
    LOG.info("made network %s for %s", mine.id, spec.network_id)
    return await _without_rival(site, "networks", spec.network_id, mine)


async def _without_rival(site: Site, kind: str, identity_above: str, mine: Resource) -> Resource:
    """Of two that two agents made at once the older stays; its maker sees the same list."""
    oldest = await find(site, kind, identity_above) or mine
    if oldest.id != mine.id:
        LOG.warning("%s %s was made twice: %s goes, %s stays", kind, identity_above, mine.id, oldest.id)
        await site.networks.delete(kind, mine.id)
    return oldest


async def _ensure_subnet(site: Site, network: Resource, spec: SubnetSpec) -> Resource:
    found = await find(site, "subnets", spec.subnet_id)
    if found is None:
        tag = identity.tag(spec.subnet_id)
        answer = await site.networks.create("subnets", tag, _new_subnet(network, spec))
        if answer.ok:
            mine = made(answer, "subnets")
            await site.networks.add_tag("subnets", mine.id, tag)
            return await _without_rival(site, "subnets", spec.subnet_id, mine)
        # Subnets of one network may not overlap, so another agent's copy of this one is a refusal here.
        found = await find(site, "subnets", spec.subnet_id)
        if found is None:
            raise problem(answer, FaultCode.NETWORK)
    wanted = pools(spec)
    if not automatic(spec) and not same_pools(wanted, found.fields["allocation_pools"]):
        LOG.info("subnet %s gets the allocation pools %s", found.id, wanted)
        await site.networks.update("subnets", found.id, {"allocation_pools": wanted})
    return found


def _new_subnet(network: Resource, spec: SubnetSpec) -> dict[str, Any]:
    fixed = {"network_id": network.id, "cidr": spec.cidr, "ip_version": spec.ip_version}
    modes = {"ipv6_address_mode": spec.ipv6_address_mode, "ipv6_ra_mode": spec.ipv6_ra_mode}
    return {**fixed, **subnet_body(spec), **{key: value for key, value in modes.items() if value}}
