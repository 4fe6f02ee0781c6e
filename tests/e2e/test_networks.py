"""Networks, subnets, ports and security groups: equal above and below, kept equal, and gone when nothing needs them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.stack import Stack
from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged
from tests.e2e.networks import Net, below, drop_net, make_net, neutron

SYNC = 5.0  # s that a change above may take to be in the site
SITE = "paris"


@pytest.fixture(scope="module")
def net(tenant: Tenant) -> Iterator[Net]:
    made = make_net(tenant, "e2e-nets")
    yield made
    drop_net(tenant, made)


@pytest.fixture(scope="module")
def server(tenant: Tenant, net: Net) -> Iterator[str]:
    """A server in the network's group ``web``."""
    uuid = tenant.boot(
        "e2e-nets",
        f"az-{SITE}",
        networks=[{"uuid": net.network["id"]}],
        security_groups=[{"name": net.web["name"]}],
    )
    tenant.wait_status(uuid, "ACTIVE")
    yield uuid
    tenant.delete(uuid)


def rules(group: dict[str, Any], names: dict[str, str]) -> set[tuple[Any, ...]]:
    """Return a group's rules, the groups they name by ``names``."""
    fields = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")
    return {
        (*(rule[field] for field in fields), names.get(rule["remote_group_id"], rule["remote_group_id"]))
        for rule in group["security_group_rules"]
    }


def group(user: User, group_id: str) -> dict[str, Any]:
    """Return a group above."""
    return dict(user.get("network", f"/security-groups/{group_id}")["security_group"])


def cards(user: User, device: str) -> dict[str, dict[str, Any]]:
    """Return the ports of a server by MAC address."""
    return {port["mac_address"]: port for port in user.ports(device_id=device)}


def test_fields_are_equal(tenant: Tenant, sites: dict[str, User], net: Net, server: str) -> None:
    site = sites[SITE]
    (here,) = tagged(site, server)
    above, there = cards(tenant, server), cards(site, here["id"])
    assert above.keys() == there.keys() and len(above) == 1
    (mac,) = above
    addresses = {ip["ip_address"] for ip in above[mac]["fixed_ips"]}
    assert addresses == {ip["ip_address"] for ip in there[mac]["fixed_ips"]} and len(addresses) == 3
    assert above[mac]["status"] == there[mac]["status"] == "ACTIVE"
    hostname = tenant.server(server)["OS-EXT-SRV-ATTR:hostname"]
    assert above[mac]["dns_name"] == there[mac]["dns_name"] == hostname
    names = {below(site, "security-groups", g["id"])["id"]: g["id"] for g in (net.web, net.peer)}
    assert [names[group_id] for group_id in there[mac]["security_groups"]] == above[mac]["security_groups"]
    for one in (net.web, net.peer):
        copy = below(site, "security-groups", one["id"])
        assert rules(copy, names) == rules(group(tenant, one["id"]), {}), one["name"]
        assert copy["name"] == one["name"] and copy["stateful"] == one["stateful"]
    copy = below(site, "networks", net.network["id"])
    for field in ("name", "mtu", "port_security_enabled", "admin_state_up"):
        assert copy[field] == net.network[field], field
    for subnet_id, subnet in net.subnets.items():
        check_subnet(subnet, below(site, "subnets", subnet_id))
    shown = tenant.server(server)
    assert [g["name"] for g in shown["security_groups"]] == [net.web["name"]]
    assert {a["addr"] for a in shown["addresses"][net.network["name"]]} == addresses


def check_subnet(above: dict[str, Any], copy: dict[str, Any]) -> None:
    """Every field that guests can feel is equal; the pool is only what is kept above for the site."""
    for field in (
        "name", "cidr", "ip_version", "gateway_ip", "enable_dhcp", "dns_nameservers", "host_routes",
        "ipv6_address_mode", "ipv6_ra_mode",
    ):  # fmt: skip
        assert copy[field] == above[field], field
    if above["ipv6_address_mode"] != "slaac":
        assert copy["allocation_pools"] != above["allocation_pools"]


