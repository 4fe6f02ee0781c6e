"""A boot that a site refuses ends in ERROR with the site's own reason, or in another site of the same zone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.demo import steps
from deploy.demo.stack import Stack
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged


@contextmanager
def full(stack: Stack, site: str, agent: User) -> Iterator[None]:
    """Let the site's quota refuse every further server of the agent's project."""
    admin = User(stack, site).connection.compute
    path = f"/os-quota-sets/{agent.connection.current_project_id}"
    used = len(agent.servers())
    assert admin.put(path, json={"quota_set": {"instances": used, "force": True}}).status_code == 200
    try:
        yield
    finally:
        admin.put(path, json={"quota_set": {"instances": -1}})


@contextmanager
def no_compute(stack: Stack, site: str) -> Iterator[None]:
    """Let the site's scheduler find no host."""
    admin = User(stack, site)
    services = admin.get("compute", "/os-services", binary="nova-compute")["services"]
    for service in services:
        admin.connection.compute.put(f"/os-services/{service['id']}", json={"status": "disabled"})
    try:
        yield
    finally:
        for service in services:
            admin.connection.compute.put(f"/os-services/{service['id']}", json={"status": "enabled"})


def check_nothing_left(stack: Stack, operator: User, site: User, uuid: str) -> None:
    """Nothing of a failed boot is left in the site or above but its row."""
    eventually(lambda: not tagged(site, uuid), 60, "a server remains in the site")
    assert not site.ports(description=f"cascade:{uuid}")
    assert not operator.ports(device_id=uuid)
    assert not operator.connection.placement.get(f"/allocations/{uuid}").json()["allocations"]
    eventually(lambda: uuid not in stack.cascade("instance", "list", "-f", "json"), 60, "a record remains")


def test_quota_of_the_site(stack: Stack, tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    with full(stack, "paris", sites["paris"]):
        uuid = tenant.boot("e2e-quota", "az-paris")
        failed = tenant.wait_status(uuid, "ERROR")
    assert "uota" in failed["fault"]["message"], failed["fault"]
    assert operator.server(uuid)["OS-EXT-SRV-ATTR:host"] is None
    check_nothing_left(stack, operator, sites["paris"], uuid)
    tenant.delete(uuid)


def test_no_host_in_the_site(stack: Stack, tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    with no_compute(stack, "oslo"):
        uuid = tenant.boot("e2e-full", "az-oslo")
        failed = tenant.wait_status(uuid, "ERROR")
    assert "No valid host" in failed["fault"]["message"], failed["fault"]
    check_nothing_left(stack, operator, sites["oslo"], uuid)
    tenant.delete(uuid)


def test_image_of_no_bytes(stack: Stack, tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    image = operator.connection.image
    fields = {"name": "empty", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    made = image.post("/images", json=fields).json()
    image.put(f"/images/{made['id']}/file", data=b"", headers={"Content-Type": "application/octet-stream"})
    try:
        answer = tenant.connection.compute.post("/servers", json={"server": _server(tenant, made["id"])})
        if answer.status_code == 202:
            uuid = answer.json()["server"]["id"]
            failed = tenant.wait_status(uuid, "ERROR")
            assert "0 bytes" in failed["fault"]["message"], failed["fault"]
            check_nothing_left(stack, operator, sites["paris"], uuid)
            tenant.delete(uuid)
        else:
            assert answer.status_code == 400, answer.text
    finally:
        image.delete(f"/images/{made['id']}")


def _server(tenant: Tenant, image: str) -> dict[str, Any]:
    return {
        "name": "e2e-empty-image",
        "flavorRef": tenant.flavor,
        "imageRef": image,
        "networks": [{"uuid": tenant.network}],
        "availability_zone": "az-paris",
    }


def test_another_site_of_the_zone_takes_what_one_refuses(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> None:
    steps.enrol(stack, steps.SHARED)
    try:
        refused = [
            *boot_while_full(stack, tenant, sites, "paris", "oslo"),
            *boot_while_full(stack, tenant, sites, "oslo", "paris"),
        ]
        assert refused, "Nova sent no boot to the full site first"
    finally:
        steps.enrol(stack, "each")


def boot_while_full(stack: Stack, tenant: Tenant, sites: dict[str, User], victim: str, other: str) -> list[str]:
    """Boot two servers while a site refuses all; return those that Nova sent there first."""
    with full(stack, victim, sites[victim]):
        uuids = [tenant.boot(f"e2e-not-{victim}-{number}", steps.SHARED) for number in range(2)]
        for uuid in uuids:
            tenant.wait_status(uuid, "ACTIVE")
            assert len(tagged(sites[other], uuid)) == 1 and not tagged(sites[victim], uuid)
            assert not sites[victim].ports(description=f"cascade:{uuid}")
    refused = [uuid for uuid in uuids if victim in hosts_of_build(stack, uuid)]
    tenant.delete(*uuids)
    return refused


def hosts_of_build(stack: Stack, uuid: str) -> str:
    """Return the hosts of the create's events as an operator sees them."""
    operator = User(stack, "top")
    (created,) = [
        action
        for action in operator.get("compute", f"/servers/{uuid}/os-instance-actions")["instanceActions"]
        if action["action"] == "create"
    ]
    shown = operator.get("compute", f"/servers/{uuid}/os-instance-actions/{created['request_id']}")
    return str([event.get("host") for event in shown["instanceAction"]["events"]])
