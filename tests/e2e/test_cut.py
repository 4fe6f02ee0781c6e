"""The link of one site is cut while tenants go on above and the site's own people below: then all of it agrees.

CASCADE_E2E_CUT is the length of the cut in s: 600 with `make chaos-real`, with 100 operations above and 20 servers
changed below; shorter ones have 10 and 4. Without it the story is left to the fakes (tests/chaos).
"""

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.stack import Stack
from tests.bench.link import Link
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged

CUT = float(os.environ.get("CASCADE_E2E_CUT", "0"))  # s
OPERATIONS = 100 if CUT >= 600 else 10
BELOW = 20 if CUT >= 600 else 4

pytestmark = pytest.mark.skipif(not CUT, reason="takes minutes: make chaos-real")
AGREED = 240.0  # s
ACTIONS: tuple[tuple[str, dict[str, Any] | None, str], ...] = (
    ("stop", {"os-stop": None}, "SHUTOFF"),
    ("reboot", {"reboot": {"type": "SOFT"}}, "ACTIVE"),
    ("delete", None, "gone"),
    ("pause", {"pause": None}, "PAUSED"),
)


@pytest.fixture
def link(stack: Stack) -> Iterator[Link]:
    """The agent of paris reaches NATS through a link that can be cut."""
    stack.stop("paris")
    made = Link(stack.middle.nats.url)
    stack.start("paris", {"OS_NATS__SERVERS": made.url})
    stack.wait_online()
    yield made
    stack.stop("paris")
    made.close()
    stack.start("paris")


def test_a_cut_heals(stack: Stack, tenant: Tenant, sites: dict[str, User], link: Link) -> None:
    paris = sites["paris"]
    acted, boots = OPERATIONS * 4 // 5, OPERATIONS // 5
    uuids = booted(tenant, "e2e-cut", acted + BELOW + 1)
    awaited, above, below = uuids[0], uuids[1 : acted + 1], uuids[acted + 1 :]
    links = {uuid: tagged(paris, uuid)[0]["id"] for uuid in uuids}
    try:
        link.cut()
        began = time.monotonic()
        answers: list[int] = []
        late = threading.Thread(target=lambda: answers.append(attach(tenant, awaited)))
        late.start()
        wanted = {uuid: asked(tenant, uuid, number) for number, uuid in enumerate(above)}
        wanted |= {uuid: changed(paris, links[uuid], number) for number, uuid in enumerate(below)}
        new = [tenant.boot(f"e2e-cut-new-{number}", "az-paris") for number in range(boots)]
        wanted |= dict.fromkeys(new, "ACTIVE")
        late.join()
        eventually(lambda: time.monotonic() - began > CUT, CUT + 5, "the cut is over")
        assert all(tenant.server(uuid)["status"] == "ACTIVE" for uuid in below), "a silent site was guessed at"
        link.mend()
        mended = time.monotonic()
        last: list[str] = []
        soon: list[float] = []  # s after which only servers were left that their site lacks

        def agreed() -> bool:
            last[:] = differing(tenant, paris, wanted)
            if not soon and not any(wanted[text.split()[0]] != "ERROR" for text in last):
                soon.append(time.monotonic() - mended)
            return not last

        try:
            eventually(agreed, AGREED, "above and below do not agree")
        except Exception as error:
            error.add_note("; ".join(last))
            raise
        took = time.monotonic() - mended
        print(
            f"\nlink cut for {CUT:.0f} s, {OPERATIONS} operations above, {BELOW} servers changed below: "
            f"agreed {soon[0]:.1f} s after it was mended, and {took:.1f} s with those that count as missing by then"
        )
        reboots = [uuid for number, uuid in enumerate(above) if ACTIONS[number % len(ACTIONS)][0] == "reboot"]
        assert [executed(paris, links[uuid], "reboot") for uuid in reboots] == [1] * len(reboots)
        assert answers == [500] or answers[0] >= 400, answers
        assert executed(paris, links[awaited], "attach_interface") == 0, "an expired verb was carried out"
        assert len(tenant.ports(device_id=awaited)) == 1
    finally:
        link.mend()
        tenant.delete(*uuids, *[uuid for uuid in wanted if uuid not in uuids])


def booted(tenant: Tenant, name: str, number: int) -> list[str]:
    """Boot so many servers in paris and return them once they are ACTIVE."""
    tenant.boot(name, "az-paris", min_count=number)

    def listed() -> list[dict[str, Any]]:
        return [server for server in tenant.servers() if server["name"].startswith(f"{name}-")]

    eventually(lambda: all(s["status"] == "ACTIVE" for s in listed()) and len(listed()) == number, 300, "not ACTIVE")
    return [str(server["id"]) for server in listed()]


def asked(tenant: Tenant, uuid: str, number: int) -> str:
    """Ask for the next of the operations above; return the status it must lead to."""
    _, body, status = ACTIONS[number % len(ACTIONS)]
    answer = tenant.action(uuid, body) if body else tenant.connection.compute.delete(f"/servers/{uuid}")
    assert answer.status_code in (202, 204), answer.text
    return status


def changed(site: User, server_id: str, number: int) -> str:
    """Let the site's operator stop or delete a server; return what its policy shows above."""
    if number % 2:
        assert site.connection.compute.delete(f"/servers/{server_id}").status_code == 204
        return "ERROR"  # missing = fault: never silently deleted above
    assert site.action(server_id, {"os-stop": None}).status_code == 202
    return "SHUTOFF"  # drift = copy


def attach(tenant: Tenant, uuid: str) -> int:
    """Ask for a card, whose caller waits less than the cut lasts; return the HTTP status."""
    body = {"interfaceAttachment": {"net_id": tenant.network2}}
    return int(tenant.connection.compute.post(f"/servers/{uuid}/os-interface", json=body).status_code)


def differing(tenant: Tenant, site: User, wanted: dict[str, str]) -> list[str]:
    """Return each server whose status above, or in the site, is not what it must be."""
    above = {server["id"]: server for server in tenant.servers()}
    found = []
    for uuid, status in wanted.items():
        server = above.get(uuid)
        shown = server["status"] if server else "gone"
        task = server["OS-EXT-STS:task_state"] if server else None
        below = [one["status"] for one in tagged(site, uuid)]
        here = [] if status in ("gone", "ERROR") else [status]
        if (shown, task, below) != (status, None, here):
            found.append(f"{uuid} is {shown}/{task} above and {below} below instead of {status}")
    return found


def executed(site: User, server_id: str, action: str) -> int:
    """Return how often the site's Nova recorded an action of a server."""
    found = site.get("compute", f"/servers/{server_id}/os-instance-actions")["instanceActions"]
    return sum(entry["action"] == action for entry in found)
