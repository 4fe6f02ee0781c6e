"""What a site's own people do to a server: what is shown above, and that its tenant still stops, starts, deletes it.

One server for each row, all of them at once: a test waits for the life of its own.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.demo.stack import Stack
from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged

SITE, ZONE = "paris", "az-paris"
STOP, START = ("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")
LONGEST = 240.0  # s of one life beside all others


@dataclass(frozen=True)
class Case:
    """What the vendor does, the site's and our status after it, and what the tenant must do before he can stop it."""

    action: dict[str, Any]
    below: str
    above: str
    before_stop: str = ""


CASES = {
    "stop": Case({"os-stop": None}, "SHUTOFF", "SHUTOFF"),
    "pause": Case({"pause": None}, "PAUSED", "PAUSED", "unpause"),
    "suspend": Case({"suspend": None}, "SUSPENDED", "SUSPENDED", "resume"),
    "rescue": Case({"rescue": {}}, "RESCUE", "ACTIVE"),
    "resize": Case({"resize": {}}, "VERIFY_RESIZE", "ACTIVE"),
    "shelve": Case({"shelve": None}, "SHELVED_OFFLOADED", "SHUTOFF"),
    "rebuild": Case({"rebuild": {"name": "the vendor's"}}, "ACTIVE", "ACTIVE"),
    "lock": Case({"lock": {"locked_reason": "vendor"}}, "ACTIVE", "ACTIVE"),
    "error": Case({"os-resetState": {"state": "error"}}, "ERROR", "ERROR"),
}


class Vendor(User):
    """The site's administrator."""

    def do(self, case: Case, server: dict[str, Any]) -> None:
        """Do what the case says to a server, and wait until it is done."""
        action = dict(case.action)
        if "rebuild" in action:
            action["rebuild"] = {**action["rebuild"], "imageRef": server["image"]["id"]}
        if "resize" in action:
            action["resize"] = {"flavorRef": self._larger(server["flavor"])}
        answer = self.action(server["id"], action)
        assert answer.status_code in (200, 202), answer.text
        eventually(lambda: reached(self, server["id"], case.below), CHANGE, f"{action} does not end in {case.below}")

    def _larger(self, flavor: dict[str, Any]) -> str:
        flavors = self.get("compute", "/flavors/detail", is_public="None")["flavors"]
        fits = [f for f in flavors if f["ram"] > flavor["ram"] and f["disk"] >= flavor["disk"]]
        return str(min(fits, key=lambda f: (f["ram"], f["disk"]))["id"])


@pytest.fixture(scope="module")
def lives(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> Iterator[dict[str, Future[None]]]:
    """The life of one server for each case, under way."""
    vendor = Vendor(stack, SITE)
    with ThreadPoolExecutor(len(CASES)) as pool:
        yield {name: pool.submit(live, tenant, sites[SITE], vendor, name) for name in CASES}


def live(tenant: Tenant, site: User, vendor: Vendor, name: str) -> None:
    """Boot a server, let the vendor change it, and stop, start and delete it as its tenant."""
    case = CASES[name]
    uuid = tenant.boot(f"e2e-vendor-{name}", ZONE)
    try:
        tenant.wait_status(uuid, "ACTIVE")
        (below,) = tagged(site, uuid)
        vendor.do(case, below)
        shown = tenant.wait_status(uuid, case.above, CHANGE)
        assert shown["name"] == f"e2e-vendor-{name}"
        assert case.above != "ERROR" or "ERROR" in shown["fault"]["message"]
        off = case.above == "SHUTOFF"
        if not off:
            act(tenant, uuid, case.before_stop, "ACTIVE")
        for action, status in (START, STOP) if off else (STOP, START):
            act(tenant, uuid, action, status)
            assert tagged(site, uuid)[0]["status"] == status
    finally:
        tenant.delete(uuid)
    assert not tagged(site, uuid)


def act(tenant: Tenant, uuid: str, action: str, status: str) -> None:
    """Ask for an action, if there is one, and wait for its end."""
    if action:
        answer = tenant.action(uuid, {action: None})
        assert answer.status_code == 202, answer.text
        eventually(lambda: reached(tenant, uuid, status), CHANGE, f"{action} does not end in {status}")


def reached(user: User, server_id: str, status: str) -> bool:
    """Whether a server has a status and no task; it may come from an ERROR that was the vendor's."""
    shown = user.server(server_id)
    return bool(shown["status"] == status and shown["OS-EXT-STS:task_state"] is None)


@pytest.mark.parametrize("name", CASES)
def test_the_tenant_stops_starts_and_deletes_what_the_vendor_changed(lives: dict[str, Future[None]], name: str) -> None:
    lives[name].result(LONGEST)


def test_what_the_vendor_deleted_is_not_deleted_above(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> None:
    uuid = tenant.boot("e2e-vendor-delete", ZONE)
    tenant.wait_status(uuid, "ACTIVE")
    (below,) = tagged(sites[SITE], uuid)
    Vendor(stack, SITE).connection.compute.delete(f"/servers/{below['id']}")
    eventually(lambda: not tagged(sites[SITE], uuid), CHANGE, "the vendor's delete does not end")
    assert tenant.action(uuid, {"os-stop": None}).status_code == 202
    shown = tenant.wait_status(uuid, "ACTIVE", CHANGE)
    assert shown["OS-EXT-STS:task_state"] is None, "refused, and not stuck"
    tenant.delete(uuid)
