"""Images down and up on real clouds: resumed where they stopped, one transfer for all, and snapshots that travel."""

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.demo.stack import Stack
from deploy.devcloud import process
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged

MIB = 1024**2
SIZE = int(os.environ.get("CASCADE_E2E_IMAGE_MIB", "32")) * MIB
CUT = 4.0  # s


def test_a_cut_link_and_a_killed_agent_cost_a_few_chunks(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> None:
    content = os.urandom(SIZE)
    image = make_image(tenant, "e2e-resumed", content)
    stack.cascade("site", "set", "paris", "--image-rate", "1")  # a status tells of it within 10 s
    try:
        uuid = tenant.boot("e2e-resumed", "az-paris", imageRef=image)
        wait_percent(stack, image, 5)
        stack.middle.down(("nats",))
        time.sleep(CUT)
        stack.middle.up(("nats",))
        wait_percent(stack, image, 30)
        kill(stack, "paris")
        stack.start("paris")
        tenant.wait_status(uuid, "ACTIVE")
    finally:
        stack.cascade("site", "set", "paris", "--image-rate", "0")
    [held] = carried(sites["paris"], image)
    assert held["os_hash_value"] == hashlib.sha512(content).hexdigest()
    log = stack.log("paris").read_text()
    starts = [int(start) for start in re.findall(rf"image {image} .* from byte (\d+) on", log)]
    print(f"begun at byte {starts}")
    assert starts[0] == 0 and starts[-1] > 0.25 * SIZE
    tenant.delete(uuid)
    remove_image(tenant, image)


def test_boots_at_once_share_one_transfer(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> None:
    image = make_image(tenant, "e2e-shared", os.urandom(8 * MIB))
    uuids = [tenant.boot(f"e2e-shared-{n}", zone, imageRef=image) for n in range(4) for zone in ("az-paris", "az-oslo")]
    for uuid in uuids:
        tenant.wait_status(uuid, "ACTIVE")
    for name, site in sites.items():
        assert len(carried(site, image)) == 1
        log = stack.log(name).read_text()
        assert len(re.findall(rf"carrying image {image} ", log)) == 1
    shown = {row["site"]: row for row in image_list(stack) if row["image"] == image}
    assert {site: row["state"] for site, row in shown.items()} == {"paris": "carried", "oslo": "carried"}
    tenant.delete(*uuids)
    remove_image(tenant, image)


def test_an_image_deleted_during_its_transfer_ends_the_boot_and_leaves_nothing(
    stack: Stack, tenant: Tenant, sites: dict[str, User]
) -> None:
    image = make_image(tenant, "e2e-deleted", os.urandom(16 * MIB))
    stack.cascade("site", "set", "oslo", "--image-rate", "1")
    try:
        uuid = tenant.boot("e2e-deleted", "az-oslo", imageRef=image)
        wait_percent(stack, image, 5)
        remove_image(tenant, image)
        server = tenant.wait_status(uuid, "ERROR")
    finally:
        stack.cascade("site", "set", "oslo", "--image-rate", "0")
    assert "deleted above" in server["fault"]["message"]
    check_nothing_left(stack, sites["oslo"], image, uuid)
    tenant.delete(uuid)


def test_an_image_that_is_not_what_its_hash_says_never_reaches_a_site(
    stack: Stack, tenant: Tenant, sites: dict[str, User]
) -> None:
    image = make_image(tenant, "e2e-tampered", os.urandom(2 * MIB))
    with (stack.state / "clouds" / "top" / "data" / "glance" / "file" / image).open("r+b") as stored:
        stored.write(b"somebody changed it")
    uuid = tenant.boot("e2e-tampered", "az-oslo", imageRef=image)
    fault = tenant.wait_status(uuid, "ERROR")["fault"]["message"]
    print(fault)
    assert image in fault and "another hash" in fault
    check_nothing_left(stack, sites["oslo"], image, uuid)
    tenant.delete(uuid)
    remove_image(tenant, image)


def test_a_full_glance_refuses_in_its_own_words(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> None:
    image = make_image(tenant, "e2e-too-much", os.urandom(3 * MIB))
    with full_glance(stack, "oslo"):
        uuid = tenant.boot("e2e-too-much", "az-oslo", imageRef=image)
        fault = tenant.wait_status(uuid, "ERROR")["fault"]["message"]
    print(fault)
    assert "uota" in fault or "too large" in fault.lower()
    check_nothing_left(stack, sites["oslo"], image, uuid)
    tenant.delete(uuid)
    remove_image(tenant, image)


@contextmanager
def full_glance(stack: Stack, site: str) -> Iterator[None]:
    """Let the site's Glance take no more than 1 MiB of a user."""
    (conf,) = (stack.state / "clouds" / site / "etc").rglob("glance-api.conf")
    before = conf.read_text()
    conf.write_text(before.replace("[DEFAULT]", "[DEFAULT]\nuser_storage_quota = 1MB", 1))
    stack.devcloud("restart", site, "glance")
    try:
        yield
    finally:
        conf.write_text(before)
        stack.devcloud("restart", site, "glance")


def check_nothing_left(stack: Stack, site: User, image: str, uuid: str) -> None:
    """Neither image nor server nor a part of a file is left in a site."""
    assert carried(site, image) == [] and tagged(site, uuid) == []
    assert list(stack.directory.glob("spool-oslo/*.part")) == []


def make_image(tenant: Tenant, name: str, content: bytes, **fields: Any) -> str:
    """Upload an image above as the tenant and return its id."""
    body = {"name": name, "disk_format": "raw", "container_format": "bare", **fields}
    answer = tenant.connection.image.post("/images", json=body)
    assert answer.status_code == 201, answer.text
    image = str(answer.json()["id"])
    headers = {"Content-Type": "application/octet-stream"}
    answer = tenant.connection.image.put(f"/images/{image}/file", data=content, headers=headers)
    assert answer.status_code == 204, answer.text
    return image


def remove_image(tenant: Tenant, image: str) -> None:
    """Delete an image above."""
    assert tenant.connection.image.delete(f"/images/{image}").status_code == 204


def carried(site: User, image: str) -> list[dict[str, Any]]:
    """Return a site's images that stand for one above."""
    found: list[dict[str, Any]] = site.get("image", "/images", cascade_image_id=image)["images"]
    return found


def image_list(stack: Stack) -> list[dict[str, Any]]:
    """Return what `cascade image list` shows."""
    rows: list[dict[str, Any]] = json.loads(stack.cascade("image", "list", "-f", "json"))
    return rows


def wait_percent(stack: Stack, image: str, percent: int) -> None:
    """Return when `cascade image list` shows an image that far on its way."""

    def far_enough() -> bool:
        rows = [row for row in image_list(stack) if row["image"] == image]
        assert not any(row["state"] == "carried" for row in rows), f"it arrived before {percent} % were seen"
        return any(row["percent"] >= percent for row in rows)

    eventually(far_enough, 120, f"{image} is not seen at {percent} %")


def kill(stack: Stack, name: str) -> None:
    """Kill a daemon without a last word."""
    running = process.find(stack.pid_file(name))
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: not process.is_alive(running), 10, f"{name} does not die")


def test_a_snapshot_taken_in_one_site_boots_in_the_other(
    stack: Stack, tenant: Tenant, sites: dict[str, User], operator: User
) -> None:
    uuid = tenant.boot("e2e-snapshot", "az-paris")
    tenant.wait_status(uuid, "ACTIVE")
    first = wait_active(tenant, take(tenant, uuid, "e2e-snapshot-active"))
    tenant.action(uuid, {"os-stop": None})
    tenant.wait_status(uuid, "SHUTOFF")
    second = wait_active(tenant, take(tenant, uuid, "e2e-snapshot-stopped"))
    assert tenant.wait_status(uuid, "SHUTOFF", 10)["OS-EXT-STS:task_state"] is None
    for image in (first, second):
        [below] = carried(sites["paris"], image["id"])
        assert (image["owner"], image["visibility"]) == (tenant.connection.current_project_id, "private")
        assert (image["disk_format"], image["container_format"]) == ("raw", "bare")
        assert (image["image_type"], image["instance_uuid"], image["base_image_ref"]) == (
            "snapshot",
            uuid,
            tenant.image,
        )
        assert (image["os_hash_value"], image["size"]) == (below["os_hash_value"], below["size"])
    boots = [tenant.boot(f"e2e-of-snapshot-{site}", f"az-{site}", imageRef=first["id"]) for site in sites]
    for boot in boots:
        tenant.wait_status(boot, "ACTIVE")
    assert len(carried(sites["oslo"], first["id"])) == len(carried(sites["paris"], first["id"])) == 1
    assert f"carrying image {first['id']}" not in stack.log("paris").read_text()
    tenant.delete(uuid, *boots)
    for image in (first, second):
        remove_image(tenant, image["id"])


def test_a_snapshot_whose_image_is_deleted_leaves_nothing(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> None:
    uuid = tenant.boot("e2e-snapshot-lost", "az-oslo")
    tenant.wait_status(uuid, "ACTIVE")
    stack.stop("oslo")
    image = take(tenant, uuid, "e2e-snapshot-lost")
    remove_image(tenant, image)
    stack.start("oslo")
    tenant.wait_status(uuid, "ACTIVE")
    eventually(lambda: not carried(sites["oslo"], image), 30, "the site keeps the snapshot")
    tenant.delete(uuid)


def take(tenant: Tenant, uuid: str, name: str) -> str:
    """Ask for a snapshot and return its image above; does not wait."""
    answer = tenant.action(uuid, {"createImage": {"name": name}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["image_id"])


def wait_active(tenant: Tenant, image: str) -> dict[str, Any]:
    """Return an image above once it has its content and its server no task."""
    shown: dict[str, Any] = {}

    def active() -> bool:
        shown.update(tenant.get("image", f"/images/{image}"))
        return bool(shown["status"] == "active")

    eventually(active, 60, f"{image} is not active")
    tenant.wait_status(shown["instance_uuid"], tenant.server(shown["instance_uuid"])["status"], 30)
    return shown
