"""Telling others never holds up, nor fails, what it is about."""

import asyncio
import time
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_messaging.notify import _impl_test

from bridge import settings
from bridge.core.audit_period import AuditPeriod, last_completed, utc
from bridge.core.notices import ActionEvent
from bridge.edge import nova_notifications
from bridge.edge.nova_notifications import Notification, NovaNotifications
from bridge.flight import Flight, Flights
from bridge.notifications import Notifications, Telling
from bridge.usage_audit import UsageAudit
from proto.errors import Unavailable
from proto.messages import Rpc
from tests.fakes.conductor import FakeConductor, wrapped
from tests.fakes.glance import FakeGlance
from tests.fakes.notifications import FakeSender

FLAVOR = {"id": 1, "name": "m1.tiny", "flavorid": "42", "memory_mb": 128, "vcpus": 1, "root_gb": 1, "ephemeral_gb": 2}
CONTEXT = {"request_id": "req-1", "user_id": "u", "project_id": "p"}
STOP, DELETE = "compute_stop_instance", "compute_terminate_instance"


class World:
    """A site with one instance, an RPC about it, and a listener."""

    def __init__(self) -> None:
        self.conductor = FakeConductor(lambda: 0.0)
        self.conductor.add(
            "i-1", vm_state="active", task_state=None, host="paris", flavor=FLAVOR, metadata={"a": "row"}
        )
        self.lines: list[str] = []
        self.sender = FakeSender(lambda _who, what: self.lines.append(what))
        self.flights = Flights()
        conductor: Any = self.conductor
        glance: Any = FakeGlance()
        sender: Any = self.sender
        self.notifications = Notifications(conductor, glance, self.flights, Telling(sender, "http://glance"))

    def rpc(self, method: str = "stop_instance") -> None:
        """An RPC is under way."""
        instance = wrapped("Instance", uuid="i-1", vm_state="active", host="paris", flavor=wrapped("Flavor", **FLAVOR))
        instance["nova_object.data"] |= {"metadata": {"a": "rpc"}, "system_metadata": {}, "info_cache": {}}
        rpc = Rpc("rpc-1", "paris", method, "i-1", CONTEXT, {"instance": instance}, 0.0)
        self.flights.begin(Flight(rpc))

    def heard(self, name: str, began: bool, error: str | None = None) -> None:
        """An action event begins or ends."""
        context = {"request_id": "req-1"}
        self.notifications.heard(ActionEvent(context, "i-1", name, "paris" if began else None, began, error))

    def payload(self, event_type: str) -> dict[str, Any]:
        """Return the payload of an unversioned one."""
        return next(item.payload for item in self.sender.sent if item.event_type == f"compute.instance.{event_type}")


async def test_the_start_needs_no_conductor_and_the_end_shows_what_became_of_it() -> None:
    world = World()
    world.rpc()
    world.conductor.away = True
    world.heard(STOP, began=True)
    await world.notifications.close()
    assert world.lines == ["i-1 compute.instance.power_off.start: active"]
    world.conductor.away = False
    world.conductor.change("i-1", vm_state="stopped")
    world.heard(STOP, began=False)
    await world.notifications.close()
    assert world.lines[1:] == ["i-1 compute.instance.power_off.end: stopped"]
    last = world.sender.sent[-1]
    assert (last.publisher_id, last.context) == ("nova-compute:paris", CONTEXT)


async def test_without_its_rpc_the_end_is_told_of_the_row_alone() -> None:
    world = World()
    world.heard(STOP, began=False)
    await world.notifications.close()
    assert world.lines == ["i-1 compute.instance.power_off.end: active"]


async def test_what_a_deleted_row_has_lost_is_told_as_the_rpc_brought_it() -> None:
    world = World()
    world.rpc("terminate_instance")
    deleted = {"deleted": True, "vm_state": "deleted", "deleted_at": "2026-11-22T16:26:43Z", "metadata": {}}
    world.conductor.instances["i-1"] |= {**deleted, "flavor": None}
    world.heard(DELETE, began=False)
    await world.notifications.close()
    assert world.lines == ["i-1 compute.instance.shutdown.end: active", "i-1 compute.instance.delete.end: deleted"]
    payload = world.payload("delete.end")
    assert (payload["metadata"], payload["deleted_at"]) == ({"a": "rpc"}, "2026-11-22T16:26:43.000000")


