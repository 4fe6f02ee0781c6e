"""Where a server may go: server groups, hosts asked for by name, aggregates; and that quotas are exact after it all."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from bridge.auto_confirm import AutoConfirm
from bridge.edge.cloud_session import CloudSession
from bridge.edge.nova_api import NovaApi
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_transport import transport
from deploy.demo.stack import Stack
from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged

SITE, ZONE = "paris", "az-paris"
USED = ("totalInstancesUsed", "totalCoresUsed", "totalRAMUsed", "totalServerGroupsUsed")


def used(tenant: Tenant) -> dict[str, int]:
    """Return what the tenant's quotas count."""
    absolute = tenant.get("compute", "/limits")["limits"]["absolute"]
    return {name: absolute[name] for name in USED}


@pytest.fixture(scope="module", autouse=True)
def exact_quotas(tenant: Tenant) -> Iterator[None]:
    """What was refused, faulted or deleted counts for nothing in the end."""
    before = used(tenant)
    yield
    eventually(lambda: used(tenant) == before, CHANGE, "the usage above is not what it was")


@contextmanager
def group(tenant: Tenant, policy: str, rules: dict[str, int] | None = None) -> Iterator[str]:
    """A server group of the tenant's."""
    body = {"server_group": {"name": f"e2e-{policy}", "policy": policy, **({"rules": rules} if rules else {})}}
    answer = tenant.connection.compute.post("/os-server-groups", json=body)
    assert answer.status_code == 200, answer.text
    found = str(answer.json()["server_group"]["id"])
    yield found
    tenant.connection.compute.delete(f"/os-server-groups/{found}")


def boot_in(tenant: Tenant, group_id: str, count: int) -> list[str]:
    """Boot some servers of one group with one request."""
    fields = {"flavorRef": tenant.flavor, "imageRef": tenant.image, "networks": "none", "availability_zone": ZONE}
    server = {"name": f"e2e-{group_id[:8]}", "min_count": count, "max_count": count, **fields}
    body = {"server": {**server, "return_reservation_id": True}, "os:scheduler_hints": {"group": group_id}}
    answer = tenant.connection.compute.post("/servers", json=body)
    assert answer.status_code == 202, answer.text
    reserved = answer.json()["reservation_id"]
    query = {"reservation_id": reserved}
    return [str(found["id"]) for found in tenant.get("compute", "/servers", **query)["servers"]]


def site_group(site: User, group_id: str) -> dict[str, Any]:
    """Return the site's group for one above."""
    groups = site.get("compute", "/os-server-groups")["server_groups"]
    (found,) = [one for one in groups if one["name"] == f"cascade:{group_id}"]
    return cast(dict[str, Any], found)


def wait_ended(tenant: Tenant, uuids: list[str]) -> list[dict[str, Any]]:
    """Return the servers once their boots have ended, well or not."""
    shown: list[dict[str, Any]] = []

    def ended() -> bool:
        shown[:] = [tenant.server(uuid) for uuid in uuids]
        return all(server["status"] in ("ACTIVE", "ERROR") for server in shown)

    eventually(ended, CHANGE, "a boot does not end")
    return shown


def events(operator: User, uuid: str) -> set[str]:
    """Return the names of what was done for the boot of an instance."""
    (create,) = operator.get("compute", f"/servers/{uuid}/os-instance-actions")["instanceActions"]
    path = f"/servers/{uuid}/os-instance-actions/{create['request_id']}"
    return {event["event"] for event in operator.get("compute", path)["instanceAction"]["events"]}


