"""Two bridges share the sites: one each; one that is paused past its lease, or killed, loses and doubles nothing.

The full size (CASCADE_E2E_BOOTS=10) also boots while a bridge is paused that may still hold the message from RabbitMQ.
"""

import json
import os
import signal
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.demo.stack import REPOSITORY, SITES, Stack
from deploy.devcloud import process
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.test_crashes import check_exactly_one_each

FULL = int(os.environ.get("CASCADE_E2E_BOOTS", "2")) >= 10
BOOTS = 5 if FULL else 2
SECOND = "bridge-2"
SPREAD = 60.0  # s
TAKEN_OVER = 40.0  # s; the lease is 15 s
AFTER_WAKING = 3.0  # s in which a bridge that wakes could do harm


class Bridges:
    """The stack's own bridge and a second one beside it, by the names they announce."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def start_second(self) -> None:
        """Start it, unless it runs."""
        script = Path(sysconfig.get_path("scripts")) / "cascade-bridge"
        command = [str(script), "--config-file", str(self._stack.bridge_conf)]
        environment = self._stack.environment({"OS_BRIDGE__ID": SECOND})
        pid_file = self._stack.pid_file(SECOND)
        if process.find(pid_file) is None:
            process.start(command, pid_file, self._stack.log(SECOND), environment, REPOSITORY)

    def sites(self) -> dict[str, str]:
        """Return the owner of each site that has one."""
        rows = json.loads(self._stack.cascade("bridge", "list", "-f", "json"))
        return {site: row["name"] for row in rows for site in row["site_names"]}

    def spread(self) -> bool:
        """Whether each of the two works for one site."""
        owners = self.sites()
        return len(owners) == len(set(owners.values())) == len(SITES)

    def pid(self, name: str) -> int:
        """Return the process of a bridge."""
        found = process.find(self._stack.pid_file(SECOND if name == SECOND else "bridge"))
        assert found is not None, f"{name} does not run"
        return found.pid


@pytest.fixture
def bridges(stack: Stack) -> Iterator[Bridges]:
    stack.wait_online()
    found = Bridges(stack)
    found.start_second()
    yield found
    stack.stop(SECOND)


def timed(condition: Callable[[], bool], timeout: float, complaint: str) -> float:
    """Return how many s it took until the condition held."""
    began = time.monotonic()
    eventually(condition, timeout, complaint)
    return time.monotonic() - began


def test_sites_are_spread_and_a_paused_or_killed_bridge_is_replaced(
    stack: Stack, tenant: Tenant, sites: dict[str, User], bridges: Bridges
) -> None:
    spread = timed(bridges.spread, SPREAD, "the sites are not spread")
    print(f"one site each {spread:.0f} s after the second bridge was started")

    owner, uuids = bridges.sites()["paris"], boots(tenant, "paused")
    time.sleep(1.0)  # some are with the site, some not yet
    os.kill(bridges.pid(owner), signal.SIGSTOP)
    try:
        taken = timed(lambda: bridges.sites().get("paris") not in (None, owner), TAKEN_OVER, "paris is not taken over")
        print(f"SIGSTOP: taken over after {taken:.1f} s")
        if FULL:
            began = time.monotonic()
            late = boots(tenant, "while-paused")
            for uuid in late:
                tenant.wait_status(uuid, "ACTIVE")
            print(f"SIGSTOP: {len(late)} boots asked for after that ACTIVE after {time.monotonic() - began:.1f} s")
            uuids += late
    finally:
        os.kill(bridges.pid(owner), signal.SIGCONT)
    time.sleep(AFTER_WAKING)
    check_exactly_one_each(tenant, sites, uuids)
    for uuid in uuids:
        tenant.connection.compute.delete(f"/servers/{uuid}")

    eventually(lambda: "paris" in bridges.sites(), TAKEN_OVER, "nobody works for paris")
    owner, more = bridges.sites()["paris"], boots(tenant, "killed")
    time.sleep(1.0)
    os.kill(bridges.pid(owner), signal.SIGKILL)
    taken = timed(lambda: bridges.sites().get("paris") not in (None, owner), TAKEN_OVER, "paris is not taken over")
    print(f"kill -9: taken over after {taken:.1f} s")
    check_exactly_one_each(tenant, sites, more)
    tenant.delete(*more)
    tenant.wait_gone(*uuids)


def boots(tenant: Tenant, name: str) -> list[str]:
    """Ask for some servers in paris."""
    return [tenant.boot(f"e2e-{name}-{number}", "az-paris") for number in range(BOOTS)]
