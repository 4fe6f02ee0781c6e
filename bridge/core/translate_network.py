"""Neutron's networks, subnets, ports and security groups above in the contract's words. Pure.

The inputs are Neutron's REST bodies.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from proto.specs import FixedIp, NetworkSpec, PortSpec, SecurityGroupRuleSpec, SecurityGroupSpec, SubnetSpec

Plain = Mapping[str, Any]

RESERVED_OWNER = "network:dhcp"  # device_owner of reservations: Neutron deletes them together with their network
_AUTOMATIC = ("slaac", "dhcpv6-stateless")
_NOT_CARRIED = {
    "trunk_details": "is the parent of a trunk",
    "qos_policy_id": "has a QoS policy",
    "qos_network_policy_id": "has its network's QoS policy",
    "device_profile": "has a device profile",
}
_ADDRESS_GROUP = "remote_address_group_id"
_COMPUTE = "compute:"  # how device_owner of an instance's port begins


def subnet_spec(subnet: Plain, site_addresses: Iterable[str]) -> SubnetSpec:
    """Return the contract's subnet from Neutron's, with the addresses kept for the site."""
    return SubnetSpec(
        subnet_id=subnet["id"],
        name=subnet.get("name") or "",
        cidr=subnet["cidr"],
        ip_version=int(subnet["ip_version"]),
        gateway_ip=subnet.get("gateway_ip"),
        enable_dhcp=bool(subnet.get("enable_dhcp")),
        dns_nameservers=list(subnet.get("dns_nameservers") or []),
        host_routes=[dict(route) for route in subnet.get("host_routes") or []],
        site_addresses=sorted(site_addresses),
        ipv6_address_mode=subnet.get("ipv6_address_mode"),
        ipv6_ra_mode=subnet.get("ipv6_ra_mode"),
    )


def network_spec(
    network: Plain, subnets: Iterable[Plain], reservations: Iterable[Plain], site_network: str | None = None
) -> NetworkSpec:
    """Return the contract's network.

    ``reservations`` are the ports that hold addresses for the site; ``site_network`` is what the operator's map puts
    in its place there.
    """
    held = [fixed for port in reservations for fixed in port["fixed_ips"]]
    return NetworkSpec(
        network_id=network["id"],
        name=network.get("name") or "",
        project_id=network.get("project_id") or network.get("tenant_id") or "",
        mtu=network.get("mtu"),
        port_security_enabled=bool(network.get("port_security_enabled", True)),
        subnets=[
            subnet_spec(subnet, [fixed["ip_address"] for fixed in held if fixed["subnet_id"] == subnet["id"]])
            for subnet in sorted(subnets, key=lambda subnet: str(subnet["id"]))
        ],
        site_network=site_network,
        dns_domain=network.get("dns_domain") or None,
    )


def port_spec(port: Plain, tag: str | None) -> PortSpec:
    """Return the contract's port from Neutron's."""
    return PortSpec(
        port_id=port["id"],
        network_id=port["network_id"],
        mac_address=port["mac_address"],
        fixed_ips=[FixedIp(fixed["ip_address"], fixed["subnet_id"]) for fixed in port["fixed_ips"]],
        tag=tag,
        security_groups=sorted(port.get("security_groups") or []),
        allowed_address_pairs=[dict(pair) for pair in port.get("allowed_address_pairs") or []],
        port_security_enabled=bool(port.get("port_security_enabled", True)),
        dns_name=port.get("dns_name") or None,
        vnic_type=port.get("binding:vnic_type") or "normal",
        extra_dhcp_opts=[dict(option) for option in port.get("extra_dhcp_opts") or []],
        instance=port.get("device_id") or "",
    )


def group_spec(group: Plain) -> SecurityGroupSpec:
    """Return the contract's security group; rules that name an address group are left out: see ``unspeakable``."""
    return SecurityGroupSpec(
        group_id=group["id"],
        name=group.get("name") or "",
        project_id=group.get("project_id") or group.get("tenant_id") or "",
        revision=int(group.get("revision_number") or 0),
        rules=sorted(
            (_rule(rule) for rule in group.get("security_group_rules") or [] if not rule.get(_ADDRESS_GROUP)), key=repr
        ),
        stateful=bool(group.get("stateful", True)),
    )


def unspeakable(group: Plain) -> str:
    """Return why the contract cannot hold a security group as it is, empty if it can."""
    if any(rule.get(_ADDRESS_GROUP) for rule in group.get("security_group_rules") or []):
        return f"security group {group.get('name')} has a rule with an address group, which sites do not get"
    return ""


def unspeakable_port(port: Plain) -> str:
    """Return why a site cannot get a port as it is, empty if it can."""
    for field, what in _NOT_CARRIED.items():
        if port.get(field):
            return f"port {port['id']} {what}, which does not reach a site"
    return ""


def remote_groups(groups: Iterable[Plain]) -> set[str]:
    """Return the ids of the groups that rules of these groups name."""
    rules = [rule for group in groups for rule in group.get("security_group_rules") or []]
    return {str(rule["remote_group_id"]) for rule in rules if rule.get("remote_group_id")}


def automatic(subnet: Plain) -> bool:
    """Whether addresses follow from MAC addresses: then nothing need be kept for a site's own ports."""
    return subnet.get("ipv6_address_mode") in _AUTOMATIC or subnet.get("ipv6_ra_mode") in _AUTOMATIC


def reservation(site: str) -> str:
    """Return the device_id of the ports that keep addresses above for a site."""
    return f"cascade-{site}"


def reserving_site(port: Plain) -> str | None:
    """Return the site a port keeps addresses for, None if it is another port."""
    device = str(port.get("device_id") or "")
    ours = port.get("device_owner") == RESERVED_OWNER and device.startswith(reservation(""))
    return device.removeprefix(reservation("")) if ours else None


def of_instance(port: Plain) -> bool:
    """Whether a port is an instance's."""
    return str(port.get("device_owner") or "").startswith(_COMPUTE)


def elsewhere(ports: Iterable[Plain], site: str, hosts: Collection[str]) -> str | None:
    """Return another site or host that has ports of a network, None if all of ``ports`` are this site's or nobody's."""
    for port in ports:
        other = reserving_site(port) or (port.get("binding:host_id") if of_instance(port) else None)
        if other and other != site and other not in hosts:
            return str(other)
    return None


def _rule(rule: Plain) -> SecurityGroupRuleSpec:
    return SecurityGroupRuleSpec(
        direction=rule["direction"],
        ethertype=rule["ethertype"],
        protocol=rule.get("protocol"),
        port_range_min=rule.get("port_range_min"),
        port_range_max=rule.get("port_range_max"),
        remote_ip_prefix=rule.get("remote_ip_prefix"),
        remote_group_id=rule.get("remote_group_id"),
        description=rule.get("description") or "",
    )