def test_anti_affinity_is_kept_by_the_site(tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    """The site has one host: of two servers it takes one, and says why not the other."""
    with group(tenant, "anti-affinity") as group_id:
        uuids = boot_in(tenant, group_id, 2)
        shown = wait_ended(tenant, uuids)
        assert sorted(server["status"] for server in shown) == ["ACTIVE", "ERROR"]
        (failed,) = [server for server in shown if server["status"] == "ERROR"]
        assert "compute__do_build_and_run_instance" in events(operator, failed["id"]), "refused above"
        assert re.search("No valid host|Exhausted all hosts", failed["fault"]["message"]), failed["fault"]
        below = site_group(sites[SITE], group_id)
        assert (below["policy"], len(below["members"])) == ("anti-affinity", 1)
        tenant.delete(*uuids)


def test_what_a_site_can_hold_of_a_group_it_takes(tenant: Tenant, sites: dict[str, User]) -> None:
    """Two in one site are none too many for a rule that allows two a host."""
    with group(tenant, "anti-affinity", {"max_server_per_host": 2}) as group_id:
        uuids = boot_in(tenant, group_id, 2)
        assert [server["status"] for server in wait_ended(tenant, uuids)] == ["ACTIVE"] * 2
        below = site_group(sites[SITE], group_id)
        assert below["rules"] == {"max_server_per_host": 2} and len(below["members"]) == 2
        tenant.delete(*uuids)


def test_a_host_may_be_named_by_the_operator(tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    asked = [{"availability_zone": f"{ZONE}:{SITE}"}, {"host": SITE, "hypervisor_hostname": SITE}]
    uuids = [boot_as(operator, tenant, fields) for fields in asked]
    eventually(lambda: all(operator.server(uuid)["status"] == "ACTIVE" for uuid in uuids), CHANGE, "not ACTIVE")
    assert all(tagged(sites[SITE], uuid) for uuid in uuids)
    for uuid in uuids:
        operator.connection.compute.delete(f"/servers/{uuid}")
    tenant.wait_gone(*uuids)
    eventually(lambda: not any(tagged(sites[SITE], uuid) for uuid in uuids), CHANGE, "servers remain in the site")


def boot_as(user: User, tenant: Tenant, fields: dict[str, Any]) -> str:
    """Ask for a server without a card as another user and return its id."""
    server = {"name": "e2e-named", "flavorRef": tenant.flavor, "imageRef": tenant.image, "networks": "none", **fields}
    answer = user.connection.compute.post("/servers", json={"server": server})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["server"]["id"])


@pytest.fixture
def aggregate(operator: User) -> Iterator[Callable[[dict[str, str]], None]]:
    """An aggregate with the site's host in it, whose metadata the test sets."""
    compute = operator.connection.compute
    answer = compute.post("/os-aggregates", json={"aggregate": {"name": "e2e-rules"}})
    assert answer.status_code == 200, answer.text
    path = f"/os-aggregates/{answer.json()['aggregate']['id']}"
    assert compute.post(f"{path}/action", json={"add_host": {"host": SITE}}).status_code == 200

    def describe(metadata: dict[str, str]) -> None:
        assert compute.post(f"{path}/action", json={"set_metadata": {"metadata": metadata}}).status_code == 200

    yield describe
    compute.post(f"{path}/action", json={"remove_host": {"host": SITE}})
    compute.delete(path)


@contextmanager
def gold(operator: User) -> Iterator[str]:
    """A flavor that wants aggregates with gold=true; yields its id."""
    compute = operator.connection.compute
    body = {"flavor": {"name": "e2e-gold", "ram": 64, "vcpus": 1, "disk": 1}}
    found = str(compute.post("/flavors", json=body).json()["flavor"]["id"])
    specs = {"extra_specs": {"aggregate_instance_extra_specs:gold": "true"}}
    assert compute.post(f"/flavors/{found}/os-extra_specs", json=specs).status_code == 200
    yield found
    compute.delete(f"/flavors/{found}")


def test_an_aggregate_gives_a_site_to_flavors_and_tenants(
    tenant: Tenant, operator: User, aggregate: Callable[[dict[str, str]], None]
) -> None:
    with gold(operator) as flavor:
        plain = tenant.boot("e2e-not-gold", ZONE, flavorRef=flavor, networks="none")
        assert "No valid host" in tenant.wait_status(plain, "ERROR")["fault"]["message"]
        aggregate({"gold": "true", "filter_tenant_id": operator.connection.current_project_id})
        theirs = tenant.boot("e2e-not-ours", ZONE, flavorRef=flavor, networks="none")
        assert "No valid host" in tenant.wait_status(theirs, "ERROR")["fault"]["message"]
        aggregate({"filter_tenant_id": tenant.connection.current_project_id})
        ours = tenant.boot("e2e-gold", ZONE, flavorRef=flavor, networks="none")
        tenant.wait_status(ours, "ACTIVE")
        tenant.delete(plain, theirs, ours)


def test_hypervisors_are_shown(operator: User) -> None:
    (host,) = operator.get("compute", "/os-hypervisors/detail", hypervisor_hostname_pattern=SITE)["hypervisors"]
    assert (host["state"], host["hypervisor_type"], host["uptime"]) == ("up", "cascade", f"site {SITE}")
    shown = operator.get("compute", f"/os-hypervisors/{host['id']}")["hypervisor"]
    assert shown["service"]["host"] == SITE
    compute, before = operator.connection.compute, "2.87"  # the last with statistics and uptimes of their own
    figures = compute.get("/os-hypervisors/statistics", microversion=before).json()["hypervisor_statistics"]
    assert figures["count"] >= 1 and figures["vcpus"] > 0 and figures["memory_mb"] > 0
    shown = compute.get(f"/os-hypervisors/{host['id']}/uptime", microversion=before).json()["hypervisor"]
    assert (shown["hypervisor_hostname"], shown["uptime"]) == (SITE, f"site {SITE}")


async def confirm_all(url: str, cloud: str) -> None:
    """Let the bridge's part that confirms resizes look once, with a window of a second."""
    road, session = transport(url), CloudSession.from_clouds_yaml(cloud)
    conductor, unused = NovaConductor(road), cast(Any, None)
    await session.check("compute")
    await AutoConfirm([SITE], conductor, NovaApi(session), unused, 1).round()
    conductor.close()
    session.close()
    road.cleanup()


@pytest.fixture(scope="module")
def server(tenant: Tenant) -> Iterator[str]:
    """A server whose card has a tag."""
    uuid = tenant.boot("e2e-rules", ZONE, networks=[{"uuid": tenant.network, "tag": "front"}])
    tenant.wait_status(uuid, "ACTIVE")
    yield uuid
    tenant.delete(uuid)


def test_device_tags_are_the_sites_too(tenant: Tenant, sites: dict[str, User], server: str) -> None:
    (below,) = tagged(sites[SITE], server)
    for user, one in ((tenant, server), (sites[SITE], below["id"])):
        (card,) = user.get("compute", f"/servers/{one}/os-interface")["interfaceAttachments"]
        assert card["tag"] == "front"


def test_a_resize_that_nobody_confirms_is_confirmed(
    stack: Stack, tenant: Tenant, operator: User, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tenant.action(server, {"resize": {"flavorRef": "2"}}).status_code == 202
    tenant.wait_status(server, "VERIFY_RESIZE", CHANGE)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(stack.clouds_yaml))
    url = json.loads((stack.state / "clouds" / stack.top / "cloud.json").read_text())["transport_url"]

    def confirmed() -> bool:
        asyncio.run(confirm_all(url, f"{stack.top}-service"))
        return bool(tenant.server(server)["status"] == "ACTIVE")

    eventually(confirmed, CHANGE, "the resize waits")
    migrations = operator.get("compute", "/os-migrations", instance_uuid=server)["migrations"]
    assert [one["status"] for one in migrations] == ["confirmed"]
