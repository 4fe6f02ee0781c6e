"""Processes killed at exact moments and servers stopped for a while: always one server per instance, all ACTIVE.

CASCADE_E2E_BOOTS says how many boots each moment gets: 1 in CI, 10 with `make e2e-full`, which also stops for longer.
"""

import os
import time
from collections.abc import Callable

import pytest

from deploy.demo.stack import SITES, Stack
from deploy.devcloud import process
from proto import failpoints
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged

BOOTS = int(os.environ.get("CASCADE_E2E_BOOTS", "1"))
OUTAGE = 10.0 if BOOTS == 1 else 30.0  # s

MOMENTS = [
    ("bridge", failpoints.RECEIVED),
    ("bridge", failpoints.STORED),
    ("bridge", failpoints.OBSERVED),
    ("bridge", failpoints.SETTLED),
    ("paris", failpoints.CREATED),
]


@pytest.mark.parametrize(("victim", "moment"), MOMENTS, ids=[moment for _, moment in MOMENTS])
def test_kill_minus_nine(stack: Stack, tenant: Tenant, sites: dict[str, User], victim: str, moment: str) -> None:
    uuids = []
    for number in range(BOOTS):
        stack.stop(victim)
        armed = stack.start(victim, {"CASCADE_FAILPOINT": moment})
        if victim != "bridge":
            stack.wait_online()
        uuids.append(tenant.boot(f"e2e-{moment}-{number}", "az-paris"))
        eventually(lambda: not process.is_alive(armed), 90, f"{victim} did not reach {moment}")  # noqa: B023
        stack.start(victim)
        tenant.wait_status(uuids[-1], "ACTIVE", 240)  # else the next armed process dies of this one's redelivery
    check_exactly_one_each(tenant, sites, uuids)
    tenant.delete(*uuids)


@pytest.mark.parametrize("server", ["nats", "etcd"])
def test_server_stopped_for_a_while(stack: Stack, tenant: Tenant, sites: dict[str, User], server: str) -> None:
    stack.wait_online()
    before = [tenant.boot(f"e2e-{server}-before-{number}", f"az-{site}") for number, site in enumerate(SITES)]
    stack.middle.down((server,))
    began = time.monotonic()
    during = [tenant.boot(f"e2e-{server}-during-{number}", f"az-{site}") for number, site in enumerate(SITES)]
    eventually(lambda: time.monotonic() - began > OUTAGE, OUTAGE + 5, "the outage is over")
    stack.middle.up((server,))
    check_exactly_one_each(tenant, sites, before + during)
    tenant.delete(*before, *during)


def test_lists_answer_while_everything_else_is_stopped(stack: Stack, tenant: Tenant) -> None:
    uuid = tenant.boot("e2e-list", "az-oslo")
    tenant.wait_status(uuid, "ACTIVE")
    running = fastest(lambda: tenant.servers())
    stack.stop("bridge", *SITES)
    stack.middle.down()
    try:
        stopped = fastest(lambda: tenant.servers())
        (shown,) = [server for server in tenant.servers() if server["id"] == uuid]
    finally:
        stack.middle.up()
        for name in ("bridge", *SITES):
            stack.start(name)
    print(f"server list: {running * 1000:.0f} ms with everything running, {stopped * 1000:.0f} ms with it stopped")
    assert shown["status"] == "ACTIVE" and shown["addresses"]
    stack.wait_online()
    tenant.delete(uuid)


def fastest(call: Callable[[], object]) -> float:
    """Return the shortest of five durations, s."""
    durations = []
    for _ in range(5):
        began = time.monotonic()
        call()
        durations.append(time.monotonic() - began)
    return min(durations)


def check_exactly_one_each(tenant: Tenant, sites: dict[str, User], uuids: list[str]) -> None:
    """Every instance is ACTIVE above and has exactly one server below, and no port is left over."""
    for uuid in uuids:
        tenant.wait_status(uuid, "ACTIVE", 240)
        found = [server for site in sites.values() for server in tagged(site, uuid)]
        assert len(found) == 1, f"{len(found)} servers for {uuid}"
        assert found[0]["status"] == "ACTIVE"
        ports = [port for site in sites.values() for port in site.ports(description=f"cascade:{uuid}")]
        assert len(ports) == 1, f"{len(ports)} ports in the sites for {uuid}"
