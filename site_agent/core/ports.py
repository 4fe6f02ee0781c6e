"""What a port, network or subnet of the site shall be, and what of it differs. Values in, answers out."""

from collections.abc import Mapping
from typing import Any

from proto.errors import FaultCode, Refused
from proto.specs import NetworkSpec, PortSpec, SubnetSpec
from site_agent.core.matching import pools, same_pools

_AUTOMATIC = ("slaac", "dhcpv6-stateless")


def automatic(subnet: SubnetSpec) -> bool:
    """Whether addresses follow from MAC addresses: Neutron gives them itself, and refuses to be told them."""
    return subnet.ipv6_address_mode in _AUTOMATIC or subnet.ipv6_ra_mode in _AUTOMATIC


def port_body(
    spec: PortSpec,
    network: NetworkSpec,
    subnets: Mapping[str, str],
    groups: Mapping[str, str],
    extensions: frozenset[str],
) -> dict[str, Any]:
    """Return what a port of the site shall be, but for its network, name and MAC address.

    ``subnets`` and ``groups`` map ids above to ids in the site. Refused if the site cannot hold what the tenant asked
    for: less would open the port, or cut it off.
    """
    body: dict[str, Any] = {"fixed_ips": _addresses(spec, network, subnets)}
    body |= _security(spec, network, groups, extensions)
    if spec.allowed_address_pairs:
        _need("allowed-address-pairs", "allowed address pairs", spec, extensions)
    if "allowed-address-pairs" in extensions:
        body["allowed_address_pairs"] = [dict(pair) for pair in spec.allowed_address_pairs]
    if spec.extra_dhcp_opts:
        _need("extra_dhcp_opt", "extra DHCP options", spec, extensions)
        body["extra_dhcp_opts"] = [dict(option) for option in spec.extra_dhcp_opts]
    if spec.dns_name and "dns-integration" in extensions:
        body["dns_name"] = spec.dns_name
    if spec.vnic_type != "normal":
        body["binding:vnic_type"] = spec.vnic_type
    return body


def port_changes(body: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of ``port_body`` in which a port of the site differs."""
    return {key: value for key, value in body.items() if not _same(key, value, found.get(key))}


def subnet_body(spec: SubnetSpec) -> dict[str, Any]:
    """Return what a subnet of the site shall be, but for what never changes."""
    body: dict[str, Any] = {
        "name": spec.name,
        "gateway_ip": spec.gateway_ip,
        "enable_dhcp": spec.enable_dhcp,
        "dns_nameservers": spec.dns_nameservers,
        "host_routes": spec.host_routes,
    }
    return body if automatic(spec) else {**body, "allocation_pools": pools(spec)}


def subnet_changes(spec: SubnetSpec, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of ``subnet_body`` in which a subnet of the site differs."""
    return {key: value for key, value in subnet_body(spec).items() if not _same(key, value, found.get(key))}


def network_body(spec: NetworkSpec, extensions: frozenset[str]) -> dict[str, Any]:
    """Return what a network of the site shall be; where it knows no MTU or port security, its own default holds."""
    body: dict[str, Any] = {"name": spec.name}
    if spec.mtu and "net-mtu-writable" in extensions:
        body["mtu"] = spec.mtu
    if "port-security" in extensions:
        body["port_security_enabled"] = spec.port_security_enabled
    if spec.dns_domain and "dns-integration" in extensions:
        body["dns_domain"] = spec.dns_domain
    return body


def _addresses(spec: PortSpec, network: NetworkSpec, subnets: Mapping[str, str]) -> list[dict[str, str]]:
    described = {subnet.subnet_id: subnet for subnet in network.subnets}
    addresses = []
    for ip in spec.fixed_ips:
        if ip.subnet_id not in subnets:
            reason = f"{ip.ip_address} is of a subnet its network does not have, {ip.subnet_id}"
            raise Refused(FaultCode.NETWORK, reason)
        address = {"subnet_id": subnets[ip.subnet_id]}
        addresses.append(address if automatic(described[ip.subnet_id]) else {**address, "ip_address": ip.ip_address})
    return addresses


def _security(
    spec: PortSpec, network: NetworkSpec, groups: Mapping[str, str], extensions: frozenset[str]
) -> dict[str, Any]:
    if not spec.port_security_enabled:
        _need("port-security", "a port without port security", spec, extensions)
        return {"port_security_enabled": False, "security_groups": []}
    body: dict[str, Any] = {}
    if "port-security" in extensions and not network.site_network:  # there its owner alone may say so
        body["port_security_enabled"] = True
    if spec.security_groups:
        _need("security-group", "security groups", spec, extensions)
    if spec.security_groups is not None and "security-group" in extensions:
        if lacking := sorted(set(spec.security_groups) - groups.keys()):
            raise Refused(FaultCode.NETWORK, f"port {spec.port_id} has security group {lacking[0]}, nowhere described")
        body["security_groups"] = [groups[group] for group in spec.security_groups]
    return body


def _need(extension: str, what: str, spec: PortSpec, extensions: frozenset[str]) -> None:
    if extension not in extensions:
        reason = f"port {spec.port_id} asks for {what}, which the site's Neutron does not know ({extension})"
        raise Refused(FaultCode.NETWORK, reason)


def _same(key: str, wanted: Any, found: Any) -> bool:
    if key == "allocation_pools":
        return same_pools(wanted, found or [])
    if key == "fixed_ips":
        return _same_addresses(wanted, found or [])
    if isinstance(wanted, list) and key != "dns_nameservers":
        return _unordered(wanted) == _unordered(found or [])
    return bool(wanted == found)


def _same_addresses(wanted: list[dict[str, str]], found: list[dict[str, str]]) -> bool:
    """Whether a port has the addresses; of an automatic subnet any address will do, named or not."""
    fixed = {(ip["subnet_id"], ip["ip_address"]) for ip in wanted if "ip_address" in ip}
    any_of = {ip["subnet_id"] for ip in wanted if "ip_address" not in ip}
    other = {(ip["subnet_id"], ip["ip_address"]) for ip in found if ip["subnet_id"] not in any_of}
    return fixed == other and any_of <= {ip["subnet_id"] for ip in found}


def _unordered(values: list[Any]) -> list[str]:
    return sorted(repr(sorted(value.items())) if isinstance(value, dict) else str(value) for value in values)
