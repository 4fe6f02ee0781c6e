"""Ports: one for each card, with the MAC and addresses it has above. A second create of either is a 409."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from proto.errors import FaultCode, Refused, Unavailable
from proto.specs import NetworkSpec, PortSpec, SecurityGroupSpec, ServerSpec
from site_agent.core import identity
from site_agent.core.answers import problem
from site_agent.core.ports import port_body, port_changes
from site_agent.edge.networks import Resource, made
from site_agent.resources.network import drop_unused, ensure_network, find, forget, subnet_ids
from site_agent.resources.security_group import (
    drop_unused_security_groups,
    ensure_security_groups,
    forget_security_groups,
)
from site_agent.site import Site

LOG = logging.getLogger(__name__)

SUBNET_GONE = "SubnetNotFound"  # the type of Neutron's refusal
SUBNETS_GONE = "requires subnets"  # Neutron deletes a network's subnets before the network: a boot may come between


async def ensure_ports(site: Site, uuid: str, spec: ServerSpec) -> list[str]:
    """Return the ids of a server's ports in the site, in the order of its cards; may be repeated.

    When one is refused, networks and groups that were made for it and that nothing else needs go again; the ports made
    go with the delete that follows.
    """
    networks = {described.network_id: described for described in spec.networks}
    try:
        return [
            await ensure_port(site, uuid, port, _described(networks, port), spec.security_groups) for port in spec.ports
        ]
    except Refused:
        copies = [await find(site, "networks", described.network_id) for described in spec.networks]
        await drop_unused(site, [copy.id for copy in copies if copy is not None])
        await drop_unused_security_groups(site)
        raise


async def ensure_port(
    site: Site, uuid: str, spec: PortSpec, network: NetworkSpec, groups: Iterable[SecurityGroupSpec] = ()
) -> str:
    """Return the id of an instance's port in the site; may be repeated.

    ``groups``: those of the port, and those that their rules name. Creates first: Neutron keeps MAC addresses unique
    in a network, so an earlier try shows as a 409, and the common case costs one call. Whose port it is says its
    description, set in that call. Refused(NETWORK) if the MAC or an address belongs to somebody else, or the site
    cannot hold what the port asks for.
    """
    network_id = await ensure_network(site, network)
    group_ids = await ensure_security_groups(site, groups)
    extensions = await site.networks.extensions()
    fields = {
        **port_body(spec, network, await subnet_ids(site, network), group_ids, extensions),
        "network_id": network_id,
        "name": identity.tag(spec.port_id),
        "mac_address": spec.mac_address,
    }
    tag = identity.tag(uuid)
    answer = await site.networks.create("ports", tag, fields)
    if answer.ok:
        return made(answer, "ports").id
    if answer.status == 404 or (spec.fixed_ips and SUBNETS_GONE in answer.message):
        forget(site, network)
        forget_security_groups(site, groups)
        raise Unavailable(f"the site lost the network or a group of {network.name}: {answer.message}", retry_after=0.5)
    if answer.status == 409 and (found := await _own(site, network_id, spec, tag)):
        await _readdress(site, found, network, fields)
        return found.id
    raise problem(answer, FaultCode.NETWORK)


async def find_port(site: Site, spec: PortSpec) -> Resource | None:
    """Return the site's port of a card whose instance the spec names; None if it has none."""
    tag = identity.tag(spec.instance)
    found = await site.networks.find("ports", description=tag, mac_address=spec.mac_address)
    return found[0] if found else None


async def make_equal(
    site: Site, found: Resource, spec: PortSpec, network: NetworkSpec, groups: Mapping[str, str]
) -> None:
    """Change a port of the site to what it is above: addresses, groups, pairs, port security. May be repeated."""
    subnets = await subnet_ids(site, network)
    body = port_body(spec, network, subnets, groups, await site.networks.extensions())
    if changes := port_changes(body, found.fields):
        await site.networks.update("ports", found.id, changes)
        LOG.info("port %s: %s", found.id, ", ".join(sorted(changes)))


async def port_of_card(site: Site, uuid: str, port_id: str) -> Resource | None:
    """Return the site's port for one port above of an instance; None if it has none."""
    name = identity.tag(port_id)
    found = await site.networks.find("ports", description=identity.tag(uuid), name=name)
    return found[0] if found else None


async def release_port(site: Site, uuid: str, port_id: str) -> list[str]:
    """Delete the port made for one card, then its network and groups if nobody uses them; return as release_ports.

    Call only when the card is unplugged. May be repeated.
    """
    found = await port_of_card(site, uuid, port_id)
    return await _released(site, [found]) if found is not None else []


async def release_ports(site: Site, uuid: str) -> list[str]:
    """Delete the ports made for an instance, then networks and groups nobody uses; return ids above of the networks.

    Call only when the instance's server is gone. May be repeated.
    """
    return await _released(site, await site.networks.find("ports", description=identity.tag(uuid)))


async def _released(site: Site, ports: list[Resource]) -> list[str]:
    for port in ports:
        await site.networks.delete("ports", port.id)
    gone = await drop_unused(site, sorted({str(port.fields["network_id"]) for port in ports}))
    if any(port.fields.get("security_groups") for port in ports):
        await drop_unused_security_groups(site)
    return gone


def _described(networks: Mapping[str, NetworkSpec], port: PortSpec) -> NetworkSpec:
    if port.network_id not in networks:
        raise Refused(FaultCode.NETWORK, f"port {port.port_id} is of a network that was not described")
    return networks[port.network_id]


async def _own(site: Site, network_id: str, spec: PortSpec, tag: str) -> Resource | None:
    found = await site.networks.find("ports", network_id=network_id, mac_address=spec.mac_address)
    if not found:
        return None
    if found[0].fields.get("description") != tag:
        raise Refused(FaultCode.NETWORK, f"{spec.mac_address} belongs to another port of the site, {found[0].id}")
    return found[0]


async def _readdress(site: Site, found: Resource, network: NetworkSpec, wanted: Mapping[str, Any]) -> None:
    """Give the port of an earlier try its addresses back.

    Neutron deletes a network's subnets, with the addresses on them, before it sees that a port has come meanwhile and
    keeps the network. So the subnet may be gone again, or still be the deleted one: looked at anew.
    """
    if changes := port_changes({"fixed_ips": wanted["fixed_ips"]}, found.fields):
        LOG.info("port %s has lost its addresses, and gets them again", found.id)
        try:
            await site.networks.update("ports", found.id, changes)
        except Refused as error:
            if SUBNET_GONE not in str(error):
                raise
            forget(site, network)
            raise Unavailable(f"the site lost a subnet of {network.name}: {error}", retry_after=0.5) from error
