"""Operations that change what a server is: rebuild, rescue, password, resize with its two ends."""

from collections.abc import Iterator

import pytest

from deploy.demo.stack import Stack
from tests.e2e.clouds import CHANGE, Tenant, User, act, eventually, held
from tests.e2e.conftest import tagged

FLAVOR = "2"  # m1.small: 512 MiB, 5 GiB


@pytest.fixture(scope="module")
def server(tenant: Tenant) -> Iterator[str]:
    """A server in paris."""
    uuid = tenant.boot("e2e-changes", "az-paris")
    tenant.wait_status(uuid, "ACTIVE")
    yield uuid
    tenant.delete(uuid)


def test_rebuild(tenant: Tenant, sites: dict[str, User], server: str) -> None:
    body = {"imageRef": tenant.image, "name": "e2e-rebuilt", "metadata": {"built": "twice"}, "adminPass": "correct"}
    act(tenant, server, {"rebuild": body}, "ACTIVE")
    (below,) = tagged(sites["paris"], server)
    assert (below["name"], below["metadata"]) == ("e2e-rebuilt", {"built": "twice"})


def test_rebuild_of_a_stopped_server_leaves_it_stopped(tenant: Tenant, server: str) -> None:
    act(tenant, server, {"os-stop": None}, "SHUTOFF")
    act(tenant, server, {"rebuild": {"imageRef": tenant.image}}, "SHUTOFF")
    act(tenant, server, {"os-start": None}, "ACTIVE")


def test_rescue(tenant: Tenant, sites: dict[str, User], server: str) -> None:
    act(tenant, server, {"rescue": {"rescue_image_ref": tenant.image}}, "RESCUE")
    assert tagged(sites["paris"], server)[0]["status"] == "RESCUE"
    act(tenant, server, {"unrescue": None}, "ACTIVE")


def test_password(tenant: Tenant, server: str) -> None:
    answer = tenant.action(server, {"changePassword": {"adminPass": "horse"}})
    assert answer.status_code == 202, answer.text
    tenant.wait_status(server, "ACTIVE", CHANGE)


@pytest.mark.parametrize(("end", "flavor"), [("revertResize", "m1.tiny"), ("confirmResize", "m1.small")])
def test_resize(tenant: Tenant, operator: User, sites: dict[str, User], server: str, end: str, flavor: str) -> None:
    act(tenant, server, {"resize": {"flavorRef": FLAVOR}}, "VERIFY_RESIZE")
    assert tagged(sites["paris"], server)[0]["status"] == "VERIFY_RESIZE"
    assert held(operator, server)["MEMORY_MB"] == 512
    shown = act(tenant, server, {end: None}, "ACTIVE")
    assert shown["flavor"]["original_name"] == flavor
    (below,) = tagged(sites["paris"], server)
    assert below["status"] == "ACTIVE" and below["flavor"]["ram"] == shown["flavor"]["ram"]
    assert held(operator, server)["MEMORY_MB"] == shown["flavor"]["ram"]
    migrations = operator.get("compute", "/os-migrations", instance_uuid=server)["migrations"]
    assert not [m["uuid"] for m in migrations if held(operator, m["uuid"])]


