"""What a tenant calls his server, and its metadata, are the same in the site; nothing else there is touched."""

from typing import Any

from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged

NOTICED = 60.0  # s


def called(server: dict[str, Any]) -> dict[str, Any]:
    """Return what a server is called, and its metadata."""
    keys = ("name", "description", "metadata", "OS-EXT-SRV-ATTR:hostname")
    return {key: server[key] for key in keys}


def rename(tenant: Tenant, site: User, uuid: str, name: str) -> None:
    """Rename a server and wait until the site calls it so."""
    assert tenant.connection.compute.put(f"/servers/{uuid}", json={"server": {"name": name}}).status_code == 200
    eventually(lambda: tagged(site, uuid)[0]["name"] == name, NOTICED, "the site is not told")


def test_a_rename_and_metadata_reach_the_site(tenant: Tenant, operator: User, sites: dict[str, User]) -> None:
    uuid = tenant.boot("e2e-noticed", "az-paris", metadata={"role": "front"})
    compute = tenant.connection.compute
    try:
        tenant.wait_status(uuid, "ACTIVE")
        (below,) = tagged(sites["paris"], uuid)
        assert called(below) == called(operator.server(uuid))
        names = {"name": "renamed", "description": "by its tenant", "hostname": "renamed-guest"}
        assert compute.put(f"/servers/{uuid}", json={"server": names}).status_code == 200
        assert compute.post(f"/servers/{uuid}/metadata", json={"metadata": {"size": "2"}}).status_code == 200
        assert tenant.action(uuid, {"os-stop": None}).status_code == 202, "what goes on is not disturbed"
        wanted = {
            "name": "renamed",
            "description": "by its tenant",
            "metadata": {"role": "front", "size": "2"},
            "OS-EXT-SRV-ATTR:hostname": "renamed-guest",
        }
        eventually(lambda: called(tagged(sites["paris"], uuid)[0]) == wanted, NOTICED, "the site is not told")
        assert called(operator.server(uuid)) == wanted
        shown = tenant.wait_status(uuid, "SHUTOFF", CHANGE)
        (after,) = tagged(sites["paris"], uuid)
        assert (after["id"], after["tags"]) == (below["id"], below["tags"]) and not shown["tags"]
        assert tenant.action(uuid, {"lock": None}).status_code == 202
        assert compute.put(f"/servers/{uuid}/tags/mine").status_code == 201
        rename(tenant, sites["paris"], uuid, "again")
        (after,) = tagged(sites["paris"], uuid)
        assert not after["locked"] and after["tags"] == below["tags"], "these stay above"
        assert tenant.action(uuid, {"unlock": None}).status_code == 202
        assert compute.delete(f"/servers/{uuid}/metadata/role").status_code == 204  # Nova counts that as no change
        rename(tenant, sites["paris"], uuid, "at-last")
        eventually(lambda: tagged(sites["paris"], uuid)[0]["metadata"] == {"size": "2"}, NOTICED, "role is still there")
    finally:
        tenant.action(uuid, {"unlock": None})
        tenant.delete(uuid)
