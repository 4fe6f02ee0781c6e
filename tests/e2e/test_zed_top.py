"""A cascading cloud of an older release, Zed (Nova 26), above a site of the newest: the life of a VM.

Clouds, NATS, etcd and bridge are of its own, so the other tests' stack is left alone; it ends with these tests.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.demo import steps
from deploy.demo.stack import ONLINE, Stack, wait
from deploy.embedded.middle import Middle
from tests.e2e.clouds import CHANGE, Tenant, User, act, eventually, held
from tests.e2e.conftest import tagged

TOP, SITE, ZONE = "bergen", "turku", "az-turku"
NEWEST = "2.93"  # microversion of Nova 26
SMALL = "2"  # m1.small


class ZedStack(Stack):
    """A second stack in the state directory of the first."""

    @property
    def directory(self) -> Path:
        """Where its own files are."""
        return self.state / "zed-top"

    @property
    def middle(self) -> Middle:
        """NATS and etcd of its own."""
        return Middle(self.directory / "middle")


@pytest.fixture(scope="module")
def stack() -> Iterator[ZedStack]:
    """A Zed cloud above one site, in place of the stack of the other tests."""
    running = ZedStack(Stack.default().state, TOP)
    running.devcloud("up", TOP, "--release", "zed", "--role", "cascading")
    running.devcloud("up", SITE)
    running.middle.up()
    running.write_bridge_configuration()
    running.write_agent_configuration(SITE)
    running.start("bridge")
    if SITE not in running.sites():
        steps.add_site(running, SITE, ZONE)
    running.start(SITE)
    running.wait_online()
    running.wait_enabled(SITE)
    yield running
    if not os.environ.get("CASCADE_E2E_KEEP"):
        running.stop(SITE, "bridge")
        running.middle.down()
        running.devcloud("down", TOP, SITE)
        running.forget_all()


@pytest.fixture
def everything_runs() -> None:
    """Nothing is killed here."""


@pytest.fixture(scope="module")
def tenant(stack: ZedStack) -> Tenant:
    """An ordinary tenant of the Zed cloud."""
    return Tenant(stack, NEWEST)


@pytest.fixture(scope="module")
def operator(stack: ZedStack) -> User:
    """The Zed cloud's admin."""
    return User(stack, TOP, NEWEST)


@pytest.fixture(scope="module")
def site(stack: ZedStack) -> User:
    """The site as its agent sees it."""
    return User(stack, f"{SITE}-agent")


@pytest.fixture(scope="module")
def server(tenant: Tenant) -> Iterator[str]:
    """A VM of the tenant's; the last test deletes it."""
    uuid = tenant.boot("e2e-zed", ZONE, metadata={"purpose": "e2e"})
    tenant.wait_status(uuid, "ACTIVE")
    yield uuid
    tenant.delete(uuid)


def cards(user: User, server_id: str) -> set[tuple[str, str]]:
    """Return MAC and address of each card of a server."""
    return {(port["mac_address"], port["fixed_ips"][0]["ip_address"]) for port in user.ports(device_id=server_id)}


def test_the_host_above_is_what_a_zed_cloud_expects(stack: ZedStack, operator: User) -> None:
    services = {row["binary"]: row for row in operator.get("compute", "/os-services")["services"]}
    assert services["nova-compute"]["state"] == "up" and services["nova-compute"]["host"] == SITE
    findings = json.loads(stack.cascade("check", "-f", "json"))
    assert not [row for row in findings if row["result"] == "wrong"], findings


def test_a_console(tenant: Tenant, site: User, server: str) -> None:
    answer = tenant.action(server, {"os-getConsoleOutput": {}})
    assert answer.status_code == 200 and tagged(site, server)[0]["id"] in answer.json()["output"]


