"""Flavors reach every site by version, ahead of any boot; what nothing needs is collected; capacity is what is true."""

import json
import os
import time
import uuid as uuids
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.stack import SITES, Stack
from proto.errors import Misconfigured
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged

CHANGED = f"e2e-change-{uuids.uuid4().hex[:8]}"  # of its own in every run: a former content keeps its number
COLLECTED = 60.0  # s; what was pushed a moment ago is not collected in the same round
AHEAD = 20.0  # s until a change above is in the sites
MEASURED = 100.0  # s until a change of capacity is told above: the agent reads Placement once a minute
CHANGES = 100 if os.environ.get("CASCADE_E2E_FULL") else 10
BETWEEN = 0.5  # s between two changes
SPEC = "quota:cpu_shares"


class Flavors:
    """The operator's flavors above; all are deleted at the end."""

    def __init__(self, operator: User) -> None:
        self._compute = operator.connection.compute
        self.made: set[str] = set()

    def create(self, flavor_id: str, *, vcpus: int = 1, public: bool = True) -> None:
        """Create a flavor of a known id."""
        fields = {"id": flavor_id, "name": flavor_id, "vcpus": vcpus, "ram": 128, "disk": 1}
        answer = self._compute.post("/flavors", json={"flavor": {**fields, "os-flavor-access:is_public": public}})
        assert answer.status_code == 200, answer.text
        self.made.add(flavor_id)

    def specify(self, flavor_id: str, value: str) -> None:
        """Set the extra spec that these tests change."""
        answer = self._compute.post(f"/flavors/{flavor_id}/os-extra_specs", json={"extra_specs": {SPEC: value}})
        assert answer.status_code == 200, answer.text

    def delete(self, flavor_id: str) -> None:
        """Delete a flavor."""
        self._compute.delete(f"/flavors/{flavor_id}")
        self.made.discard(flavor_id)


@pytest.fixture
def flavors(operator: User) -> Iterator[Flavors]:
    """Flavors above, gone at the end of the test; their copies are collected by and by."""
    made = Flavors(operator)
    yield made
    for flavor_id in list(made.made):
        made.delete(flavor_id)


def _listed(stack: Stack) -> dict[str, dict[str, Any]]:
    return {row["flavor"]: row for row in json.loads(stack.cascade("flavor", "list", "-f", "json"))}


def _copies(site: User, flavor_id: str) -> dict[int, dict[str, Any]]:
    """Return the site's versions of a flavor."""
    found = site.get("compute", "/flavors/detail", is_public="None")["flavors"]
    start = f"cascade-{flavor_id}-v"
    return {int(one["id"].removeprefix(start)): one for one in found if one["id"].startswith(start)}


def _current(stack: Stack, flavor_id: str) -> bool:
    row = _listed(stack).get(flavor_id, {})
    return all(row.get(site) == "current" for site in SITES)


def _flavor_of(site: User, uuid: str) -> dict[str, Any]:
    (server,) = tagged(site, uuid)
    found: dict[str, Any] = server["flavor"]
    return found


def test_private_flavor_is_there_before_anybody_boots_it(
    stack: Stack, flavors: Flavors, sites: dict[str, User]
) -> None:
    flavors.create("e2e-ahead", public=False)
    begun = time.monotonic()
    for site in SITES:
        eventually(lambda site=site: bool(_copies(sites[site], "e2e-ahead")), AHEAD, "none")  # type: ignore[misc]
        print(f"\nnew flavor in {site} after {time.monotonic() - begun:.1f} s")
    (copy,) = _copies(sites["paris"], "e2e-ahead").values()
    assert (copy["ram"], copy["os-flavor-access:is_public"], copy["description"]) == (128, False, "cascade:e2e-ahead")
    eventually(lambda: _current(stack, "e2e-ahead"), AHEAD, "it is not told to be current")


