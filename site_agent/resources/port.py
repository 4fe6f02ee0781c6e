"""Ports: one for each card, with the MAC and addresses it has above. A second create of either is a 409."""

import logging
from collections.abc import Mapping
from typing import Any

from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import FixedIp, NetworkSpec, PortSpec
from site_agent.core import identity
from site_agent.core.answers import problem
from site_agent.edge.networks import made
from site_agent.resources.network import drop_unused, ensure_network, shelf_key, subnet_ids
from site_agent.site import Site

LOG = logging.getLogger(__name__)


async def ensure_port(site: Site, uuid: str, spec: PortSpec, network: NetworkSpec) -> str:
    """Return the id of an instance's port in the site; may be repeated.

    Creates first: Neutron keeps MAC addresses unique in a network, so an earlier try shows as a 409, and the common
    case costs one call. Whose port it is says its description, set in that call. Refused(NETWORK) if the MAC or an
    address belongs to somebody else.
    """
    network_id = await ensure_network(site, network)
    subnets = await subnet_ids(site, network)
    fields: dict[str, Any] = {
        "network_id": network_id,
        "name": identity.tag(spec.port_id),
        "mac_address": spec.mac_address,
        "fixed_ips": [_address(ip, subnets) for ip in spec.fixed_ips],
    }
    tag = identity.tag(uuid)
    answer = await site.networks.create("ports", tag, fields)
    if answer.ok:
        return made(answer, "ports").id
    if answer.status == 404:
        _forget(site, network)
        raise Unavailable(f"the site lost the network of {network.name}: {answer.message}", retry_after=0.5)
    if answer.status == 409 and (found := await _own(site, network_id, spec, tag)):
        return found
    raise problem(answer, FaultCode.NETWORK)


async def release_ports(site: Site, uuid: str) -> list[str]:
    """Delete the ports made for an instance, and networks nobody uses then; return the ids above of those networks.

    Call only when the instance's server is gone. May be repeated.
    """
    ports = await site.networks.find("ports", description=identity.tag(uuid))
    for port in ports:
        await site.networks.delete("ports", port.id)
    return await drop_unused(site, sorted({str(port.fields["network_id"]) for port in ports}))


async def _own(site: Site, network_id: str, spec: PortSpec, tag: str) -> str | None:
    found = await site.networks.find("ports", network_id=network_id, mac_address=spec.mac_address)
    if not found:
        return None
    if found[0].fields.get("description") != tag:
        raise Refused(FaultCode.NETWORK, f"{spec.mac_address} belongs to another port of the site, {found[0].id}")
    return found[0].id


def _address(ip: FixedIp, subnets: Mapping[str, str]) -> dict[str, str]:
    if ip.subnet_id not in subnets:
        raise Refused(FaultCode.NETWORK, f"{ip.ip_address} is of a subnet its network does not have, {ip.subnet_id}")
    return {"ip_address": ip.ip_address, "subnet_id": subnets[ip.subnet_id]}


def _forget(site: Site, network: NetworkSpec) -> None:
    site.shelf.drop(shelf_key(network))
    for subnet in network.subnets:
        site.shelf.drop(("subnet", subnet.subnet_id))
