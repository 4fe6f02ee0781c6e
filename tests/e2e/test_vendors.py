"""A site of an older release whose agent is no admin: flavors matched, capacity of the quota, the same life of a VM."""

import json
import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.demo import steps
from deploy.demo.stack import ONLINE, REPOSITORY, Stack, run, wait
from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged

SITE, ZONE = "zurich", "az-zurich"


@pytest.fixture(scope="module")
def zurich(stack: Stack) -> Iterator[User]:
    """Zed (Nova 26), its agent a plain member, enrolled beside the others; the cloud as that agent sees it."""
    stack.devcloud("up", SITE, "--release", "zed", "--agent-role", "member")
    stack.write_agent_configuration(SITE)
    if SITE not in stack.sites():
        steps.add_site(stack, SITE, ZONE)
    stack.start(SITE)
    stack.wait_online()
    stack.wait_enabled(SITE)
    user = User(stack, f"{SITE}-agent")
    user.connection.compute.default_microversion = "2.93"
    yield user
    wait(lambda: not records(stack), ONLINE, f"{SITE} still has instances")
    stack.stop(SITE)
    stack.cascade("site", "remove", SITE)
    if not os.environ.get("CASCADE_E2E_KEEP"):
        stack.devcloud("down", SITE)


@pytest.fixture(scope="module")
def server(tenant: Tenant, zurich: User) -> Iterator[dict[str, Any]]:
    """A VM of the tenant's in that site."""
    uuid = tenant.boot("e2e-zurich", ZONE, metadata={"purpose": "e2e"}, config_drive=True)
    yield tenant.wait_status(uuid, "ACTIVE")
    tenant.delete(uuid)


def check(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return what `cascade-agent check` prints, by ability; it must not say that the agent cannot serve the site."""
    program = Path(sysconfig.get_path("scripts")) / "cascade-agent"
    command = [str(program), "check", "--config-file", str(stack.agent_conf(SITE)), "-f", "json"]
    return {row["ability"]: row for row in json.loads(run(command, stack.environment()))}


def large(tenant: Tenant) -> str:
    """Return the id of a flavor that has no equal in the site."""
    return next(
        str(flavor["id"]) for flavor in tenant.get("compute", "/flavors")["flavors"] if flavor["name"] == "m1.large"
    )


def records(stack: Stack) -> list[dict[str, Any]]:
    """Return what the bridge keeps of the site's instances."""
    found: list[dict[str, Any]] = json.loads(stack.cascade("instance", "list", "--site", SITE, "-f", "json"))
    return found


def test_the_site_has_the_same_server(tenant: Tenant, operator: User, zurich: User, server: dict[str, Any]) -> None:
    (below,) = tagged(zurich, server["id"])
    assert below["name"] == server["name"] and below["status"] == "ACTIVE" and below["metadata"] == {"purpose": "e2e"}
    assert below["flavor"]["original_name"] == "vendor.m1.tiny", "the agent may make no flavor: it finds an equal one"
    above = {(p["mac_address"], p["fixed_ips"][0]["ip_address"]) for p in tenant.ports(device_id=server["id"])}
    assert above == {(p["mac_address"], p["fixed_ips"][0]["ip_address"]) for p in zurich.ports(device_id=below["id"])}
    assert operator.server(server["id"])["OS-EXT-SRV-ATTR:host"] == SITE


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ({"os-stop": None}, "SHUTOFF"),
        ({"os-start": None}, "ACTIVE"),
        ({"reboot": {"type": "SOFT"}}, "ACTIVE"),
        ({"reboot": {"type": "HARD"}}, "ACTIVE"),
    ],
)
def test_power(tenant: Tenant, zurich: User, server: dict[str, Any], action: dict[str, Any], status: str) -> None:
    answer = tenant.action(server["id"], action)
    assert answer.status_code == 202, answer.text
    tenant.wait_status(server["id"], status, CHANGE)
    (below,) = tagged(zurich, server["id"])
    assert below["status"] == status