def test_new_version_for_new_servers_and_old_ones_keep_theirs(
    stack: Stack, tenant: Tenant, flavors: Flavors, sites: dict[str, User]
) -> None:
    flavors.create(CHANGED)
    flavors.specify(CHANGED, "512")
    old = {site: tenant.boot("e2e-old", f"az-{site}", flavorRef=CHANGED) for site in SITES}
    for uuid in old.values():
        tenant.wait_status(uuid, "ACTIVE")
    before = {site: _flavor_of(sites[site], old[site]) for site in SITES}

    flavors.specify(CHANGED, "1024")
    flavors.delete(CHANGED)
    flavors.create(CHANGED, vcpus=2)
    new = {site: tenant.boot("e2e-new", f"az-{site}", flavorRef=CHANGED) for site in SITES}
    for site, uuid in new.items():
        tenant.wait_status(uuid, "ACTIVE")
        shown = _flavor_of(sites[site], uuid)
        assert (shown["vcpus"], shown["extra_specs"]) == (2, {})
        assert shown["original_name"] != before[site]["original_name"]
        assert _flavor_of(sites[site], old[site]) == before[site]
        assert before[site]["vcpus"] == 1 and before[site]["extra_specs"] == {SPEC: "512"}

    eventually(lambda: _current(stack, CHANGED), AHEAD, "not current")
    kept = {
        site: {before[site]["original_name"], _flavor_of(sites[site], new[site])["original_name"]} for site in SITES
    }
    eventually(lambda: _collected(stack, sites) == kept, COLLECTED, "other versions than those in use remain")
    tenant.delete(*old.values())
    newest = {site: {_flavor_of(sites[site], new[site])["original_name"]} for site in SITES}
    eventually(lambda: _collected(stack, sites) == newest, COLLECTED, "the old version remains")
    tenant.delete(*new.values())


def _collected(stack: Stack, sites: dict[str, User]) -> dict[str, set[str]]:
    """Have unused versions collected, and return those that each site holds then."""
    stack.cascade("flavor", "sync")
    return {site: {one["id"] for one in _copies(sites[site], CHANGED).values()} for site in SITES}


def test_many_changes_end_at_the_right_version(stack: Stack, flavors: Flavors, sites: dict[str, User]) -> None:
    flavors.create("e2e-many")
    begun = time.monotonic()
    for number in range(CHANGES):
        flavors.specify("e2e-many", str(number + 2))
        time.sleep(BETWEEN)
    changed = time.monotonic()
    wanted = {SPEC: str(CHANGES + 1)}

    def right(site: str) -> bool:
        copies = _copies(sites[site], "e2e-many")
        return bool(copies) and copies[max(copies)]["extra_specs"] == wanted

    for site in SITES:
        eventually(lambda site=site: right(site), AHEAD, "the last version did not come")  # type: ignore[misc]
    made = {site: len(_copies(sites[site], "e2e-many")) for site in SITES}
    print(
        f"\n{CHANGES} changes in {changed - begun:.1f} s, right everywhere {time.monotonic() - changed:.1f} s later, "
        f"versions made {made}"
    )
    eventually(lambda: _current(stack, "e2e-many"), AHEAD, "not current")
    stack.cascade("flavor", "sync")
    assert [len(_copies(sites[site], "e2e-many")) for site in SITES] == [1, 1]


def test_extra_spec_the_site_refuses(
    stack: Stack, tenant: Tenant, operator: User, flavors: Flavors, sites: dict[str, User]
) -> None:
    flavors.create("e2e-wrong")
    path, wrong = "/flavors/e2e-wrong/os-extra_specs", {"extra_specs": {"hw_video:ram_max_mb": "lots"}}
    unchecked = operator.connection.compute.post(path, json=wrong, microversion="2.61")  # checked since 2.86
    assert unchecked.status_code == 200, unchecked.text
    eventually(lambda: "failed" in str(_listed(stack).get("e2e-wrong", {}).get("paris")), AHEAD, "not failed")
    shown = _listed(stack)["e2e-wrong"]["paris"]
    print(f"\n{shown}")
    assert "ram_max_mb" in shown
    with pytest.raises(Misconfigured):  # the command's exit code is 1
        stack.cascade("flavor", "sync", "--site", "paris")
    uuid = tenant.boot("e2e-wrong", "az-paris", flavorRef="e2e-wrong")
    failed = tenant.wait_status(uuid, "ERROR")
    assert "ram_max_mb" in failed["fault"]["message"], failed["fault"]
    tenant.delete(uuid)
    last = max(_copies(sites["paris"], "e2e-wrong"), default=1)
    assert last == 1, "a flavor the site refuses is left half made"


def test_deleted_flavor_is_planned_and_collected(stack: Stack, flavors: Flavors, sites: dict[str, User]) -> None:
    flavors.create("e2e-gone")
    eventually(lambda: "e2e-gone" in _listed(stack) and _current(stack, "e2e-gone"), AHEAD, "not current")
    flavors.delete("e2e-gone")

    def planned() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(stack.cascade("flavor", "plan", "--site", "paris", "-f", "json"))
        return [row for row in rows if row["flavor"] == "e2e-gone"]

    eventually(lambda: [row["action"] for row in planned()] == ["collect"], AHEAD, "nothing is planned")
    print("\n" + stack.cascade("flavor", "sync"))
    assert not any(_copies(sites[site], "e2e-gone") for site in SITES)
    assert "e2e-gone" not in _listed(stack) and not planned()
    print(stack.cascade("flavor", "list"))