async def test_a_conductor_that_is_away_delays_but_does_not_reorder(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    answers = iter([Unavailable("away", 0.01), Unavailable("away", 0.01), None])
    look = world.conductor.get_instance

    async def get_instance(*args: Any) -> Any:
        error = next(answers, None)
        if error is not None:
            raise error
        return await look(*args)

    monkeypatch.setattr(world.conductor, "get_instance", get_instance)
    world.heard(STOP, began=True)
    world.heard(STOP, began=False)
    await world.notifications.close()
    assert [line.split()[1] for line in world.lines] == [
        "compute.instance.power_off.start:",
        "compute.instance.power_off.end:",
    ]


async def test_an_instance_that_makes_no_payload_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    del world.conductor.instances["i-1"]
    world.heard(STOP, began=False)
    await world.notifications.close()
    assert world.lines == []
    assert "told to nobody" in caplog.text


class FakeAudit:
    """Nova's task log, and the instances of a period in pages."""

    def __init__(self, pages: list[list[dict[str, Any]]]) -> None:
        self.done: dict[tuple[str, AuditPeriod], int] = {}
        self.begun_for: set[tuple[str, AuditPeriod]] = set()
        self._pages = pages

    async def begun(self, host: str, period: AuditPeriod) -> bool:
        return (host, period) in self.begun_for

    async def begin(self, host: str, period: AuditPeriod, instances: int) -> bool:
        self.begun_for.add((host, period))
        return True

    async def end(self, host: str, period: AuditPeriod, told: int) -> None:
        self.done[host, period] = told

    async def page(self, _host: str, _period: AuditPeriod, marker: str | None) -> list[dict[str, Any]]:
        return self._pages[0 if marker is None else 1]


async def test_usage_is_told_once_a_period() -> None:
    world = World()
    row = {"uuid": "i-1", "vm_state": "active", "flavor": FLAVOR}
    fake = FakeAudit([[row]])
    audit: Any = fake
    for _ in range(2):  # a second bridge finds what the first has noted
        run = asyncio.create_task(UsageAudit(["paris"], audit, world.notifications, "month").run())
        await asyncio.sleep(0.01)
        run.cancel()
    assert world.lines == ["i-1 compute.instance.exists: active"]
    period = last_completed("month", utc(time.time()))
    assert fake.done == {("paris", period): 1}
    assert world.payload("exists")["audit_period_ending"] == str(period.ending)


def configuration(*drivers: str, notification_format: str = "both") -> Any:
    """A bridge's options, with a broker in memory."""
    conf = cfg.ConfigOpts()
    for group, options in settings.GROUPS.items():
        conf.register_opts(options, group=group)
    conf([], project="cascade", default_config_files=[])
    oslo_messaging.get_notification_transport(conf, "fake:/")  # registers its options
    conf.set_override("transport_url", "fake:/", group="oslo_messaging_notifications")
    conf.set_override("driver", list(drivers), group="oslo_messaging_notifications")
    conf.set_override("notification_format", notification_format, group="notifications")
    return conf


def notification(number: int = 0, versioned: bool = False) -> Notification:
    """Something to send."""
    return Notification(versioned, CONTEXT, "compute.paris", f"type.{number}", "info", {"instance_id": "i-1"})


@pytest.mark.parametrize("drivers", [(), ("noop",)])
def test_nothing_is_sent_without_a_driver(drivers: tuple[str, ...]) -> None:
    assert nova_notifications.of(configuration(*drivers)) is None


async def test_what_is_offered_is_sent_in_order() -> None:
    _impl_test.reset()
    sender = nova_notifications.of(configuration("test", notification_format="unversioned"))
    assert sender is not None
    assert (sender.unversioned, sender.versioned) == (True, False)
    for number in range(3):
        sender.offer(notification(number))
    await sender.close(5.0)
    assert [(item[0]["request_id"], item[1]["event_type"]) for item in _impl_test.NOTIFICATIONS] == [
        ("req-1", "type.0"),
        ("req-1", "type.1"),
        ("req-1", "type.2"),
    ]


async def test_a_broker_that_is_away_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(nova_notifications, "MOST_WAITING", 3)
    monkeypatch.setattr(NovaNotifications, "_send", lambda _self, _item: time.sleep(60))
    sender = nova_notifications.of(configuration("messagingv2"))
    assert sender is not None
    began = time.monotonic()
    for number in range(10):
        sender.offer(notification(number))
    await sender.close(0.1)
    assert time.monotonic() - began < 5.0
    assert "notifications dropped" in caplog.text
    assert "are not sent" in caplog.text
