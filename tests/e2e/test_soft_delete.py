"""Soft delete, restore and force delete: the site keeps the server, powered off, until somebody means it.

The demo's nova-api has no reclaim_instance_interval, so its own code is run with one.
"""

from collections.abc import Iterator

import pytest

from deploy.demo.stack import Stack
from tests.e2e.as_nova import as_nova
from tests.e2e.clouds import CHANGE, DELETE, Tenant, User, eventually
from tests.e2e.conftest import tagged

INTERVAL = 5  # s
SOFT_DELETE = "api.API().soft_delete(admin, instance); answer('done')"


@pytest.fixture
def server(tenant: Tenant) -> Iterator[str]:
    """A server in paris."""
    uuid = tenant.boot("e2e-soft-delete", "az-paris")
    tenant.wait_status(uuid, "ACTIVE")
    yield uuid
    tenant.action(uuid, {"forceDelete": None})
    tenant.wait_gone(uuid)


def soft_delete(stack: Stack, tenant: Tenant, uuid: str) -> None:
    """Delete a server as a nova-api does that keeps it."""
    as_nova(stack, uuid, SOFT_DELETE)
    tenant.wait_status(uuid, "SOFT_DELETED", CHANGE)


def test_a_soft_deleted_server_is_kept_restored_and_deleted_by_force(
    stack: Stack, tenant: Tenant, sites: dict[str, User], server: str
) -> None:
    soft_delete(stack, tenant, server)
    (below,) = tagged(sites["paris"], server)
    assert (below["status"], below["OS-EXT-STS:power_state"]) == ("SHUTOFF", 4)
    assert tenant.ports(device_id=server)
    assert tenant.action(server, {"os-start": None}).status_code == 409
    assert tenant.action(server, {"restore": None}).status_code == 202
    tenant.wait_status(server, "ACTIVE", CHANGE)
    (restored,) = tagged(sites["paris"], server)
    assert (restored["id"], restored["status"]) == (below["id"], "ACTIVE")
    soft_delete(stack, tenant, server)
    assert tenant.action(server, {"forceDelete": None}).status_code == 202
    tenant.wait_gone(server)
    eventually(lambda: not tagged(sites["paris"], server), DELETE, "a server remains in the site")


def test_what_nobody_restores_is_deleted(stack: Stack, tenant: Tenant, sites: dict[str, User], server: str) -> None:
    soft_delete(stack, tenant, server)
    stack.stop("bridge")
    stack.start("bridge", {"OS_BRIDGE__RECLAIM_INSTANCE_INTERVAL": str(INTERVAL)})
    tenant.wait_gone(server)
    eventually(lambda: not tagged(sites["paris"], server), DELETE, "a server remains in the site")
    stack.stop("bridge")