def _capacity(stack: Stack, *flavor: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(stack.cascade("capacity", *flavor, "-f", "json"))
    return {row["site"]: row for row in rows if row.get("zone") in (None, "(whole site)")}


def _offered(operator: User, host: str) -> dict[str, int]:
    """Return what the cascading Placement may hand out of a host."""
    placement = operator.connection.placement
    (provider,) = placement.get("/resource_providers", params={"name": host}).json()["resource_providers"]
    shown = placement.get(f"/resource_providers/{provider['uuid']}/inventories").json()["inventories"]
    return {name: one["total"] - one["reserved"] for name, one in shown.items()}


def test_capacity_shrinks_with_what_others_use_and_shows_custom_classes(stack: Stack, operator: User) -> None:
    eventually(lambda: _capacity(stack, "m1.tiny")["paris"]["fits"] is not None, MEASURED, "nothing fits")
    before, shown = _offered(operator, "paris"), _capacity(stack, "m1.tiny")["paris"]
    assert shown["state"] == "current" and shown["age_s"] < 90
    vendor = User(stack, "paris")
    _give_gpus(vendor, 4)
    server = _vendors_server(vendor)
    try:
        wanted = {**before, "VCPU": before["VCPU"] - 1, "MEMORY_MB": before["MEMORY_MB"] - 256, "CUSTOM_E2E_GPU": 4}
        wanted["DISK_GB"] = before["DISK_GB"] - 2
        eventually(lambda: _offered(operator, "paris") == wanted, MEASURED, f"not {wanted}")
        print("\n" + stack.cascade("capacity", "m1.tiny"))
        eventually(lambda: _fits_but_one(stack), MEASURED, "what is used by others is not shown")
    finally:
        vendor.connection.compute.delete(f"/servers/{server}")
        _give_gpus(vendor, 0)
    eventually(lambda: _offered(operator, "paris") == {**before, "CUSTOM_E2E_GPU": 0}, MEASURED, "it did not grow back")


def _fits_but_one(stack: Stack) -> bool:
    now = _capacity(stack, "m1.tiny")["paris"]
    return bool(now["fits"] == now["vcpus"]["free"] < now["vcpus"]["total"])


def _give_gpus(vendor: User, total: int) -> None:
    """Give a child of the site's host so many GPUs, 0 = none.

    The child is left there: a nova-compute that has seen a provider cannot build for minutes once somebody deletes it.
    """
    placement, version = vendor.connection.placement, {"microversion": "1.30"}
    nodes = placement.get("/resource_providers", **version).json()["resource_providers"]
    root = next(node for node in nodes if node["uuid"] == node["root_provider_uuid"])
    child = next((node for node in nodes if node["name"] == "e2e-gpus"), None)
    if child is None:
        wanted = {"name": "e2e-gpus", "parent_provider_uuid": root["uuid"]}
        child = placement.post("/resource_providers", json=wanted, **version).json()
        placement.put("/resource_classes/CUSTOM_E2E_GPU", **version)
    body = {
        "resource_provider_generation": child["generation"],
        "inventories": {"CUSTOM_E2E_GPU": {"total": total}} if total else {},
    }
    answer = placement.put(f"/resource_providers/{child['uuid']}/inventories", json=body, **version)
    assert answer.status_code == 200, answer.text


def _vendors_server(vendor: User) -> str:
    """Make a server of the site's own people, without a network, on the flavor that is not ours."""
    image = next(one["id"] for one in vendor.get("image", "/images")["images"] if one["status"] == "active")
    body = {"name": "vendors", "flavorRef": "vendor-small", "imageRef": image, "networks": "none"}
    answer = vendor.connection.compute.post("/servers", json={"server": body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["server"]["id"])


def test_an_operator_caps_what_a_site_offers(stack: Stack, operator: User) -> None:
    before = _offered(operator, "oslo")
    stack.cascade("site", "set", "oslo", "--cap", "vcpus=7", "--cap", "disk_gb=11")
    try:
        wanted = {**before, "VCPU": 7, "DISK_GB": 11}
        eventually(lambda: _offered(operator, "oslo") == wanted, 60.0, f"not {wanted}")
    finally:
        stack.cascade("site", "set", "oslo", "--cap", "none")
    eventually(lambda: _offered(operator, "oslo") == before, 60.0, "the cap stays")
