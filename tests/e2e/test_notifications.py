"""What billing and DNS services hear of a server above beside what the site's own nova-compute says of the same one."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import kombu
import pytest

from deploy.demo.stack import Stack
from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged

SITE = "paris"
OPTIONS = """
[DEFAULT]
instance_usage_audit = true

[notifications]
notification_format = both

[oslo_messaging_notifications]
driver = messagingv2
"""
QUEUES = ("notifications.info", "notifications.error", "versioned_notifications.info", "versioned_notifications.error")
SAID = re.compile(r"oslo\.messaging\.notification\.\S+ \[.*?\] (\{.*\})$")
LIFE = [  # in the order in which both say it
    "create.start", "create.end", "power_off.start", "power_off.end", "power_on.start", "power_on.end",
    "reboot.start", "reboot.end", "pause.start", "pause.end", "unpause.start", "unpause.end",
    "delete.start", "shutdown.start", "shutdown.end", "delete.end",
]  # fmt: skip


class Listener:
    """Reads the queues as Ceilometer's agent does; everything that came is kept."""

    def __init__(self, url: str) -> None:
        self._connection = kombu.Connection(url.replace("rabbit://", "amqp://"))
        self._channel = self._connection.channel()
        self.came: list[dict[str, Any]] = []
        for name in QUEUES:
            exchange = kombu.Exchange("nova", "topic", durable=False)
            kombu.Queue(name, exchange, name, channel=self._channel, durable=False, auto_delete=False).declare()

    def of(self, uuid: str) -> list[dict[str, Any]]:
        """Return what was said of an instance so far."""
        for name in QUEUES:
            while (message := self._channel.basic_get(name, no_ack=True)) is not None:
                self.came.append(json.loads(json.loads(message.body)["oslo.message"]))
        return [item for item in self.came if about(item) == uuid]

    def close(self) -> None:
        """Leave no queue behind."""
        for name in QUEUES:
            self._channel.queue_delete(name)
        self._connection.release()


def about(item: dict[str, Any]) -> str | None:
    """Return the instance that a notification is about."""
    payload = item["payload"]
    return payload.get("instance_id") or payload.get("nova_object.data", {}).get("uuid")


@pytest.fixture(scope="module")
def listener(stack: Stack) -> Iterator[Listener]:
    """The bridge tells of everything, and somebody listens."""
    configuration = stack.bridge_conf.read_text()
    listener = Listener(json.loads((stack.state / "clouds" / stack.top / "cloud.json").read_text())["transport_url"])
    try:
        head, _, rest = OPTIONS.strip().partition("\n\n")
        options = head.partition("\n")[2]
        stack.bridge_conf.write_text(configuration.replace("[DEFAULT]\n", f"[DEFAULT]\n{options}\n", 1) + f"\n{rest}\n")
        stack.stop("bridge")
        stack.start("bridge")
        stack.wait_online()
        yield listener
    finally:
        stack.bridge_conf.write_text(configuration)
        stack.stop("bridge")
        stack.start("bridge")
        stack.wait_online()
        listener.close()


@pytest.fixture(scope="module")
def said(stack: Stack, tenant: Tenant, sites: dict[str, User], listener: Listener) -> dict[str, list[dict[str, Any]]]:
    """What the bridge and the site's host said of one server's life."""
    log = stack.state / "clouds" / SITE / "log" / f"{SITE}-compute1.log"
    before = log.stat().st_size
    uuid = tenant.boot("e2e-notified", f"az-{SITE}", metadata={"purpose": "e2e"}, tags=["mine"])
    tenant.wait_status(uuid, "ACTIVE")
    (below,) = tagged(sites[SITE], uuid)
    for action, status in (
        ({"os-stop": None}, "SHUTOFF"),
        ({"os-start": None}, "ACTIVE"),
        ({"reboot": {"type": "HARD"}}, "ACTIVE"),
        ({"pause": None}, "PAUSED"),
        ({"unpause": None}, "ACTIVE"),
    ):
        assert tenant.action(uuid, action).status_code == 202
        tenant.wait_status(uuid, status, CHANGE)
    tenant.delete(uuid)
    eventually(lambda: len(listener.of(uuid)) >= 2 * len(LIFE), CHANGE, f"not all was told: {types(listener.of(uuid))}")

    def host() -> list[dict[str, Any]]:
        with log.open("rb") as lines:
            lines.seek(before)
            found = [SAID.search(line.decode().rstrip()) for line in lines]
        return [item for match in found if match and about(item := json.loads(match[1])) == below["id"]]

    eventually(lambda: len(host()) >= 2 * len(LIFE), CHANGE, "the site's host does not notify: is its driver log?")
    return {"bridge": listener.of(uuid), "host": host()}


def types(items: list[dict[str, Any]], prefix: str = "") -> list[str]:
    """Return event types in the order in which they were said."""
    said = sorted(items, key=lambda item: item["timestamp"])
    return [item["event_type"].removeprefix(prefix) for item in said if item["event_type"].startswith(prefix)]


def test_both_say_the_same_things_in_the_same_order(said: dict[str, list[dict[str, Any]]]) -> None:
    for who, items in said.items():
        assert types(items, "compute.instance.") == LIFE, who
        assert types(items, "instance.") == LIFE, who


def test_every_payload_has_what_the_hosts_has(said: dict[str, list[dict[str, Any]]]) -> None:
    theirs = {item["event_type"]: item["payload"] for item in said["host"]}
    for item in said["bridge"]:
        ours, other = item["payload"], theirs[item["event_type"]]
        assert ours.keys() == other.keys(), item["event_type"]
        if "nova_object.data" in ours:
            assert ours["nova_object.data"].keys() == other["nova_object.data"].keys(), item["event_type"]
            assert [ours[f"nova_object.{name}"] for name in ("name", "version")] == [
                other[f"nova_object.{name}"] for name in ("name", "version")
            ]


def test_billing_and_dns_find_what_they_need(said: dict[str, list[dict[str, Any]]], tenant: Tenant) -> None:
    ours = {item["event_type"]: item for item in said["bridge"]}
    created, deleted = ours["compute.instance.create.end"], ours["compute.instance.delete.end"]
    assert created["publisher_id"] == f"compute.{SITE}"
    payload = created["payload"]
    assert (payload["state"], payload["host"], payload["availability_zone"]) == ("active", SITE, f"az-{SITE}")
    assert payload["tenant_id"] == tenant.connection.current_project_id
    assert [address["label"] for address in payload["fixed_ips"]] == ["demo-net"]
    assert payload["image_ref_url"].endswith(f"/images/{tenant.image}")
    assert payload["launched_at"]
    assert deleted["payload"]["deleted_at"]
    assert deleted["payload"]["terminated_at"]
    versioned = ours["instance.create.end"]
    data = versioned["payload"]["nova_object.data"]
    assert versioned["publisher_id"] == f"nova-compute:{SITE}"
    assert (data["tags"], data["metadata"], data["power_state"]) == (["mine"], {"purpose": "e2e"}, "running")
    assert data["request_id"] == ours["instance.create.start"]["payload"]["nova_object.data"]["request_id"]


def test_the_usage_audit_is_noted_above(listener: Listener, operator: User) -> None:
    before = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%d %H:%M:%S")

    def done() -> bool:
        log = operator.get("compute", f"/os-instance_usage_audit_log/{before}")["instance_usage_audit_log"]["log"]
        return log.get(SITE, {}).get("state") == "DONE"

    eventually(done, CHANGE, "the audit of the site's last month is not done")
