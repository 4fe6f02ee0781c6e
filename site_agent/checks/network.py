"""Neutron: extensions, and a network with a subnet, a port and a security group made for a moment."""

from collections.abc import Mapping
from typing import Any

from proto.errors import FaultCode, Refused
from site_agent.core import rights
from site_agent.core.rights import PROBE, Finding, Verdict, works
from site_agent.edge.cloud import Cloud
from site_agent.edge.networks import Networks, Resource, made

FORBIDDEN = 403
CIDR, ADDRESS = "192.0.2.0/29", "192.0.2.5"  # RFC 5737: for documentation only
MAC = "fa:16:3e:ca:5c:ad"


async def extensions(cloud: Cloud) -> list[Finding]:
    """What the lack of extensions costs."""
    lesser = rights.lesser_neutron(await Networks(cloud).extensions())
    if not lesser:
        return [works("extensions", "all that are of use")]
    return [Finding("extensions", Verdict.DEGRADED, "; ".join(lesser), "only if you need it: enable it in Neutron")]


async def networks(cloud: Cloud) -> list[Finding]:
    """A network of our own with a subnet, and a port with MAC address and fixed address."""
    edge = Networks(cloud)
    await _sweep(edge)
    try:
        return [await _networks(edge)]
    except _Forbidden as refusal:
        return [rights.lacking("networks", rights.NETWORKS, [refusal.rule], refusal.found)]
    finally:
        await _sweep(edge)


async def security_groups(cloud: Cloud) -> list[Finding]:
    """A security group with its rules; sites without the extension are told of elsewhere."""
    edge = Networks(cloud)
    if not await edge.has("security-group"):
        return []
    try:
        await _make(edge, "security-groups", {"name": PROBE}, "create_security_group")
    except _Forbidden as refusal:
        return [rights.lacking("security groups", rights.SECURITY_GROUPS, [refusal.rule], refusal.found)]
    finally:
        await _sweep(edge)
    return [works("security groups", "made and deleted")]


class _Forbidden(Exception):
    """Neutron's policy refuses; ``rule`` is the one to grant, as far as its answer tells."""

    def __init__(self, rule: str, found: str) -> None:
        super().__init__(found)
        self.rule = rule
        self.found = found


async def _networks(edge: Networks) -> Finding:
    network = await _make(edge, "networks", {"name": PROBE}, "create_network")
    subnet = {"name": PROBE, "network_id": network.id, "cidr": CIDR, "ip_version": 4, "enable_dhcp": False}
    subnet_id = (await _make(edge, "subnets", subnet, "create_subnet")).id
    port: dict[str, Any] = {"name": PROBE, "network_id": network.id, "mac_address": MAC}
    port["fixed_ips"] = [{"subnet_id": subnet_id, "ip_address": ADDRESS}]
    if await edge.has("port-security"):
        port["port_security_enabled"] = True
    found = await _make(edge, "ports", port, "create_port, create_port:mac_address, create_port:fixed_ips:ip_address")
    address = found.fields["fixed_ips"][0]["ip_address"]
    if (found.fields["mac_address"], address) != (MAC, ADDRESS):
        raise Refused(FaultCode.NETWORK, f"asked for {MAC} {ADDRESS}, got {found.fields['mac_address']} {address}")
    await edge.add_tag("networks", network.id, PROBE)
    if not await edge.find("networks", tags=PROBE):
        raise Refused(FaultCode.NETWORK, "a network is not found by its tag: is the extension standard-attr-tag there?")
    return works("networks", "made with subnet, and port with MAC address and fixed address; found by tag")


async def _make(edge: Networks, kind: str, fields: Mapping[str, Any], rule: str) -> Resource:
    answer = await edge.create(kind, PROBE, fields)
    if answer.status == FORBIDDEN:
        raise _Forbidden(rule, answer.message)
    return made(answer, kind)


async def _sweep(edge: Networks) -> None:
    """Delete what checks made, this one or a killed one; ports first, for they hold the rest."""
    for kind in ("ports", "subnets", "networks", "security-groups"):
        if kind == "security-groups" and not await edge.has("security-group"):
            continue
        for found in await edge.find(kind, description=PROBE):
            await edge.delete(kind, found.id)