def test_the_site_has_the_same_server(tenant: Tenant, operator: User, site: User, server: str) -> None:
    (below,) = tagged(site, server)
    assert below["status"] == "ACTIVE" and below["metadata"] == {"purpose": "e2e"}
    assert cards(tenant, server) == cards(site, below["id"]) and len(cards(tenant, server)) == 1
    shown = operator.server(server)
    assert shown["OS-EXT-SRV-ATTR:host"] == SITE and shown["OS-EXT-STS:power_state"] == 1
    assert held(operator, server) == {"VCPU": 1, "MEMORY_MB": shown["flavor"]["ram"], "DISK_GB": 1}


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ({"os-stop": None}, "SHUTOFF"),
        ({"os-start": None}, "ACTIVE"),
        ({"reboot": {"type": "HARD"}}, "ACTIVE"),
        ({"pause": None}, "PAUSED"),
        ({"unpause": None}, "ACTIVE"),
    ],
)
def test_power(tenant: Tenant, site: User, server: str, action: dict[str, Any], status: str) -> None:
    act(tenant, server, action, status)
    assert tagged(site, server)[0]["status"] == status


def test_resize(tenant: Tenant, operator: User, site: User, server: str) -> None:
    act(tenant, server, {"resize": {"flavorRef": SMALL}}, "VERIFY_RESIZE")
    shown = act(tenant, server, {"confirmResize": None}, "ACTIVE")
    assert shown["flavor"]["original_name"] == "m1.small"
    assert tagged(site, server)[0]["flavor"]["ram"] == shown["flavor"]["ram"] == held(operator, server)["MEMORY_MB"]
    migrations = operator.get("compute", "/os-migrations", instance_uuid=server)["migrations"]
    assert not [m["uuid"] for m in migrations if held(operator, m["uuid"])]


def test_rebuild(tenant: Tenant, site: User, server: str) -> None:
    act(tenant, server, {"rebuild": {"imageRef": tenant.image, "name": "e2e-rebuilt"}}, "ACTIVE")
    assert tagged(site, server)[0]["name"] == "e2e-rebuilt"


def test_snapshot(tenant: Tenant, server: str) -> None:
    answer = tenant.action(server, {"createImage": {"name": "e2e-zed-image"}})
    assert answer.status_code == 202, answer.text
    image = answer.json()["image_id"]
    eventually(lambda: tenant.get("image", f"/images/{image}")["status"] == "active", CHANGE, "no snapshot above")
    tenant.wait_status(server, "ACTIVE", CHANGE)
    tenant.connection.image.delete(f"/images/{image}")


def test_a_card_is_attached_and_detached(tenant: Tenant, site: User, server: str) -> None:
    (below,) = tagged(site, server)
    body = {"interfaceAttachment": {"net_id": tenant.network2}}
    answer = tenant.connection.compute.post(f"/servers/{server}/os-interface", json=body)
    assert answer.status_code == 200, answer.text
    assert cards(tenant, server) == cards(site, below["id"]) and len(cards(tenant, server)) == 2
    port = answer.json()["interfaceAttachment"]["port_id"]
    answer = tenant.connection.compute.delete(f"/servers/{server}/os-interface/{port}")
    assert answer.status_code == 202, answer.text
    eventually(lambda: len(cards(tenant, server)) == 1, CHANGE, "the card stays above")
    assert cards(tenant, server) == cards(site, below["id"])


def test_actions_are_recorded_as_nova_does(tenant: Tenant, operator: User, server: str) -> None:
    actions = operator.get("compute", f"/servers/{server}/os-instance-actions")["instanceActions"]
    for action in actions:
        path = f"/servers/{server}/os-instance-actions/{action['request_id']}"
        shown = operator.get("compute", path)["instanceAction"]
        assert [event for event in shown["events"] if event["result"] == "Success"], shown


def test_a_delete_leaves_nothing(stack: ZedStack, tenant: Tenant, operator: User, site: User, server: str) -> None:
    (below,) = tagged(site, server)
    tenant.delete(server)
    assert not tagged(site, server) and not site.ports(device_id=below["id"])
    assert not operator.ports(device_id=server) and not held(operator, server)
    known = ("instance", "list", "--site", SITE, "-f", "json")
    wait(lambda: not json.loads(stack.cascade(*known)), ONLINE, "a record remains")
