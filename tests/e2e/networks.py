"""Networks of tests: one with three subnets and two security groups, and how its copy in a site is found."""

from dataclasses import dataclass
from typing import Any

from tests.e2e.clouds import CHANGE, User, eventually


@dataclass
class Net:
    """A network above with an IPv4, a SLAAC and a DHCPv6 subnet, and two security groups that name each other."""

    network: dict[str, Any]
    subnets: dict[str, dict[str, Any]]  # by id
    web: dict[str, Any]
    peer: dict[str, Any]


def neutron(user: User, method: str, path: str, body: Any = None, *, ok: bool = True) -> Any:
    """Call Neutron and return the one thing of the answer."""
    answer = getattr(user.connection.network, method)(path, **({} if body is None else {"json": body}))
    if ok:
        assert answer.status_code < 300, answer.text
    return next(iter(answer.json().values())) if answer.content and answer.status_code < 300 else answer


def make_net(user: User, name: str) -> Net:
    """Make it all."""
    network = neutron(user, "post", "/networks", {"network": {"name": name, "mtu": 1400}})
    four = {
        "cidr": "10.77.0.0/24",
        "ip_version": 4,
        "gateway_ip": "10.77.0.254",
        "dns_nameservers": ["9.9.9.9", "1.1.1.1"],
        "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.77.0.9"}],
        "name": f"{name}-4",
    }
    slaac = {"cidr": "fd77:1::/64", "ip_version": 6, "ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
    stateful = {
        "cidr": "fd77:2::/64",
        "ip_version": 6,
        "ipv6_address_mode": "dhcpv6-stateful",
        "ipv6_ra_mode": "dhcpv6-stateful",
        "gateway_ip": None,
    }
    made = [
        neutron(user, "post", "/subnets", {"subnet": {"network_id": network["id"], **fields}})
        for fields in (four, slaac, stateful)
    ]
    web, peer = (
        neutron(user, "post", "/security-groups", {"security_group": {"name": f"{name}-{kind}"}})
        for kind in ("web", "peer")
    )
    for rule in (
        {"security_group_id": web["id"], "protocol": "tcp", "port_range_min": 22, "port_range_max": 80},
        {"security_group_id": web["id"], "protocol": "udp", "remote_group_id": peer["id"]},
        {"security_group_id": web["id"], "protocol": "tcp", "remote_ip_prefix": "fd77::/32", "ethertype": "IPv6"},
        {"security_group_id": peer["id"], "remote_group_id": web["id"]},
    ):
        neutron(user, "post", "/security-group-rules", {"security_group_rule": {"direction": "ingress", **rule}})
    egress = web["security_group_rules"][0]["id"]
    neutron(user, "delete", f"/security-group-rules/{egress}")  # the defaults too are what the tenant leaves of them
    return Net(network, {subnet["id"]: subnet for subnet in made}, web, peer)


def drop_net(user: User, net: Net) -> None:
    """Delete it all; the servers must be gone."""
    eventually(lambda: dropped(user, f"/networks/{net.network['id']}"), CHANGE, "the network above remains")
    for group in (net.web, net.peer):
        user.connection.network.delete(f"/security-groups/{group['id']}")


def dropped(user: User, path: str) -> bool:
    """Delete a thing; whether it is gone."""
    return bool(user.connection.network.delete(path).status_code in (204, 404))


def below(site: User, kind: str, identity: str) -> dict[str, Any]:
    """Return the site's copy of a network, subnet or group."""
    (found,) = site.get("network", f"/{kind}", description=f"cascade:{identity}")[kind.replace("-", "_")]
    return dict(found)
