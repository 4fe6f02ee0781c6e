"""Answers ``network_sync``: what the site has of networks, groups and ports becomes equal; and ``network_drop``."""

import logging
from collections.abc import Collection, Mapping

from proto.errors import CascadeError, FaultCode, Refused
from proto.messages import Query, Reply
from proto.specs import NetworkSpec, PortSpec
from site_agent.core.security import needed
from site_agent.edge.networks import Resource
from site_agent.resources import network, port
from site_agent.resources.security_group import (
    drop_unused_security_groups,
    ensure_bare_group,
    find_security_group,
    make_group_equal,
)
from site_agent.site import Site

LOG = logging.getLogger(__name__)

NOT_HERE = "the site does not have it"
IN_USE = "the site uses it"


async def network_sync(site: Site, query: Query) -> Reply:
    """Make equal what the site has of the query's things, and say of the rest why it is not; may be repeated.

    Nothing is made that no server here needs: groups only if a port here has them or a rule of such a group names
    them. The query describes the networks of its ports and every group that its ports and groups name.
    """
    undone = await _networks(site, query)
    ports = {spec.port_id: found for spec in query.ports if (found := await port.find_port(site, spec)) is not None}
    failed, groups = await _groups(site, query, ports.keys())
    undone |= failed
    networks = {spec.network_id: spec for spec in query.networks}
    for spec in query.ports:
        undone |= await _port(site, spec, ports.get(spec.port_id), networks, groups)
    return Reply(undone=undone)


async def network_drop(site: Site, query: Query) -> Reply:
    """Delete those of the query's networks, and of all our groups, that no server here needs; may be repeated.

    What a delete that was cut short left behind. Undone are the networks that stay.
    """
    undone = {}
    for spec in query.networks:
        copy = await network.find(site, "networks", spec.network_id)
        if copy is not None and not await network.drop_unused(site, [copy.id]):
            undone[spec.network_id] = IN_USE
    await drop_unused_security_groups(site)
    return Reply(undone=undone)


async def _networks(site: Site, query: Query) -> dict[str, str]:
    undone = {}
    for spec in query.networks:
        try:
            if not await network.make_equal(site, spec):
                undone[spec.network_id] = NOT_HERE
        except CascadeError as error:
            undone[spec.network_id] = str(error)
    return undone


async def _groups(site: Site, query: Query, ports: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what failed, and group above -> group here; ``ports``: those above that the site has."""
    described = {spec.group_id: spec for spec in query.security_groups}
    here = {group_id for group_id in described if await find_security_group(site, group_id) is not None}
    of_ports = {group for spec in query.ports if spec.port_id in ports for group in spec.security_groups or ()}
    undone = dict.fromkeys(described.keys() - needed(here | of_ports, described), NOT_HERE)
    wanted = [spec for group_id, spec in described.items() if group_id not in undone]
    ids: dict[str, str] = {}
    for spec in wanted:
        try:
            ids[spec.group_id] = await ensure_bare_group(site, spec)
        except CascadeError as error:
            undone[spec.group_id] = str(error)
    for spec in wanted:
        try:
            await make_group_equal(site, spec, ids, look=True)
        except CascadeError as error:
            undone[spec.group_id] = str(error)
    return undone, ids


async def _port(
    site: Site, spec: PortSpec, found: Resource | None, networks: Mapping[str, NetworkSpec], groups: Mapping[str, str]
) -> dict[str, str]:
    if found is None:
        return {spec.port_id: NOT_HERE}
    try:
        if spec.network_id not in networks:
            raise Refused(FaultCode.NETWORK, f"port {spec.port_id} is of a network that was not described")
        await port.make_equal(site, found, spec, networks[spec.network_id], groups)
    except CascadeError as error:
        return {spec.port_id: str(error)}
    return {}
