"""Many servers of one request go through their life in waves, all at once, and leave nothing above or below.

CI has 10 in the zone of one site. `make waves` (CASCADE_E2E_ZONES=shared) has 50 in one zone with two sites: one site
is too small to resize 50 at once, as each then needs room for both sizes.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.demo.stack import Stack
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged
from tests.e2e.counting import messages

FULL = os.environ.get("CASCADE_E2E_ZONES") == "shared"
SIZE = 50 if FULL else 10
IMAGES = SIZE if FULL else 3  # snapshots, of the first so many
WAVE = 60.0 + 12.0 * SIZE  # s
CLEAN = 120.0  # s until nothing is left
LARGER = "2"  # m1.small


def test_boot_resize_confirm_snapshot_delete(
    stack: Stack, tenant: Tenant, operator: User, sites: dict[str, User]
) -> None:
    (zone,) = stack.sites()["paris"]["availability_zones"]
    sharing = {name: sites[name] for name, row in stack.sites().items() if zone in row["availability_zones"]}
    with wave("boot"):
        tenant.boot("e2e-wave", zone, min_count=SIZE, max_count=SIZE)
        wait_all(tenant, "ACTIVE")
    uuids = sorted(mine(tenant))
    check_spread(sharing, uuids)
    with wave("resize"):
        act(tenant, uuids, {"resize": {"flavorRef": LARGER}})
        wait_all(tenant, "VERIFY_RESIZE")
    with wave("confirm"):
        act(tenant, uuids, {"confirmResize": None})
        wait_all(tenant, "ACTIVE")
    with wave("snapshot", IMAGES):
        act(tenant, uuids[:IMAGES], {"createImage": {"name": "e2e-wave"}})
        wait_all(tenant, "ACTIVE")
    images = tenant.get("image", "/images", name="e2e-wave", limit=SIZE)["images"]
    assert [image["status"] for image in images] == ["active"] * IMAGES
    with wave("delete"):
        for uuid in uuids:
            tenant.connection.compute.delete(f"/servers/{uuid}")
        eventually(lambda: not mine(tenant), WAVE, "servers remain above")
    for image in images:
        tenant.connection.image.delete(f"/images/{image['id']}")
    check_nothing_is_left(stack, operator, sharing, uuids)


def check_spread(sites: dict[str, User], uuids: list[str]) -> None:
    """Each instance has one server, and the sites, which are equally large, have about as many each."""
    where = [name for uuid in uuids for name, site in sites.items() for _ in tagged(site, uuid)]
    found = {name: where.count(name) for name in sites}
    print(f"spread: {found}")
    assert len(where) == len(uuids) == SIZE
    assert min(found.values()) >= SIZE // (2 * len(sites)), found


@contextmanager
def wave(name: str, size: int = SIZE) -> Iterator[None]:
    """Print how long it took."""
    began = time.monotonic()
    yield
    print(f"{name} of {size}: {time.monotonic() - began:.0f} s")


def mine(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Return the servers of the wave by id."""
    return {server["id"]: server for server in tenant.servers() if server["name"].startswith("e2e-wave-")}


def act(tenant: Tenant, uuids: list[str], body: dict[str, Any]) -> None:
    """Ask for the same of all."""
    for uuid in uuids:
        answer = tenant.action(uuid, body)
        assert answer.status_code in (202, 204), answer.text


def wait_all(tenant: Tenant, status: str) -> None:
    """Return once all have the status and no task."""

    def reached() -> bool:
        servers = mine(tenant).values()
        assert all(server["status"] != "ERROR" for server in servers), [server.get("fault") for server in servers]
        seen = {(server["status"], server["OS-EXT-STS:task_state"]) for server in servers}
        return seen == {(status, None)}

    eventually(reached, WAVE, f"not all are {status}")


def check_nothing_is_left(stack: Stack, operator: User, sites: dict[str, User], uuids: list[str]) -> None:
    """No server, port, allocation, record, image or message of any of them stays above or below."""
    last: list[str] = []

    def clean() -> bool:
        last[:] = left(stack, operator, sites, set(uuids))
        return not last

    try:
        eventually(clean, CLEAN, "something is left")
    except Exception as error:
        error.add_note(", ".join(last))
        raise


def left(stack: Stack, operator: User, sites: dict[str, User], gone: set[str]) -> list[str]:
    """Return what is left of servers that are gone, each with its kind."""
    marks = {f"cascade:{uuid}" for uuid in gone}
    records = stack.cascade("instance", "list", "-f", "json")
    placement = operator.connection.placement
    found = [
        f"server in {name} {server['id']}"
        for name, site in sites.items()
        for server in site.servers()
        if marks & set(server["tags"])
    ]
    found += [
        f"port in {name} {port['id']}"
        for name, site in sites.items()
        for port in site.ports()
        if port["description"] in marks
    ]
    found += [f"port above {port['id']}" for port in operator.ports() if port["device_id"] in gone]
    found += [f"record {uuid}" for uuid in gone if uuid in records]
    found += [f"allocation {uuid}" for uuid in gone if placement.get(f"/allocations/{uuid}").json()["allocations"]]
    for name in sites:
        waiting = asyncio.run(messages(stack, name))
        found += [f"{waiting} messages of {name}"] if waiting else []
    return found
