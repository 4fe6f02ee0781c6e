"""NovaRpc against a real RabbitMQ, with oslo.messaging's own client as Nova."""

import asyncio
import logging
import os
import signal
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import kombu
import oslo_messaging
import pytest
from oslo_config import cfg

from bridge.edge import nova_rpc
from bridge.edge.nova_rpc import IncomingRpc, NovaRpc, nova_error
from proto import failpoints
from proto.errors import Misconfigured, Unavailable
from tests.servers.rabbitmq import Broker, Vhost, loses_sockets, private_rabbitmq, rabbitmq, vhost

__all__ = ["private_rabbitmq", "rabbitmq", "vhost"]

pytestmark = pytest.mark.rabbit

PATIENCE = 20.0  # s


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that happens in another process."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.02)
    assert condition(), what


class Nova:
    """Sends RPCs as nova-api and nova-conductor do; allows the exceptions Nova allows."""

    def __init__(self, url: str) -> None:
        oslo_messaging.set_transport_defaults("nova")
        self._transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=url, allowed_remote_exmods=["nova.exception"])
        self._clients = {
            topic: oslo_messaging.get_rpc_client(self._transport, oslo_messaging.Target(topic=topic, version="6.0"))
            for topic in ("compute", "compute-alt")
        }

    async def cast(self, host: str, method: str, topic: str = "compute", **args: Any) -> None:
        client = self._clients[topic].prepare(server=host)
        await asyncio.to_thread(client.cast, {"request_id": "req-1", "auth_token": "t0ken"}, method, **args)

    async def call(self, host: str, method: str, options: dict[str, Any] | None = None, **args: Any) -> Any:
        client = self._clients["compute"].prepare(server=host, **{"timeout": 10, **(options or {})})
        return await asyncio.to_thread(client.call, {"request_id": "req-1"}, method, **args)

    def close(self) -> None:
        self._transport.cleanup()


def instance(uuid: str) -> dict[str, Any]:
    return {"nova_object.name": "Instance", "nova_object.version": "2.8", "nova_object.data": {"uuid": uuid}}


class Handler:
    """Notes what comes and does to it what the test says."""

    def __init__(self) -> None:
        self.seen: list[IncomingRpc] = []
        self.act: Callable[[IncomingRpc], Awaitable[Any]] | None = None

    async def __call__(self, rpc: IncomingRpc) -> Any:
        self.seen.append(rpc)
        return await self.act(rpc) if self.act else None

    async def count(self, number: int) -> None:
        await until(lambda: len(self.seen) >= number, f"{number} RPCs")


@asynccontextmanager
async def served(url: str, handler: Handler, *hosts: str, **options: Any) -> AsyncIterator[NovaRpc]:
    transport = nova_rpc.transport(url)
    rpc = NovaRpc(transport, handler, **options)
    await rpc.start()
    await rpc.serve(hosts)
    try:
        yield rpc
    finally:
        await rpc.stop(grace=1.0)
        transport.cleanup()


@pytest.fixture
async def nova(vhost: Vhost) -> AsyncIterator[Nova]:
    with closing(Nova(vhost.url)) as client:
        yield client


@pytest.fixture
def handler() -> Handler:
    return Handler()


