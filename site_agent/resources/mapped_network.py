"""Networks of the site that the operator's map puts in the place of networks above; never made, changed or deleted."""

from collections.abc import Mapping
from ipaddress import ip_network

from proto.errors import FaultCode, Refused
from proto.specs import NetworkSpec
from site_agent.edge.networks import Resource
from site_agent.site import Site


async def mapped_network(site: Site, spec: NetworkSpec) -> Resource:
    """Return the site's network that the map names by id or name; Refused if there is none, or more than one."""
    assert spec.site_network is not None

    async def look() -> str:
        name = str(spec.site_network)
        found = await site.networks.find_visible("networks", id=name)
        found = found or await site.networks.find_visible("networks", name=name)
        if len(found) != 1:
            reason = f"network {spec.network_id} is mapped to {name!r}, of which the site shows {len(found)}"
            raise Refused(FaultCode.NETWORK, reason)
        return found[0].id

    network_id = await site.shelf.get(("mapped network", spec.site_network), look)
    found = await site.networks.find_visible("networks", id=network_id)
    if not found:
        site.shelf.drop(("mapped network", spec.site_network))
        raise Refused(FaultCode.NETWORK, f"network {spec.network_id} is mapped to {network_id}, which the site lost")
    return found[0]


async def mapped_subnets(site: Site, spec: NetworkSpec) -> Mapping[str, str]:
    """Return subnet above -> subnet of the same addresses in the mapped network; Refused if one is missing."""
    network = await mapped_network(site, spec)
    found = await site.networks.find_visible("subnets", network_id=network.id)
    by_cidr = {ip_network(subnet.fields["cidr"]): subnet.id for subnet in found}
    ids = {}
    for subnet in spec.subnets:
        here = by_cidr.get(ip_network(subnet.cidr))
        if here is None:
            reason = f"network {network.id}, to which {spec.network_id} is mapped, has no subnet {subnet.cidr}"
            raise Refused(FaultCode.NETWORK, reason)
        ids[subnet.subnet_id] = here
    return ids
