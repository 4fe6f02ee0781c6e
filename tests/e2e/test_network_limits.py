"""Networks where something is scarce, foreign, mapped or in two sites: correct, or a clear fault and nothing left."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.stack import Stack
from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged
from tests.e2e.networks import below, drop_net, dropped, make_net, neutron

SITE = "paris"


@pytest.fixture(scope="module")
def other_tenant(stack: Stack, operator: User) -> Iterator[Tenant]:
    """A tenant of another project."""
    identity = operator.connection.identity
    for left in identity.get("/projects", params={"name": "e2e-other"}).json()["projects"]:
        identity.delete(f"/projects/{left['id']}")
    body = {"project": {"name": "e2e-other", "domain_id": "default"}}
    project = identity.post("/projects", json=body).json()["project"]
    roles = {role["name"]: role["id"] for role in identity.get("/roles").json()["roles"]}
    user = operator.connection.current_user_id
    for role in ("member", "admin"):
        identity.put(f"/projects/{project['id']}/users/{user}/roles/{roles[role]}")
    other = Tenant(stack)
    other.connection = operator.connection.connect_as(project_id=project["id"])
    other.connection.compute.default_microversion = "2.96"
    yield other
    for found in other.get("network", "/security-groups", project_id=project["id"])["security_groups"]:
        other.connection.network.delete(f"/security-groups/{found['id']}")
    identity.delete(f"/projects/{project['id']}")


def test_two_tenants_with_equal_names_and_addresses(
    tenant: Tenant, other_tenant: Tenant, sites: dict[str, User]
) -> None:
    site, nets, uuids = sites[SITE], [], []
    for user in (tenant, other_tenant):
        net = make_net(user, "e2e-equal")
        nets.append(net)
        card = {"uuid": net.network["id"], "fixed_ip": "10.77.0.50"}
        groups = [{"name": "e2e-equal-web"}]
        uuids.append(user.boot("e2e-equal", f"az-{SITE}", networks=[card], security_groups=groups))
    for user, uuid in zip((tenant, other_tenant), uuids, strict=True):
        user.wait_status(uuid, "ACTIVE")
    copies = [below(site, "security-groups", net.web["id"])["id"] for net in nets]
    ports = []
    for net, uuid, copy in zip(nets, uuids, copies, strict=True):
        (port,) = site.ports(description=f"cascade:{uuid}")
        assert "10.77.0.50" in {ip["ip_address"] for ip in port["fixed_ips"]}
        assert port["security_groups"] == [copy]
        assert port["network_id"] == below(site, "networks", net.network["id"])["id"]
        ports.append(port)
    assert len({port["network_id"] for port in ports}) == 2 and len(set(copies)) == 2
    for user, uuid, net in zip((tenant, other_tenant), uuids, nets, strict=True):
        user.delete(uuid)
        drop_net(user, net)


def test_a_small_network_filled_to_the_last_address(tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    network = neutron(tenant, "post", "/networks", {"network": {"name": "e2e-small"}})
    subnet = {"network_id": network["id"], "cidr": "10.78.0.0/28", "ip_version": 4}
    neutron(tenant, "post", "/subnets", {"subnet": subnet})
    fitting = 14 - 1 - 3  # addresses but for the gateway's and those kept for the site
    cards = [{"uuid": network["id"]}]
    uuids = [tenant.boot(f"e2e-small-{n}", f"az-{SITE}", networks=cards) for n in range(fitting + 1)]
    eventually(lambda: not [u for u in uuids if tenant.server(u)["status"] == "BUILD"], 150, "boots do not end")
    by_status: dict[str, list[str]] = {}
    for uuid in uuids:
        by_status.setdefault(tenant.server(uuid)["status"], []).append(uuid)
    assert {status: len(found) for status, found in by_status.items()} == {"ACTIVE": fitting, "ERROR": 1}
    fault = tenant.server(by_status["ERROR"][0])["fault"]["message"]
    assert "No more IP addresses available" in fault
    here = below(sites[SITE], "networks", network["id"])
    admin = User(Stack.default(), SITE)
    ports = admin.ports(network_id=here["id"])
    addresses = [ip["ip_address"] for port in ports for ip in port["fixed_ips"]]
    assert len(addresses) == len(set(addresses))
    owned = {port["device_owner"].partition(":")[0] for port in ports}
    assert owned == {"compute", "network"}, "the site took no address itself"
    above = {ip["ip_address"] for port in operator.ports(network_id=network["id"]) for ip in port["fixed_ips"]}
    assert set(addresses) <= above and len(above) == 13
    tenant.delete(*uuids)
    eventually(lambda: not operator.ports(network_id=network["id"]), CHANGE, "addresses are still kept")
    assert dropped(tenant, f"/networks/{network['id']}")


def test_what_cannot_be_is_refused_and_leaves_nothing(
    tenant: Tenant, other_tenant: Tenant, operator: User, sites: dict[str, User]
) -> None:
    net = make_net(tenant, "e2e-wrong")
    foreign = neutron(other_tenant, "post", "/security-groups", {"security_group": {"name": "e2e-foreign"}})
    body = {"name": "e2e-wrong", "flavorRef": tenant.flavor, "imageRef": tenant.image, "availability_zone": "az-paris"}
    cards = [{"uuid": net.network["id"]}]
    for name in ("no-such-group", foreign["id"]):
        wrong = {**body, "networks": cards, "security_groups": [{"name": name}]}
        answer = tenant.connection.compute.post("/servers", json={"server": wrong})
        assert answer.status_code == 400 and "security_group" in answer.text, answer.text
    for card in ({"uuid": net.network["id"], "fixed_ip": "192.0.2.9"},):
        wrong = {**body, "networks": [*cards, card]}
        answer = tenant.connection.compute.post("/servers", json={"server": wrong})
        assert answer.status_code in (202, 400), answer.text
        if answer.status_code == 202:
            uuid = answer.json()["server"]["id"]
            failed = tenant.wait_status(uuid, "ERROR")
            assert "192.0.2.9" in failed["fault"]["message"], failed["fault"]
            assert not tagged(sites[SITE], uuid) and not sites[SITE].ports(description=f"cascade:{uuid}")
            eventually(lambda: not operator.ports(network_id=net.network["id"]), CHANGE, "ports remain above")
            tenant.delete(uuid)
    drop_net(tenant, net)


def test_a_mapped_network(stack: Stack, tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    provider = User(stack, SITE)
    there = neutron(provider, "post", "/networks", {"network": {"name": "e2e-provider", "shared": True}})
    fields = {"cidr": "10.79.0.0/24", "ip_version": 4, "enable_dhcp": False}
    neutron(provider, "post", "/subnets", {"subnet": {"network_id": there["id"], **fields}})
    above = neutron(tenant, "post", "/networks", {"network": {"name": "e2e-mapped"}})
    neutron(tenant, "post", "/subnets", {"subnet": {"network_id": above["id"], **fields}})
    stack.cascade("site", "set", SITE, "--network", f"{above['id']}=e2e-provider")
    try:
        uuid = tenant.boot("e2e-mapped", f"az-{SITE}", networks=[{"uuid": above["id"]}])
        tenant.wait_status(uuid, "ACTIVE")
        (port,) = sites[SITE].ports(description=f"cascade:{uuid}")
        (mine,) = operator.ports(network_id=above["id"])  # no address is kept for the site
        assert port["network_id"] == there["id"]
        assert [ip["ip_address"] for ip in port["fixed_ips"]] == [ip["ip_address"] for ip in mine["fixed_ips"]]
        (row,) = [row for row in listed(stack) if row["network"] == above["id"]]
        assert (row["sites"], row["mapped"], row["segments"]) == ([SITE], {SITE: "e2e-provider"}, 1)
        tenant.delete(uuid)
        assert not sites[SITE].ports(description=f"cascade:{uuid}")
        assert provider.get("network", f"/networks/{there['id']}")
        stack.cascade("site", "set", SITE, "--network", f"{above['id']}=no-such-network")
        uuid = tenant.boot("e2e-mapped", f"az-{SITE}", networks=[{"uuid": above["id"]}])
        assert "no-such-network" in tenant.wait_status(uuid, "ERROR")["fault"]["message"]
        tenant.delete(uuid)
    finally:
        stack.cascade("site", "set", SITE, "--network", f"{above['id']}=")
        assert dropped(provider, f"/networks/{there['id']}") and dropped(tenant, f"/networks/{above['id']}")


def listed(stack: Stack) -> list[dict[str, Any]]:
    """Return `cascade network list`."""
    return list(json.loads(stack.cascade("network", "list", "-f", "json")))


def test_a_network_in_two_sites_is_shown_or_refused(stack: Stack, tenant: Tenant, operator: User) -> None:
    network = neutron(tenant, "post", "/networks", {"network": {"name": "e2e-two"}})
    neutron(
        tenant, "post", "/subnets", {"subnet": {"network_id": network["id"], "cidr": "10.80.0.0/24", "ip_version": 4}}
    )
    cards = [{"uuid": network["id"]}]
    uuids = [tenant.boot(f"e2e-two-{site}", f"az-{site}", networks=cards) for site in ("paris", "oslo")]
    for uuid in uuids:
        tenant.wait_status(uuid, "ACTIVE")
    (row,) = [row for row in listed(stack) if row["network"] == network["id"]]
    assert (row["sites"], row["ports"], row["segments"]) == (["oslo", "paris"], 2, 2)
    tenant.delete(uuids[1])
    stack.stop("bridge")
    stack.start("bridge", {"OS_CASCADING__NETWORKS_IN_SEVERAL_SITES": "refuse"})
    try:
        refused = tenant.boot("e2e-two-refused", "az-oslo", networks=cards)
        assert "in use in paris" in tenant.wait_status(refused, "ERROR")["fault"]["message"]
        assert {p["device_id"] for p in operator.ports(network_id=network["id"])} == {uuids[0], "cascade-paris"}
        again = tenant.boot("e2e-two-again", "az-paris", networks=cards)
        tenant.wait_status(again, "ACTIVE")
    finally:
        stack.stop("bridge")
        stack.start("bridge")
    tenant.delete(uuids[0], refused, again)
    assert dropped(tenant, f"/networks/{network['id']}")
