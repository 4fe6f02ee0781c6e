"""A site is lost, given up, evacuated by the stock client, and comes back: an instance has one server of its own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.stack import SITES, Stack
from proto.errors import Misconfigured
from tests.e2e.clouds import Tenant, User, act, eventually
from tests.e2e.conftest import tagged

NOTICED = 45.0  # s: a heartbeat to Nova, a take-over, two statuses and a census
PARIS, OSLO = SITES


@pytest.fixture
def undrained(stack: Stack) -> Iterator[None]:
    """Both sites take servers again, whatever the test left."""
    yield
    stack.start(PARIS)
    eventually(lambda: forced_up(stack, PARIS), NOTICED, "paris cannot be forced up")
    stack.cascade("site", "enable", OSLO)
    stack.wait_online()
    stack.wait_enabled(*SITES)


def test_a_lost_site_is_evacuated_and_comes_back(
    stack: Stack, tenant: Tenant, sites: dict[str, User], operator: User, undrained: None
) -> None:
    stack.wait_enabled(*SITES)
    moving, deleted = booted_while_oslo_drains(stack, tenant, operator)
    former = tagged(sites[PARIS], moving)[0]["id"]
    before = tenant.server(moving)["addresses"]

    stack.stop(PARIS)
    tenant.connection.compute.delete(f"/servers/{deleted}")
    service(stack, PARIS, "--down")
    eventually(lambda: stack.sites()[PARIS]["state"] == "given up", NOTICED, "the site is not given up")
    tenant.wait_gone(deleted)
    stack.client(stack.top, "server", "evacuate", moving)
    eventually(lambda: host_of(operator, moving) == OSLO, NOTICED, "nobody evacuates it")
    # The stock client speaks the newest microversion: from 2.95 on Nova leaves what is evacuated stopped.
    assert tenant.wait_status(moving, "SHUTOFF")["addresses"] == before
    [below] = tagged(sites[OSLO], moving)
    assert below["status"] == "SHUTOFF" and migration(operator, moving) == "done"
    assert act(tenant, moving, {"os-start": None}, "ACTIVE")["addresses"] == before
    assert len(holders(operator, moving)) == 2 and len(operator.ports(device_id=moving)) == 1

    stack.start(PARIS)
    eventually(lambda: migration(operator, moving) == "completed", NOTICED, "its migration is not ended")
    service(stack, PARIS, "--up")
    eventually(lambda: not tagged(sites[PARIS], deleted), NOTICED, "what was deleted meanwhile is still there")
    eventually(lambda: former in quarantined(stack), NOTICED, "its former server is not in quarantine")
    stack.wait_enabled(*SITES)
    assert len(holders(operator, moving)) == 1 and host_of(operator, moving) == OSLO
    assert stack.sites()[PARIS]["state"] == "online"

    stack.cascade("quarantine", "purge", former)
    eventually(lambda: not tagged(sites[PARIS], moving), NOTICED, "its former server is not purged")
    assert tenant.server(moving)["status"] == "ACTIVE"
    tenant.delete(moving)
    assert tagged(sites[OSLO], moving) == [] and operator.ports(device_id=moving) == []


def booted_while_oslo_drains(stack: Stack, tenant: Tenant, operator: User) -> list[str]:
    """Return two instances of no zone, which go to paris because oslo is drained, and end the drain."""
    stack.cascade("site", "disable", OSLO, "--reason", "new racks")
    eventually(lambda: reason_of(operator, OSLO) == "cascade: drained by an operator: new racks", NOTICED, "no drain")
    assert stack.sites()[OSLO]["state"] == "draining"
    uuids = [tenant.boot(f"e2e-lost-{number}", None) for number in range(2)]
    for uuid in uuids:
        tenant.wait_status(uuid, "ACTIVE")
        assert host_of(operator, uuid) == PARIS
    stack.cascade("site", "enable", OSLO)
    return uuids


def service(stack: Stack, host: str, how: str) -> None:
    """Force a host's compute service down, or no longer."""
    stack.client(stack.top, "--os-compute-api-version", "2.53", "compute", "service", "set", how, host, "nova-compute")


def forced_up(stack: Stack, host: str) -> bool:
    """Return whether Nova lets the host be up; not before evacuations from it are ended there."""
    try:
        service(stack, host, "--up")
    except Misconfigured:
        return False
    return True


def host_of(operator: User, uuid: str) -> str | None:
    """Return the host an instance is on."""
    host: str | None = operator.server(uuid)["OS-EXT-SRV-ATTR:host"]
    return host


def reason_of(operator: User, host: str) -> str | None:
    """Return why a host is disabled."""
    (found,) = operator.get("compute", "/os-services", host=host, binary="nova-compute")["services"]
    reason: str | None = found["disabled_reason"]
    return reason


def migration(operator: User, uuid: str) -> str:
    """Return the status of an instance's evacuation."""
    (found,) = operator.get("compute", "/os-migrations", instance_uuid=uuid, migration_type="evacuation")["migrations"]
    return str(found["status"])


def holders(operator: User, uuid: str) -> dict[str, Any]:
    """Return the providers that an instance holds something of."""
    found: dict[str, Any] = operator.get("placement", f"/allocations/{uuid}")["allocations"]
    return found


def quarantined(stack: Stack) -> set[str]:
    """Return the ids of the servers in quarantine."""
    return {row["server"] for row in json.loads(stack.cascade("quarantine", "list", "-f", "json"))}