async def test_a_cast_arrives_whole(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async with served(vhost.url, handler, "paris"):
        await nova.cast("paris", "stop_instance", instance=instance("i1"), clean_shutdown=True)
        await handler.count(1)
    (rpc,) = handler.seen
    assert (rpc.host, rpc.method, rpc.is_call, rpc.redelivered) == ("paris", "stop_instance", False, False)
    assert rpc.context == {"request_id": "req-1", "auth_token": "t0ken"}
    assert rpc.args == {"instance": instance("i1"), "clean_shutdown": True}
    assert len(rpc.rpc_id) == 32
    assert "t0ken" not in repr(rpc)


async def test_a_cast_is_acknowledged_only_after_the_handler(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    stored = asyncio.Event()
    handler.act = lambda _: stored.wait()
    async with served(vhost.url, handler, "paris"):
        await nova.cast("paris", "stop_instance", instance=instance("i1"))
        await handler.count(1)
        assert vhost.queues()["compute.paris"] == (0, 1)
        stored.set()
        await until(lambda: vhost.queues()["compute.paris"] == (0, 0), "acknowledged")


@loses_sockets
async def test_a_cut_connection_delivers_again(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    stored = asyncio.Event()
    handler.act = lambda _: stored.wait()
    async with served(vhost.url, handler, "paris"):
        await nova.cast("paris", "stop_instance", instance=instance("i1"))
        await handler.count(1)
        await asyncio.to_thread(vhost.close_connections)
        stored.set()  # the first delivery ends now: its acknowledgement must not count for the second
        await handler.count(2)
        await until(lambda: vhost.queues()["compute.paris"] == (0, 0), "acknowledged")
    first, second = handler.seen
    assert first.rpc_id == second.rpc_id
    assert (first.redelivered, second.redelivered) == (False, True)


async def test_a_killed_bridge_loses_nothing(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    code = (
        "import asyncio, sys\n"
        "from bridge.edge import nova_rpc\n"
        "async def handler(rpc): pass\n"
        "async def main():\n"
        "    rpc = nova_rpc.NovaRpc(nova_rpc.transport(sys.argv[1]), handler)\n"
        "    await rpc.start()\n"
        "    await rpc.serve(['paris'])\n"
        "    print('serving', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "CASCADE_FAILPOINT": failpoints.RECEIVED, "PYTHONWARNINGS": "ignore"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, vhost.url, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"serving\n"
    await nova.cast("paris", "stop_instance", instance=instance("i1"))
    assert await process.wait() == -signal.SIGKILL
    async with served(vhost.url, handler, "paris"):
        await handler.count(1)
    assert handler.seen[0].redelivered


async def test_two_hosts_and_two_topics_share_a_listener(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async with served(vhost.url, handler, "paris") as rpc:
        await rpc.serve(["paris", "oslo"])
        for host in ("paris", "oslo"):
            for topic in ("compute", "compute-alt"):
                await nova.cast(host, topic, topic=topic)
        await handler.count(4)
    assert sorted((rpc.host, rpc.method) for rpc in handler.seen) == [
        ("oslo", "compute"),
        ("oslo", "compute-alt"),
        ("paris", "compute"),
        ("paris", "compute-alt"),
    ]


async def test_casts_of_one_instance_follow_each_other(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    gate = asyncio.Event()
    running: set[str] = set()

    async def act(rpc: IncomingRpc) -> None:
        uuid = rpc.args["instance"]["nova_object.data"]["uuid"]
        assert uuid not in running
        running.add(uuid)
        if rpc.method == "slow":
            await gate.wait()
        await asyncio.sleep(0)
        running.remove(uuid)

    handler.act = act
    async with served(vhost.url, handler, "paris"):
        await nova.cast("paris", "slow", instance=instance("i1"))
        for number in range(5):
            await nova.cast("paris", f"m{number}", instance=instance("i1"))
        await nova.cast("paris", "other", instance=instance("i2"))
        await handler.count(2)
        assert [rpc.method for rpc in handler.seen] == ["slow", "other"]
        gate.set()
        await handler.count(7)
    assert [rpc.method for rpc in handler.seen[2:]] == ["m0", "m1", "m2", "m3", "m4"]


async def test_handlers_begin_in_the_order_of_arrival(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async with served(vhost.url, handler, "paris"):
        for number in range(60):
            await nova.cast("paris", f"m{number}", instance=instance(f"i{number}"))
        await handler.count(60)
    assert [rpc.method for rpc in handler.seen] == [f"m{number}" for number in range(60)]


async def test_a_cast_waits_while_it_cannot_be_stored(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async def act(_: IncomingRpc) -> None:
        if len(handler.seen) < 3:
            raise Unavailable("JetStream is away")

    handler.act = act
    async with served(vhost.url, handler, "paris"):
        await nova.cast("paris", "stop_instance", instance=instance("i1"))
        await handler.count(1)
        assert vhost.queues()["compute.paris"] == (0, 1)
        await handler.count(3)
        await until(lambda: vhost.queues()["compute.paris"] == (0, 0), "acknowledged")
    assert len({rpc.rpc_id for rpc in handler.seen}) == 1


async def test_a_poison_message_does_not_stop_the_queue(
    vhost: Vhost, nova: Nova, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(rpc: IncomingRpc) -> None:
        if rpc.method == "poison":
            raise ValueError("a bug")

    handler.act = act
    async with served(vhost.url, handler, "paris"):
        await nova.cast("paris", "poison", instance=instance("i1"))
        await nova.cast("paris", "good", instance=instance("i1"))
        await handler.count(4)
        await until(lambda: vhost.queues()["compute.paris"] == (0, 0), "acknowledged")
    assert [rpc.method for rpc in handler.seen] == ["poison"] * 3 + ["good"]
    given_up = [record for record in caplog.records if "is given up" in record.message]
    assert handler.seen[0].rpc_id in given_up[0].message
    assert given_up[0].levelno == logging.ERROR


async def test_a_call_is_answered(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async def act(rpc: IncomingRpc) -> dict[str, Any]:
        return {"host": rpc.host, "args": rpc.args}

    handler.act = act
    async with served(vhost.url, handler, "paris"):
        assert await nova.call("paris", "get_console_output", tail_length=5) == {
            "host": "paris",
            "args": {"tail_length": 5},
        }
        assert vhost.queues()["compute.paris"] == (0, 0)
    assert handler.seen[0].is_call


async def test_a_refused_call_reaches_nova_as_its_own_exception(
    vhost: Vhost, nova: Nova, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ConsoleTypeUnavailable(Exception):
        def __init__(self, message: str, **kwargs: Any) -> None:
            super().__init__(message)
            self.kwargs = kwargs

    module = types.ModuleType("nova.exception")
    module.ConsoleTypeUnavailable = ConsoleTypeUnavailable  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nova", types.ModuleType("nova"))
    monkeypatch.setitem(sys.modules, "nova.exception", module)

    async def act(_: IncomingRpc) -> None:
        raise nova_error("ConsoleTypeUnavailable", "no VNC here", console_type="novnc")

    handler.act = act
    async with served(vhost.url, handler, "paris"):
        with pytest.raises(ConsoleTypeUnavailable, match="no VNC here") as raised:
            await nova.call("paris", "get_vnc_console")
    assert raised.value.kwargs == {"console_type": "novnc"}


async def test_a_builtin_error_stays_builtin(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async def act(_: IncomingRpc) -> None:
        raise NotImplementedError

    handler.act = act
    async with served(vhost.url, handler, "paris"):
        with pytest.raises(NotImplementedError):
            await nova.call("paris", "get_diagnostics")


async def test_a_monitored_call_is_kept_alive(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async def act(_: IncomingRpc) -> str:
        await asyncio.sleep(2.5)
        return "done"

    handler.act = act
    async with served(vhost.url, handler, "paris"):
        assert await nova.call("paris", "set_host_enabled", {"call_monitor_timeout": 1, "timeout": 10}) == "done"


async def test_what_is_not_acknowledged_is_bounded_per_queue(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    stored = asyncio.Event()
    handler.act = lambda _: stored.wait()
    async with served(vhost.url, handler, "paris", "oslo", prefetch=4):
        for number in range(10):
            await nova.cast("paris", "m", instance=instance(f"i{number}"))
        await nova.cast("oslo", "m", instance=instance("i0"))
        await handler.count(5)
        assert vhost.queues()["compute.paris"] == (6, 4)
        stored.set()
        await handler.count(11)


async def test_a_forgotten_host_goes_to_the_next_owner(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async def refuse(_: IncomingRpc) -> None:
        raise Unavailable("not the owner any more")

    handler.act = refuse
    heir = Handler()
    async with served(vhost.url, handler, "paris", "oslo") as rpc, served(vhost.url, heir) as next_owner:
        await nova.cast("paris", "first", instance=instance("i1"))
        await nova.cast("paris", "second", instance=instance("i1"))
        await handler.count(1)
        await rpc.forget(["paris"])
        await nova.cast("paris", "third", instance=instance("i1"))
        await until(lambda: vhost.queues()["compute.paris"] == (3, 0), "given back")
        await next_owner.serve(["paris"])
        await heir.count(3)
    assert [(rpc.method, rpc.redelivered) for rpc in heir.seen] == [("first", True), ("second", True), ("third", False)]


async def test_stop_gives_back_what_is_not_stored(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    handler.act = lambda _: asyncio.Event().wait()
    async with served(vhost.url, handler, "paris"):
        await nova.cast("paris", "m", instance=instance("i1"))
        await handler.count(1)
    assert vhost.queues()["compute.paris"] == (1, 0)


@loses_sockets
async def test_a_broker_that_restarts(private_rabbitmq: Broker, handler: Handler) -> None:
    url = private_rabbitmq.url("v1")
    with closing(Nova(url)) as nova:
        async with served(url, handler, "paris", "oslo") as rpc:
            private_rabbitmq.kill()
            await until(lambda: not rpc.connected, "lost")
            waiting = asyncio.create_task(rpc.serve(["rome"]))
            await asyncio.to_thread(private_rabbitmq.start)
            await waiting
            assert rpc.connected
            for host in ("paris", "oslo", "rome"):
                await nova.cast(host, "after")
            await handler.count(3)
            assert {rpc.host for rpc in handler.seen} == {"paris", "oslo", "rome"}


@loses_sockets
async def test_a_broker_that_hangs(private_rabbitmq: Broker, handler: Handler) -> None:
    url = private_rabbitmq.url("v1") + "?heartbeat_timeout_threshold=2"
    async with served(url, handler, "paris") as rpc:
        group = private_rabbitmq.processes[-1].pid
        os.killpg(group, signal.SIGSTOP)
        try:
            await until(lambda: not rpc.connected, "lost")
        finally:
            os.killpg(group, signal.SIGCONT)
        await until(lambda: rpc.connected, "back")


async def test_a_hundred_hosts_need_four_connections(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    async def act(_: IncomingRpc) -> str:
        return "pong"

    handler.act = act
    async with served(vhost.url, handler) as rpc:
        async with asyncio.timeout(10):
            await rpc.serve([f"host{number}" for number in range(100)])
        assert await asyncio.gather(*(nova.call(f"host{number}", "ping") for number in range(12))) == ["pong"] * 12
        client_connections = 3  # of class Nova: replies and two senders
        assert await asyncio.to_thread(vhost.connections) <= 4 + client_connections


async def test_quorum_queues(vhost: Vhost, handler: Handler) -> None:
    url = f"{vhost.url}?rabbit_quorum_queue=true"
    stored = asyncio.Event()
    handler.act = lambda _: stored.wait()
    with closing(Nova(url)) as nova:
        async with served(url, handler, "paris", prefetch=2):
            for number in range(4):
                await nova.cast("paris", "m", instance=instance(f"i{number}"))
            await until(lambda: vhost.queues()["compute.paris"] == (2, 2), "two of four taken")
            stored.set()
            await handler.count(4)
            await until(lambda: vhost.queues()["compute.paris"] == (0, 0), "acknowledged")


@pytest.mark.parametrize("port", [1, None])
async def test_an_unusable_broker_is_one_clear_line(rabbitmq: Broker, handler: Handler, port: int | None) -> None:
    port = port or rabbitmq.port
    rpc = NovaRpc(nova_rpc.transport(f"rabbit://nova:wr0ng@127.0.0.1:{port}/v1"), handler)
    with pytest.raises(Misconfigured, match=f"127.0.0.1:{port}/v1") as raised:
        await rpc.start()
    assert "wr0ng" not in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_queues_with_other_properties_are_said_at_once(vhost: Vhost, nova: Nova, handler: Handler) -> None:
    with kombu.Connection(vhost.url.replace("rabbit", "amqp")) as connection:
        kombu.Queue("compute.oslo", durable=True, channel=connection.channel()).declare()
    async with served(vhost.url, handler, "paris") as rpc:
        with pytest.raises(Misconfigured, match="oslo"):
            await rpc.serve(["oslo"])
        await nova.cast("paris", "still_served")
        await handler.count(1)


def test_a_wrong_url_is_explained() -> None:
    with pytest.raises(Misconfigured, match="rabbit://user"):
        nova_rpc.transport("nonsense")
