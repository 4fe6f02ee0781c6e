"""What differs between above, the records and a site is mended or told: nothing is deleted or rebooted for it."""

import asyncio
import json
import uuid as uuids
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.core import keys
from bridge.edge.etcd_store import EtcdStore
from deploy.demo.stack import Stack
from proto.errors import Misconfigured
from tests.e2e.clouds import CHANGE, Tenant, User, act, eventually
from tests.e2e.conftest import tagged

SITE, ZONE = "paris", "az-paris"
HEALED = 120.0  # s: two rounds of healing, and a slow machine


@pytest.fixture(scope="module")
def servers(tenant: Tenant) -> Iterator[list[str]]:
    """Two instances of the site that run."""
    booted = [tenant.boot(f"e2e-heal-{number}", ZONE) for number in range(2)]
    for uuid in booted:
        tenant.wait_status(uuid, "ACTIVE")
    yield booted
    tenant.delete(*booted)


@pytest.fixture(scope="module")
def vanished(stack: Stack, sites: dict[str, User], servers: list[str]) -> str:
    """One of them, whose server the site's own operator has just deleted."""
    (below,) = tagged(sites[SITE], servers[0])
    User(stack, SITE).connection.compute.delete(f"/servers/{below['id']}")
    eventually(lambda: not tagged(sites[SITE], servers[0]), CHANGE, "the vendor's delete does not end")
    return servers[0]


def test_an_orphan_is_held_until_an_operator_decides(
    stack: Stack, sites: dict[str, User], servers: list[str], vanished: str
) -> None:
    unknown = str(uuids.uuid4())
    orphan = make_orphan(sites[SITE], tagged(sites[SITE], servers[1])[0], unknown)
    stack.cascade("heal", SITE)  # else the next round is at most a minute away; what it sees must last for another one
    eventually(lambda: unknown in held(stack), HEALED, "the orphan is not in quarantine")
    assert held(stack)[unknown]["server"] == orphan
    with pytest.raises(Misconfigured, match="has no such instance"):
        stack.cascade("quarantine", "adopt", unknown)
    assert "is the site's own now" in stack.cascade("quarantine", "return", unknown)
    assert unknown not in held(stack)
    left = sites[SITE].server(orphan)
    assert (left["status"], left["tags"]) == ("ACTIVE", [])
    sites[SITE].connection.compute.delete(f"/servers/{orphan}")


def test_what_the_site_lost_is_shown_missing(stack: Stack, tenant: Tenant, vanished: str) -> None:
    eventually(lambda: tenant.server(vanished)["status"] == "ERROR", HEALED, "nobody is told of it")
    assert f"missing at site {SITE}" in tenant.server(vanished)["fault"]["message"]
    assert vanished not in {row["uuid"] for row in plan(stack)}, "that is all there is to do"


def test_records_lost_while_nothing_runs_are_made_again(
    stack: Stack, tenant: Tenant, sites: dict[str, User], servers: list[str]
) -> None:
    (before,) = tagged(sites[SITE], servers[1])
    stack.stop("bridge", SITE)
    asyncio.run(forget_all(stack))
    stack.start("bridge")
    stack.start(SITE)
    eventually(lambda: servers[1] in records(stack), HEALED, "the record is not there again")
    (after,) = tagged(sites[SITE], servers[1])
    assert after["id"] == before["id"]
    done = sites[SITE].get("compute", f"/servers/{after['id']}/os-instance-actions")["instanceActions"]
    assert [action["action"] for action in done] == ["create"]
    stack.wait_online()
    act(tenant, servers[1], {"os-stop": None}, "SHUTOFF")
    assert tagged(sites[SITE], servers[1])[0]["status"] == "SHUTOFF"


async def forget_all(stack: Stack) -> None:
    """Delete all that etcd keeps of the site but its enrolment."""
    store = await EtcdStore.connect([stack.middle.etcd.url])
    await store.delete_prefix(keys.held(SITE))
    await store.close()


def make_orphan(site: User, like: dict[str, Any], uuid: str) -> str:
    """Make a server in the site that carries the tag of an instance nobody knows, and return its id."""
    flavors = site.get("compute", "/flavors", is_public="None")["flavors"]
    flavor = next(one["id"] for one in flavors if one["name"] == like["flavor"]["original_name"])
    body = {
        "name": "e2e-orphan",
        "flavorRef": flavor,
        "imageRef": like["image"]["id"],
        "networks": "none",
        "tags": [f"cascade:{uuid}", "cascade-generation:1"],
    }
    answer = site.connection.compute.post("/servers", json={"server": body})
    assert answer.status_code == 202, answer.text
    made = str(answer.json()["server"]["id"])
    eventually(lambda: bool(site.server(made)["status"] == "ACTIVE"), CHANGE, "the orphan does not boot")
    return made


def held(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return what is in quarantine, by instance."""
    return {row["uuid"]: row for row in json.loads(stack.cascade("quarantine", "list", "-f", "json"))}


def plan(stack: Stack) -> list[dict[str, Any]]:
    """Return what a round of healing would do now."""
    return list(json.loads(stack.cascade("heal", SITE, "--dry-run", "-f", "json")))


def records(stack: Stack) -> set[str]:
    """Return the instances that the site has records of."""
    return {row["uuid"] for row in json.loads(stack.cascade("instance", "list", "--site", SITE, "-f", "json"))}
