"""Whatever of ours is lost or comes from a backup: no VM is deleted, doubled or rebooted, and the rest is told.

`make e2e-full` restores the database too, and has 20 boots wait when NATS loses everything; in CI those two stories are
left to the fakes (tests/scenario/nova_restored.txt, streams_lost.txt): healing waits for what may still be on its way.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy.demo import steps
from deploy.demo.stack import SITES, Stack
from deploy.devcloud import database, infra
from deploy.devcloud.paths import Layout
from tests.e2e.clouds import Tenant, User, act, eventually
from tests.e2e.conftest import tagged

BOOTS = int(os.environ.get("CASCADE_E2E_LOST_BOOTS", "20"))
full_size = pytest.mark.skipif("CASCADE_E2E_BOOTS" not in os.environ, reason="takes minutes: make e2e-full")
HEALED = 240.0  # s: two rounds of healing, a take-over, and a slow machine
PARIS = "az-paris"


@pytest.fixture
def servers(tenant: Tenant, sites: dict[str, User]) -> dict[str, str]:
    """Two instances of paris that run, with their servers there."""
    uuids = [tenant.boot(f"e2e-restore-{number}", PARIS) for number in range(2)]
    for uuid in uuids:
        tenant.wait_status(uuid, "ACTIVE")
    return {uuid: tagged(sites["paris"], uuid)[0]["id"] for uuid in uuids}


def test_etcd_is_lost(stack: Stack, tenant: Tenant, sites: dict[str, User], servers: dict[str, str]) -> None:
    stack.middle.down(("etcd",))
    shutil.rmtree(stack.middle.etcd.directory / "data")
    stack.middle.up(("etcd",))
    for site in SITES:
        stack.stop(site)
        steps.add_site(stack, site, f"az-{site}")
        stack.start(site)
    stack.wait_online()
    eventually(lambda: set(servers) <= set(records(stack)), HEALED, "the records are not there again")
    untouched(tenant, sites["paris"], servers)
    usable(stack, tenant, servers)


def test_etcd_is_restored_from_a_backup(
    stack: Stack, tenant: Tenant, sites: dict[str, User], servers: dict[str, str], tmp_path: Path
) -> None:
    deleted, kept = servers
    data = stack.middle.etcd.directory / "data"
    stack.middle.down(("etcd",))
    shutil.copytree(data, tmp_path / "backup")
    stack.middle.up(("etcd",))
    stack.wait_online()
    younger = tenant.boot("e2e-restore-younger", PARIS)
    tenant.wait_status(younger, "ACTIVE")
    tenant.delete(deleted)
    stack.middle.down(("etcd",))
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "backup", data)
    stack.middle.up(("etcd",))
    stack.wait_online()
    eventually(lambda: {kept, younger} <= set(records(stack)), HEALED, "the records are not those of what runs")
    eventually(lambda: deleted not in records(stack), HEALED, "what was deleted since the backup has a record")
    assert not tagged(sites["paris"], deleted)
    now = {kept: servers[kept], younger: tagged(sites["paris"], younger)[0]["id"]}
    untouched(tenant, sites["paris"], now)
    usable(stack, tenant, now)


@full_size
def test_the_database_is_restored_from_a_dump(
    stack: Stack, tenant: Tenant, sites: dict[str, User], servers: dict[str, str], tmp_path: Path
) -> None:
    deleted, kept = servers
    shared = infra.load(Layout(stack.state))
    assert shared is not None
    schemas = [f"{stack.top}_{name}" for name in ("nova", "nova_api", "placement")]
    for schema in schemas:
        database.dump(shared, schema, tmp_path / schema)
    younger = tenant.boot("e2e-restore-unknown", PARIS)
    tenant.wait_status(younger, "ACTIVE")
    below = tagged(sites["paris"], younger)[0]["id"]
    tenant.delete(deleted)
    for schema in schemas:
        database.restore(shared, tmp_path / schema, schema)
    tenant.wait_status(deleted, "ERROR", HEALED)
    eventually(lambda: younger in quarantined(stack), HEALED, "a server that nobody above knows is not told of")
    untouched(tenant, sites["paris"], {kept: servers[kept]})
    assert [server["id"] for server in tagged(sites["paris"], younger)] == [below]
    stack.cascade("quarantine", "purge", younger)
    eventually(lambda: not tagged(sites["paris"], younger), HEALED, "what the operator purges stays")
    tenant.delete(deleted, kept)


@full_size
def test_nats_loses_everything(stack: Stack, tenant: Tenant, sites: dict[str, User], servers: dict[str, str]) -> None:
    deleted, rebooted = servers
    stack.stop("paris")
    before = actions(sites["paris"], servers[rebooted])
    boots = [tenant.boot(f"e2e-restore-lost-{number}", PARIS) for number in range(BOOTS)]
    assert tenant.action(rebooted, {"reboot": {"type": "HARD"}}).status_code == 202
    tenant.connection.compute.delete(f"/servers/{deleted}")
    eventually(lambda: {*boots, *servers} <= pending(stack), HEALED, "the commands are not on their way")
    stack.middle.down(("nats",))
    shutil.rmtree(stack.middle.nats.directory / "jetstream")
    stack.middle.up(("nats",))
    stack.start("paris")
    stack.wait_online()
    eventually(lambda: deleted not in shown(tenant), HEALED, "a delete that was asked for is lost")
    tenant.wait_status(rebooted, "ACTIVE", HEALED)
    assert actions(sites["paris"], servers[rebooted]) == before, "the site rebooted it, long after that was asked for"
    for uuid in boots:
        eventually(lambda: tenant.server(uuid)["status"] != "BUILD", HEALED, f"{uuid} hangs")  # noqa: B023
        ended = tenant.server(uuid)
        assert len(tagged(sites["paris"], uuid)) == (ended["status"] == "ACTIVE"), ended
        assert ended["status"] == "ACTIVE" or ended["fault"]["message"]
    tenant.delete(rebooted, *boots)
    assert not tagged(sites["paris"], deleted)


def shown(tenant: Tenant) -> set[str]:
    """Return the instances that the tenant has."""
    return {str(server["id"]) for server in tenant.servers()}


def records(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the records of paris by instance, without tombstones."""
    listed = json.loads(stack.cascade("instance", "list", "--site", "paris", "-f", "json"))
    return {row["uuid"]: row for row in listed if not row.get("deleted")}