def seconds_until(what: str, condition: Any) -> float:
    """Wait for a change to be in the site, print and return how long it took."""
    began = time.monotonic()
    eventually(condition, 30, f"{what} is not in the site")
    took = time.monotonic() - began
    print(f"\n{what}: in the site after {took:.1f} s")
    return took


def test_a_rule_added_and_deleted_above(tenant: Tenant, sites: dict[str, User], net: Net, server: str) -> None:
    site = sites[SITE]

    def equal() -> bool:
        names = {below(site, "security-groups", g["id"])["id"]: g["id"] for g in (net.web, net.peer)}
        return rules(below(site, "security-groups", net.web["id"]), names) == rules(group(tenant, net.web["id"]), {})

    body = {"security_group_id": net.web["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": 443}
    made = neutron(tenant, "post", "/security-group-rules", {"security_group_rule": {**body, "port_range_max": 443}})
    assert seconds_until("a rule added above", equal) < SYNC
    neutron(tenant, "delete", f"/security-group-rules/{made['id']}")
    assert seconds_until("a rule deleted above", equal) < SYNC


def test_a_port_and_a_subnet_changed_above(tenant: Tenant, sites: dict[str, User], net: Net, server: str) -> None:
    site = sites[SITE]
    (here,) = tagged(site, server)
    ((mac, port),) = cards(tenant, server).items()
    pairs = [{"ip_address": "10.77.0.200", "mac_address": mac}]
    neutron(
        tenant, "put", f"/ports/{port['id']}",
        {"port": {"allowed_address_pairs": pairs, "security_groups": [net.web["id"], net.peer["id"]]}},
    )  # fmt: skip

    def port_equal() -> bool:
        now = cards(site, here["id"])[mac]
        return now["allowed_address_pairs"] == pairs and len(now["security_groups"]) == 2

    assert seconds_until("a port changed above", port_equal) < SYNC
    subnet_id = next(subnet_id for subnet_id, subnet in net.subnets.items() if subnet["ip_version"] == 4)
    changes = {"dns_nameservers": ["8.8.8.8"], "gateway_ip": None, "name": "renamed", "host_routes": []}
    neutron(tenant, "put", f"/subnets/{subnet_id}", {"subnet": changes})

    def subnet_equal() -> bool:
        now = below(site, "subnets", subnet_id)
        return {key: now[key] for key in changes} == changes

    assert seconds_until("a subnet changed above", subnet_equal) < SYNC
    neutron(tenant, "put", f"/ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": "10.77.0.88"}]}})

    def address_equal() -> bool:
        now = {ip["ip_address"] for ip in cards(site, here["id"])[mac]["fixed_ips"]}
        return "10.77.0.88" in now and now == {ip["ip_address"] for ip in cards(tenant, server)[mac]["fixed_ips"]}

    assert seconds_until("a new address above", address_equal) < SYNC
    bare = {"port_security_enabled": False, "security_groups": [], "allowed_address_pairs": []}
    neutron(tenant, "put", f"/ports/{port['id']}", {"port": bare})
    assert seconds_until(
        "port security off", lambda: not cards(site, here["id"])[mac]["port_security_enabled"]
    ) < SYNC  # fmt: skip


def test_groups_and_networks_leave_with_their_last_server(
    stack: Stack, tenant: Tenant, operator: User, sites: dict[str, User]
) -> None:
    net = make_net(tenant, "e2e-leaving")
    uuid = tenant.boot(
        "e2e-leaving", "az-oslo", networks=[{"uuid": net.network["id"]}], security_groups=[{"name": "e2e-leaving-web"}]
    )
    tenant.wait_status(uuid, "ACTIVE")
    assert below(sites["oslo"], "security-groups", net.peer["id"])
    tenant.delete(uuid)
    for kind, identity in (("security-groups", net.web["id"]), ("security-groups", net.peer["id"])):
        found = sites["oslo"].get("network", f"/{kind}", description=f"cascade:{identity}")
        assert not found["security_groups"], identity
    assert not sites["oslo"].get("network", "/networks", description=f"cascade:{net.network['id']}")["networks"]
    eventually(
        lambda: not operator.ports(network_id=net.network["id"]), CHANGE, "addresses are still kept for the site"
    )
    drop_net(tenant, net)
