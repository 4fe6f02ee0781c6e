"""A server is shelved in one site and unshelved in another: what was on its disk, its port and its address go along."""

from typing import Any

from deploy.demo.stack import Stack
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged
from tests.e2e.test_images import carried

SHELVE = 60.0  # s


def test_a_server_shelved_in_one_site_is_unshelved_in_the_other(
    stack: Stack, tenant: Tenant, sites: dict[str, User], operator: User
) -> None:
    uuid = tenant.boot("e2e-shelved", "az-paris")
    before = tenant.wait_status(uuid, "ACTIVE")
    [port] = operator.ports(device_id=uuid)
    assert tenant.action(uuid, {"shelve": None}).status_code == 202
    shelved = tenant.wait_status(uuid, "SHELVED_OFFLOADED", SHELVE)
    assert operator.server(uuid)["OS-EXT-SRV-ATTR:host"] is None and shelved["addresses"] == before["addresses"]
    assert tagged(sites["paris"], uuid) == [] and not sites["paris"].ports(description=f"cascade:{uuid}")
    [kept] = operator.ports(device_id=uuid)
    assert (kept["id"], kept["binding:host_id"]) == (port["id"], "")
    assert allocations(operator, uuid) == {}
    [image] = shelved_images(tenant, uuid)
    assert (image["status"], image["owner"]) == ("active", tenant.connection.current_project_id)

    answer = tenant.action(uuid, {"unshelve": {"availability_zone": "az-oslo"}})
    assert answer.status_code == 202, answer.text
    after = tenant.wait_status(uuid, "ACTIVE")
    assert after["addresses"] == before["addresses"] and after["OS-EXT-AZ:availability_zone"] == "az-oslo"
    [below] = tagged(sites["oslo"], uuid)
    assert below["status"] == "ACTIVE" and tagged(sites["paris"], uuid) == []
    [source] = carried(sites["oslo"], image["id"])
    assert below["image"]["id"] == source["id"] and source["os_hash_value"] == image["os_hash_value"]
    assert shelved_images(tenant, uuid) == [] and len(operator.ports(device_id=uuid)) == 1
    assert events(operator, uuid) == {
        "shelve": [("compute_shelve_instance", "Success")],
        "unshelve": [("compute_unshelve_instance", "Success")],
    }
    tenant.delete(uuid)
    assert operator.ports(device_id=uuid) == []


def test_a_shelved_server_that_is_deleted_leaves_nothing(
    stack: Stack, tenant: Tenant, sites: dict[str, User], operator: User
) -> None:
    uuid = tenant.boot("e2e-shelved-deleted", "az-oslo")
    tenant.wait_status(uuid, "ACTIVE")
    assert tenant.action(uuid, {"shelve": None}).status_code == 202
    tenant.wait_status(uuid, "SHELVED_OFFLOADED", SHELVE)
    tenant.delete(uuid)
    assert tagged(sites["oslo"], uuid) == [] and shelved_images(tenant, uuid) == []
    eventually(lambda: operator.ports(device_id=uuid) == [], 20, "its port stays")
    assert allocations(operator, uuid) == {}


def shelved_images(tenant: Tenant, uuid: str) -> list[dict[str, Any]]:
    """Return the images above that were taken of a server."""
    found: list[dict[str, Any]] = tenant.get("image", "/images", instance_uuid=uuid)["images"]
    return found


def allocations(operator: User, uuid: str) -> dict[str, Any]:
    """Return what a server holds in Placement above."""
    found: dict[str, Any] = operator.get("placement", f"/allocations/{uuid}")["allocations"]
    return found


def events(operator: User, uuid: str) -> dict[str, list[tuple[str, str]]]:
    """Return how the compute host's own events of each shelve and unshelve ended."""
    listed = operator.get("compute", f"/servers/{uuid}/os-instance-actions")["instanceActions"]
    found = {}
    for action in (entry for entry in listed if "shelve" in entry["action"]):
        path = f"/servers/{uuid}/os-instance-actions/{action['request_id']}"
        shown = operator.get("compute", path)["instanceAction"]["events"]
        found[action["action"]] = [(e["event"], e["result"]) for e in shown if e["event"].startswith("compute_")]
    return found