def pending(stack: Stack) -> set[str]:
    """Return the instances of paris that wait for it."""
    return {uuid for uuid, row in records(stack).items() if row["pending"]}


def quarantined(stack: Stack) -> set[str]:
    """Return the instances whose servers are put aside."""
    return {row["uuid"] for row in json.loads(stack.cascade("quarantine", "list", "-f", "json"))}


def actions(site: User, server_id: str) -> list[str]:
    """Return what the site's Nova did with a server, newest first."""
    found = site.get("compute", f"/servers/{server_id}/os-instance-actions")["instanceActions"]
    return [str(action["action"]) for action in found]


def untouched(tenant: Tenant, site: User, servers: dict[str, str]) -> None:
    """Every instance is ACTIVE above, on the very server it had, with which the site did nothing but make it."""
    for uuid, server_id in servers.items():
        assert tenant.wait_status(uuid, "ACTIVE")["OS-EXT-STS:vm_state"] == "active"
        assert [server["id"] for server in tagged(site, uuid)] == [server_id]
        assert actions(site, server_id) == ["create"]


def usable(stack: Stack, tenant: Tenant, servers: dict[str, str]) -> None:
    """The tenant's next operations work as ever."""
    stack.wait_enabled(*SITES)
    for uuid in servers:
        act(tenant, uuid, {"os-stop": None}, "SHUTOFF")
    tenant.delete(*servers)
