"""NovaConductor over a real RabbitMQ: against a conductor that fails as told, and against a real one."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import oslo_messaging
import pytest

from bridge.edge import nova_rpc
from bridge.edge.nova_conductor import (
    InstanceGone,
    NovaConductor,
    RemoteFailure,
    ServiceGone,
    ServiceTooOld,
    TaskStateChanged,
    admin_context,
    request_context,
)
from bridge.edge.nova_objects import primitive
from proto.errors import CascadeError, Stale, Unavailable
from tests.servers.rabbitmq import Broker, Vhost, loses_sockets, private_rabbitmq, rabbitmq, vhost

__all__ = ["private_rabbitmq", "rabbitmq", "vhost"]

REAL = Path(__file__).resolve().parents[2] / ".state/clouds/top/cloud.json"
UUID = "b3fe5a0c-1111-4222-8333-444455556666"


def nova_exception(name: str) -> Exception:
    """An exception as nova-conductor raises it."""
    return nova_rpc.nova_error(name, f"{name} happened")


class FakeConductor:
    """Serves topic conductor; answers or raises ``answer``."""

    target = oslo_messaging.Target(version="3.0")

    def __init__(self, url: str) -> None:
        self.answer: Any = None
        self.seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._transport = nova_rpc.transport(url)
        target = oslo_messaging.Target(topic="conductor", server="fake")
        self._server = oslo_messaging.get_rpc_server(self._transport, target, [self], executor="threading")
        self._server.start()

    def object_action(self, ctxt: dict[str, Any], **args: Any) -> Any:
        updates = self._reply(ctxt, args)
        return [updates or {}, None]

    def object_class_action_versions(self, ctxt: dict[str, Any], **args: Any) -> Any:
        return self._reply(ctxt, args)

    def _reply(self, ctxt: dict[str, Any], args: dict[str, Any]) -> Any:
        self.seen.append((ctxt, args))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def stop(self) -> None:
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


@pytest.fixture
def fake(vhost: Vhost) -> Iterator[FakeConductor]:
    server = FakeConductor(vhost.url)
    yield server
    server.stop()


@pytest.fixture
async def conductor(vhost: Vhost) -> AsyncIterator[NovaConductor]:
    transport = nova_rpc.transport(vhost.url)
    client = NovaConductor(transport, timeout=5)
    yield client
    client.close()
    transport.cleanup()


@pytest.mark.rabbit
async def test_a_save_is_minimal_and_carries_its_request(fake: FakeConductor, conductor: NovaConductor) -> None:
    fake.answer = {"task_state": None, "host": "paris", "obj_what_changed": []}
    context = request_context("req-1", "user", "project", roles=["member"])
    saved = await conductor.save_instance(context, UUID, {"task_state": None}, ["scheduling", None])
    assert saved == {"uuid": UUID, "task_state": None, "host": "paris"}
    ((seen, args),) = fake.seen
    assert (seen["request_id"], seen["user_id"], seen["is_admin"]) == ("req-1", "user", False)
    assert args["kwargs"] == {"expected_task_state": ["scheduling", None]}
    assert args["objinst"]["nova_object.data"] == {"uuid": UUID, "task_state": None}
    assert args["objinst"]["nova_object.changes"] == ["task_state"]


@pytest.mark.rabbit
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (nova_exception("InstanceNotFound"), InstanceGone),
        (nova_exception("UnexpectedTaskStateError"), TaskStateChanged),
        (nova_exception("UnexpectedDeletingTaskStateError"), TaskStateChanged),
        (nova_exception("InstanceUpdateConflict"), TaskStateChanged),
        (nova_exception("ServiceNotFound"), ServiceGone),
        (nova_exception("ServiceTooOld"), ServiceTooOld),
        (nova_exception("DBConnectionError"), Unavailable),
        (nova_exception("ObjectActionError"), RemoteFailure),
        (KeyError("Instance"), RemoteFailure),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_an_error_says_what_to_do(
    fake: FakeConductor, conductor: NovaConductor, raised: Exception, expected: type[CascadeError]
) -> None:
    fake.answer = raised
    with pytest.raises(expected) as caught:
        await conductor.save_instance(admin_context(), UUID, {"vm_state": "active"})
    if isinstance(caught.value, TaskStateChanged):
        assert caught.value.deleting == (type(raised).__name__ == "UnexpectedDeletingTaskStateError")
        assert isinstance(caught.value, Stale)
    if isinstance(caught.value, RemoteFailure):
        assert caught.value.kind == type(raised).__name__
    assert "\n" not in str(caught.value)


@pytest.mark.rabbit
async def test_what_exists_already_is_fine(fake: FakeConductor, conductor: NovaConductor) -> None:
    fake.answer = nova_exception("InstanceNotFound")
    await conductor.destroy_instance(admin_context(), 4, UUID, "paris")
    assert await conductor.get_instance(admin_context(), UUID) is None
    fake.answer = nova_exception("ComputeHostNotFound")
    assert await conductor.get_compute_node("paris") is None
    fake.answer = nova_exception("InstanceActionNotFound")
    await conductor.event_finish(admin_context(), UUID, "compute_stop_instance")


@pytest.mark.rabbit
async def test_a_silent_conductor_is_unavailable(vhost: Vhost) -> None:
    transport = nova_rpc.transport(vhost.url)
    client = NovaConductor(transport, timeout=0.5)
    with pytest.raises(Unavailable, match=r"Service\.get_by_host_and_binary"):
        await client.get_service("paris")
    client.close()
    transport.cleanup()


@pytest.mark.rabbit
async def test_calls_run_side_by_side(vhost: Vhost) -> None:
    transport = nova_rpc.transport(vhost.url)
    client = NovaConductor(transport, timeout=1.0, workers=8)
    began = time.monotonic()
    outcomes = await asyncio.gather(*(client.get_service(f"h{n}") for n in range(8)), return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert time.monotonic() - began < 4
    client.close()
    transport.cleanup()


@pytest.mark.rabbit
@loses_sockets
async def test_a_broker_that_restarts(private_rabbitmq: Broker) -> None:
    url = private_rabbitmq.url("v1") + "?rabbit_interval_max=1&kombu_reconnect_delay=0.1"
    fake = FakeConductor(url)
    transport = nova_rpc.transport(url)
    client = NovaConductor(transport, timeout=5)
    try:
        assert await client.get_service("paris") is None
        private_rabbitmq.kill()
        with pytest.raises(Unavailable):
            await client.get_service("paris")
        await asyncio.to_thread(private_rabbitmq.start)
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await client.get_service("paris") is None
                    break
                except Unavailable:
                    continue
    finally:
        client.close()
        transport.cleanup()
        fake.stop()


@pytest.fixture
async def real() -> AsyncIterator[NovaConductor]:
    url = os.environ.get("CASCADE_TOP_TRANSPORT_URL")
    if not url and not REAL.exists():
        pytest.skip("no cascading cloud: run deploy.devcloud, or set CASCADE_TOP_TRANSPORT_URL")
    transport = nova_rpc.transport(url or json.loads(REAL.read_text())["transport_url"])
    client = NovaConductor(transport)
    yield client
    client.close()
    transport.cleanup()


@pytest.mark.e2e
async def test_a_real_conductor(real: NovaConductor) -> None:
    host = f"probe-{uuid.uuid4().hex[:8]}"
    version = await real.conductor_service_version()
    assert await real.get_service(host) is None
    service = await real.create_service(host, version)
    try:
        assert (await real.create_service(host, version))["id"] == service["id"]
        with pytest.raises(ServiceTooOld):
            await real.heartbeat(service["id"], 1, version - 10)
        alive = await real.heartbeat(service["id"], 1, version)
        assert alive["last_seen_up"]
        assert (alive["disabled"], alive["forced_down"]) == (False, False)
        await real.set_service_disabled(service["id"], version, True, "cascade: probe")
        disabled = await real.heartbeat(service["id"], 2, version)
        assert (disabled["disabled"], disabled["disabled_reason"]) == (True, "cascade: probe")
        assert await real.instances_on_host(host, include_deleted=True) == []
        assert await real.get_instance(admin_context(), UUID) is None
        with pytest.raises(InstanceGone):
            await real.save_instance(admin_context(), UUID, {"task_state": None})
        await real.event_start(admin_context(), UUID, "compute_stop_instance", host)
        await _node(real, host, service["id"])
    finally:
        row = primitive("Service", {**service, "disabled_reason": None}, ())
        await real._rpc.of_object(admin_context(), row, "destroy")
    with pytest.raises(ServiceGone):
        await real.heartbeat(service["id"], 3, version)


async def _node(real: NovaConductor, host: str, service_id: int) -> None:
    assert await real.get_compute_node(host) is None
    used = dict.fromkeys(("vcpus_used", "memory_mb_used", "local_gb_used"), 0)
    node = await real.create_compute_node(
        {
            "uuid": str(uuid.uuid4()),
            "host": host,
            "service_id": service_id,
            "hypervisor_hostname": host,
            "vcpus": 4,
            "memory_mb": 10**12,
            "local_gb": 10,
            **used,
            "mapped": 1,  # so that nova-scheduler does not look for it
            "hypervisor_type": "cascade",
            "hypervisor_version": 1,
            "cpu_info": "{}",
            "supported_hv_specs": [["x86_64", "qemu", "hvm"]],
        }
    )
    try:
        assert node["memory_mb"] == 2**31 - 1
        await real.save_compute_node(node["id"], {"vcpus": 5})
        found = await real.get_compute_node(host)
        assert found is not None
        assert (found["id"], found["vcpus"]) == (node["id"], 5)
        assert found["supported_hv_specs"] == [{"arch": "x86_64", "hv_type": "qemu", "vm_mode": "hvm"}]
    finally:
        await real._rpc.of_object(
            admin_context(), primitive("ComputeNode", {"id": node["id"], "host": host}), "destroy"
        )