def test_a_resized_server_is_deleted_whole(tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    uuid = tenant.boot("e2e-resized", "az-oslo")
    tenant.wait_status(uuid, "ACTIVE")
    act(tenant, uuid, {"resize": {"flavorRef": FLAVOR}}, "VERIFY_RESIZE")
    (migration,) = operator.get("compute", "/os-migrations", instance_uuid=uuid)["migrations"]
    tenant.delete(uuid)
    eventually(lambda: not tagged(sites["oslo"], uuid), 30, "a server remains in the site")
    assert not held(operator, uuid) and not held(operator, migration["uuid"])


def test_a_server_of_no_zone_is_resized_in_its_own_site(
    stack: Stack, tenant: Tenant, operator: User, sites: dict[str, User]
) -> None:
    """The scheduler weighs by free memory: it chooses the other site for the resize."""
    uuid = tenant.boot("e2e-anywhere", None)
    tenant.wait_status(uuid, "ACTIVE")
    home = host_of(operator, uuid)
    (other,) = set(sites) - {home}
    stack.cascade("site", "set", home, "--cap", "memory_mb=4096")
    try:
        eventually(lambda: free_memory(operator, home) <= 4096, 60, "the cap is not shown")
        act(tenant, uuid, {"resize": {"flavorRef": FLAVOR}}, "VERIFY_RESIZE")
        assert tagged(sites[home], uuid)[0]["status"] == "VERIFY_RESIZE"
        assert host_of(operator, uuid) == home and other in hosts_of_events(operator, uuid, "resize")
        act(tenant, uuid, {"confirmResize": None}, "ACTIVE")
        assert held(operator, uuid)["MEMORY_MB"] == 512
    finally:
        stack.cascade("site", "set", home, "--cap", "none")
    tenant.delete(uuid)
    tenant.wait_gone(uuid)
    assert not held(operator, uuid)


def free_memory(operator: User, host: str) -> int:
    """Return what the scheduler weighs a host by, MiB."""
    shown = operator.connection.compute.get("/os-hypervisors/detail", microversion="2.87").json()["hypervisors"]
    return next(int(entry["free_ram_mb"]) for entry in shown if entry["service"]["host"] == host)


def host_of(operator: User, uuid: str) -> str:
    """Return the host of an instance above."""
    return str(operator.get("compute", f"/servers/{uuid}")["server"]["OS-EXT-SRV-ATTR:host"])


def hosts_of_events(operator: User, uuid: str, action: str) -> set[str]:
    """Return the hosts that took part in an action above; an action that failed is an error here."""
    (found,) = [
        entry
        for entry in operator.get("compute", f"/servers/{uuid}/os-instance-actions")["instanceActions"]
        if entry["action"] == action
    ]
    assert found["message"] is None, found
    shown = operator.get("compute", f"/servers/{uuid}/os-instance-actions/{found['request_id']}")["instanceAction"]
    return {event["host"] for event in shown["events"]}


def cards(user: User, server_id: str) -> set[tuple[str, str]]:
    """Return MAC and address of each card of a server."""
    return {(port["mac_address"], port["fixed_ips"][0]["ip_address"]) for port in user.ports(device_id=server_id)}


def test_a_card_is_attached_and_detached(tenant: Tenant, sites: dict[str, User], server: str) -> None:
    (below,) = tagged(sites["paris"], server)
    before = cards(tenant, server)
    body = {"interfaceAttachment": {"net_id": tenant.network2}}
    answer = tenant.connection.compute.post(f"/servers/{server}/os-interface", json=body)
    assert answer.status_code == 200, answer.text
    attached = answer.json()["interfaceAttachment"]
    assert cards(tenant, server) == cards(sites["paris"], below["id"]) != before
    shown = {entry["addr"] for entries in tenant.server(server)["addresses"].values() for entry in entries}
    assert attached["fixed_ips"][0]["ip_address"] in shown and len(shown) == 2
    answer = tenant.connection.compute.delete(f"/servers/{server}/os-interface/{attached['port_id']}")
    assert answer.status_code == 202, answer.text
    eventually(lambda: cards(tenant, server) == before, CHANGE, "the card stays above")
    assert cards(sites["paris"], below["id"]) == before
    eventually(lambda: "demo-net2" not in tenant.server(server)["addresses"], CHANGE, "its address is still shown")
    assert not sites["paris"].get("network", "/networks", tags=f"cascade:{tenant.network2}")["networks"]


def test_a_port_in_use_is_not_attached(tenant: Tenant, server: str) -> None:
    other = tenant.ports(device_id=server)[0]["id"]
    uuid = tenant.boot("e2e-taken", "az-paris")
    tenant.wait_status(uuid, "ACTIVE")
    answer = tenant.connection.compute.post(
        f"/servers/{uuid}/os-interface", json={"interfaceAttachment": {"port_id": other}}
    )
    assert answer.status_code == 409, answer.text
    assert tenant.ports(device_id=server)[0]["id"] == other
    tenant.delete(uuid)