def test_console(tenant: Tenant, zurich: User, server: dict[str, Any]) -> None:
    (below,) = tagged(zurich, server["id"])
    answer = tenant.action(server["id"], {"os-getConsoleOutput": {}})
    assert answer.status_code == 200 and below["id"] in answer.json()["output"]


def test_a_flavor_without_an_equal_there_is_refused_naming_the_field(tenant: Tenant, zurich: User) -> None:
    uuid = tenant.boot("e2e-zurich-large", ZONE, flavorRef=large(tenant))
    shown = tenant.wait_status(uuid, "ERROR")
    assert "differs" in shown["fault"]["message"] and "wanted 4" in shown["fault"]["message"]
    tenant.delete(uuid)


def test_check_tells_what_is_degraded_and_leaves_nothing(stack: Stack, zurich: User, server: dict[str, Any]) -> None:
    found = check(stack)
    assert {ability for ability, row in found.items() if row["result"] == "degraded"} == {
        "flavors", "capacity", "extensions",
    }  # fmt: skip
    assert found["server actions"]["result"] == "works", "one of ours is there to look at"
    assert "os_compute_api:os-flavor-manage:create" in found["flavors"]["mend"]
    assert "placement:resource_providers:list" in found["capacity"]["mend"]
    assert not zurich.get("network", "/networks", description="cascade-check")["networks"]
    assert not zurich.get("image", "/images", name="cascade-check")["images"]
    assert not zurich.get("compute", "/os-keypairs")["keypairs"]


def test_what_is_degraded_is_shown(stack: Stack, zurich: User) -> None:
    shown = json.loads(stack.cascade("site", "show", SITE, "-f", "json"))
    assert shown["state"] == "online" and shown["versions"]["nova"] == "2.93"
    assert shown["vcpus"] == 16 and shown["memory_mb"] == 32768
    assert any("quota" in line for line in shown["degraded"])


def test_a_delete_leaves_nothing(stack: Stack, tenant: Tenant, operator: User, zurich: User) -> None:
    uuid = tenant.boot("e2e-zurich-gone", ZONE)
    tenant.wait_status(uuid, "ACTIVE")
    (below,) = tagged(zurich, uuid)
    tenant.delete(uuid)
    assert not tagged(zurich, uuid) and not zurich.ports(device_id=below["id"])
    assert not operator.ports(device_id=uuid)
    assert not operator.connection.placement.get(f"/allocations/{uuid}").json()["allocations"]
    eventually(lambda: uuid not in {row["uuid"] for row in records(stack)}, 60, "a record remains")


@pytest.fixture
def role(stack: Stack, zurich: User) -> Iterator[None]:
    """The agent has the role of deploy/examples/agent-role, and the site's policies know it."""
    etc, examples = stack.state / "clouds" / SITE / "etc", REPOSITORY / "deploy" / "examples" / "agent-role"
    copies = {examples / f"{name}-policy.yaml": etc / name / "policy.yaml" for name in ("nova", "placement")}
    for example, policy in copies.items():
        shutil.copy(example, policy)
    stack.client(SITE, "role", "create", "cascade_agent")
    stack.client(SITE, "role", "add", "--user", "cascade-agent", "--project", "cascade", "cascade_agent")
    stack.devcloud("restart", SITE, "placement")
    yield
    stack.client(SITE, "role", "delete", "cascade_agent")
    for policy in copies.values():
        policy.write_text("")  # Nova reads it again, and answers 500 if it is gone


def test_the_example_policy_is_enough_for_flavors_and_capacity(
    stack: Stack, tenant: Tenant, zurich: User, role: None
) -> None:
    found = check(stack)
    assert found["flavors"]["result"] == "works" and found["capacity"]["result"] == "works", found
    stack.stop(SITE)
    stack.start(SITE)  # with a token that has the role
    uuid = tenant.boot("e2e-zurich-large", ZONE, flavorRef=large(tenant))
    tenant.wait_status(uuid, "ACTIVE")
    (below,) = tagged(zurich, uuid)
    assert below["flavor"]["original_name"].startswith("cascade-3-v")
    tenant.delete(uuid)
