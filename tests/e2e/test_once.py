"""Verbs that repeat badly: the agent dies between the site's 202 and its acknowledgement, and the site did it once.

One crash catches all of them: each verb has a server of its own and waits at the failpoint until the last one is there.
CASCADE_E2E_BOOTS says how often: once in CI, 10 times with `make e2e-full`.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.demo.stack import Stack
from deploy.devcloud import process
from proto import failpoints
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged

TIMES = 10 if int(os.environ.get("CASCADE_E2E_BOOTS", "2")) >= 10 else 1
CAUGHT = 60.0  # s until every verb has had its 202
DELIVERED_AGAIN = 150.0  # s until all are ended: 30 s of JetStream's ack wait, then the site's own time


@dataclass(frozen=True, slots=True)
class Repeats:
    """A verb: what the tenant asks for, the site's name for it among instance actions, and the status it ends in."""

    action: dict[str, Any]
    below: str
    status: str = "ACTIVE"


RESIZE = {"resize": {"flavorRef": "2"}}
VERBS = {
    "reboot": Repeats({"reboot": {"type": "SOFT"}}, "reboot"),
    "rebuild": Repeats({"rebuild": {}}, "rebuild"),
    "rescue": Repeats({"rescue": {}}, "rescue", "RESCUE"),
    "resize": Repeats(RESIZE, "resize", "VERIFY_RESIZE"),
    "revert_resize": Repeats({"revertResize": None}, "revertResize"),
    "confirm_resize": Repeats({"confirmResize": None}, "confirmResize"),
    "snapshot": Repeats({"createImage": {"name": "e2e-once"}}, "createImage"),
    "backup": Repeats({"createBackup": {"name": "e2e-once", "backup_type": "daily", "rotation": 1}}, "createImage"),
    "attach_interface": Repeats({}, "attach_interface"),
    "detach_interface": Repeats({}, "detach_interface"),  # the last one, whose server has a card
}
WAITING = ("revert_resize", "confirm_resize")  # need a resize first


@pytest.fixture(scope="module")
def carried_out(stack: Stack, tenant: Tenant, sites: dict[str, User]) -> Iterator[dict[str, list[int]]]:
    """Return for each verb how often the site executed it, crash by crash."""
    counts: dict[str, list[int]] = {verb: [] for verb in VERBS}
    for _ in range(TIMES):
        for verb, count in crash(stack, tenant, sites["paris"]).items():
            counts[verb].append(count)
    print("\n".join(f"{verb}: {sum(found)} for {TIMES} asked" for verb, found in counts.items()))
    yield counts
    for image in tenant.get("image", "/images", name="e2e-once")["images"]:
        tenant.connection.image.delete(f"/images/{image['id']}")


@pytest.mark.parametrize("verb", VERBS)
def test_the_site_did_it_once(carried_out: dict[str, list[int]], verb: str) -> None:
    assert carried_out[verb] == [1] * TIMES


def crash(stack: Stack, tenant: Tenant, site: User) -> dict[str, int]:
    """Return how often the site executed each verb that was asked for once, with the agent killed in between."""
    tenant.boot("e2e-once", "az-paris", min_count=len(VERBS) - 1, networks="none")
    with_card = tenant.boot("e2e-once-card", "az-paris")
    found = tenant.get("compute", "/servers", name="^e2e-once-[0-9]")["servers"]
    servers = dict(zip(VERBS, [*(str(server["id"]) for server in found), with_card], strict=True))
    try:
        for uuid in servers.values():
            tenant.wait_status(uuid, "ACTIVE", 240)
        for verb in WAITING:
            assert tenant.action(servers[verb], RESIZE).status_code == 202
        for verb in WAITING:
            tenant.wait_status(servers[verb], "VERIFY_RESIZE")
        ask_all(stack, tenant, servers)
        return {verb: executed(site, uuid, VERBS[verb].below) for verb, uuid in servers.items()}
    finally:
        tenant.delete(*servers.values())


def ask_all(stack: Stack, tenant: Tenant, servers: dict[str, str]) -> None:
    """Ask for every verb at once, let the agent die when the site has accepted all, and wait until all have ended."""
    stack.stop("paris")
    slots = str(2 * len(VERBS))
    armed = stack.start("paris", {"CASCADE_FAILPOINT": f"{failpoints.ACCEPTED}:{len(VERBS)}", "OS_AGENT__SLOTS": slots})
    stack.wait_online()
    with ThreadPoolExecutor(len(VERBS)) as pool:
        answers = pool.map(lambda verb: ask(tenant, verb, servers[verb]), VERBS)
        eventually(lambda: not process.is_alive(armed), CAUGHT, "the site has not accepted every verb")
        stack.start("paris")
        statuses = dict(zip(VERBS, answers, strict=True))
    assert all(status < 300 for status in statuses.values()), statuses
    for verb, uuid in servers.items():
        tenant.wait_status(uuid, VERBS[verb].status, DELIVERED_AGAIN)
    cards = {"attach_interface": 1, "detach_interface": 0}
    for verb, number in cards.items():
        eventually(lambda: len(tenant.ports(device_id=servers[verb])) == number, DELIVERED_AGAIN, verb)  # noqa: B023
    for uuid in servers.values():
        eventually(lambda: ended(tenant, uuid), DELIVERED_AGAIN, f"an action of {uuid} has not ended")  # noqa: B023


def ask(tenant: Tenant, verb: str, uuid: str) -> int:
    """Ask for one verb and return the HTTP status; an attach answers when the card is in."""
    cards = f"/servers/{uuid}/os-interface"
    if verb == "attach_interface":
        body = {"interfaceAttachment": {"net_id": tenant.network2}}
        return int(tenant.connection.compute.post(cards, json=body).status_code)
    if verb == "detach_interface":
        (port,) = tenant.ports(device_id=uuid)
        return int(tenant.connection.compute.delete(f"{cards}/{port['id']}").status_code)
    action = {"rebuild": {"imageRef": tenant.image}} if verb == "rebuild" else VERBS[verb].action
    return int(tenant.action(uuid, action).status_code)


def ended(tenant: Tenant, uuid: str) -> bool:
    """Return whether the newest action above has its last word, and it is a good one."""
    newest = tenant.get("compute", f"/servers/{uuid}/os-instance-actions")["instanceActions"][0]
    path = f"/servers/{uuid}/os-instance-actions/{newest['request_id']}"
    events = tenant.get("compute", path)["instanceAction"].get("events", [])
    assert all(event["result"] != "Error" for event in events), events
    return bool(events) and all(event["result"] == "Success" for event in events)


def executed(site: User, uuid: str, action: str) -> int:
    """Return how often the site's Nova recorded the action on the instance's server."""
    (server,) = tagged(site, uuid)
    actions = site.get("compute", f"/servers/{server['id']}/os-instance-actions")["instanceActions"]
    return Counter(entry["action"] for entry in actions)[action]
