"""RPCs made durable per second, beside what stock oslo.messaging dispatches per second from the same producer."""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oslo_messaging
from oslo_config import cfg

from bridge.edge import nova_rpc
from bridge.edge.nova_rpc import IncomingRpc, NovaRpc
from bridge.intake import Intake
from deploy.demo.stack import REPOSITORY, Stack
from deploy.devcloud import ports
from deploy.embedded import servers
from deploy.embedded.servers import NatsServer
from proto import streams, subjects
from proto.jetstream import JetStream
from proto.sealing import PrivateKey

ROUNDS = 3  # each kind, in turn
LIMIT = 120.0  # s for one round
SITE = "bench-rate"
FLUSHES = 200  # for one figure of the disk


def measure(stack: Stack, count: int) -> list[tuple[str, str]]:
    """Return the rates and their ratios to the raw one, the medians of ROUNDS rounds in turn.

    The embedded NATS server flushes its disk for every message, as it is alone; a member of a cluster of three does
    not, as two others have the message: both are measured, and what the disk allows is told beside them.
    """
    url = json.loads((stack.state / "clouds" / "top" / "cloud.json").read_text())["transport_url"]
    cfg.CONF([], project="cascade-bench", default_config_files=[])
    raw, alone, member, flushes = [], [], [], []
    with _member(stack.state) as server:
        for number in range(ROUNDS):
            raw.append(asyncio.run(_raw(url, f"bench-raw-{number}", count)))
            alone.append(asyncio.run(_durable(stack.middle.nats, url, count)))
            member.append(asyncio.run(_durable(server, url, count)))
            flushes.append(_flushes(stack.state))
    return [
        ("raw oslo.messaging casts dispatched per second", f"{statistics.median(raw):.0f}"),
        ("casts made durable in INTAKE per second, a flush each", _beside(alone, raw)),
        ("the same without a flush each, as a member of a cluster of three", _beside(member, raw)),
        ("flushes of 4 KiB that this disk does per second", f"{statistics.median(flushes):.0f}"),
    ]


def _beside(rates: list[float], raw: list[float]) -> str:
    rate = statistics.median(rates)
    return f"{rate:.0f} ({rate / statistics.median(raw):.0%} of raw)"


@contextlib.contextmanager
def _member(state: Path) -> Iterator[NatsServer]:
    """A NATS server of its own, set as in a cluster: stored is what the system has, the disk follows."""
    with tempfile.TemporaryDirectory(dir=state) as directory:
        server = servers.start_nats(Path(directory), ports.pick(("nats",), ())["nats"], sync_always=False)
        try:
            yield server
        finally:
            servers.stop([server])


def _flushes(directory: Path) -> float:
    with tempfile.TemporaryFile(dir=directory) as file:
        began = time.monotonic()
        for _ in range(FLUSHES):
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
        return FLUSHES / (time.monotonic() - began)


class _Clock:
    """Counts messages from any thread, and knows when the last one came."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._left = count
        self._count = count
        self._loop = loop
        self._lock = threading.Lock()
        self._began = 0.0
        self.rate: asyncio.Future[float] = loop.create_future()

    def tick(self) -> None:
        with self._lock:
            self._began = self._began or time.monotonic()
            self._left -= 1
            if self._left == 0:
                rate = self._count / (time.monotonic() - self._began)
                self._loop.call_soon_threadsafe(self.rate.set_result, rate)


async def _raw(url: str, host: str, count: int) -> float:
    clock = _Clock(count, asyncio.get_running_loop())

    class Endpoint:
        target = oslo_messaging.Target(version="6.99")

        def stop_instance(self, _context: Any, **_args: Any) -> None:
            clock.tick()

    target = oslo_messaging.Target(topic="compute", server=host, exchange="nova")
    server = oslo_messaging.get_rpc_server(nova_rpc.transport(url), target, [Endpoint()], executor="threading")
    server.start()
    try:
        return await _produced(url, host, count, clock)
    finally:
        await asyncio.to_thread(server.stop)


async def _durable(server: NatsServer, url: str, count: int) -> float:
    clock = _Clock(count, asyncio.get_running_loop())
    credentials = server.files.bridge_credentials.read_text()
    road = await JetStream.connect([server.url], "bench", credentials=credentials)
    await road.ensure_stream(streams.intake(SITE))
    intake = Intake(road, PrivateKey.generate().public(), lambda _host: SITE)

    async def store(incoming: IncomingRpc) -> None:
        await intake.store(incoming)
        clock.tick()

    rpc = NovaRpc(nova_rpc.transport(url), store)
    await rpc.start()
    await rpc.serve([SITE])
    try:
        return await _produced(url, SITE, count, clock)
    finally:
        await rpc.stop()
        await road.purge(streams.intake(SITE).name, subjects.intake_filter(SITE))
        await road.close()


async def _produced(url: str, host: str, count: int, clock: _Clock) -> float:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.bench.producer", url, host, str(count)]
    producer = await asyncio.to_thread(subprocess.Popen, command, cwd=REPOSITORY)
    try:
        async with asyncio.timeout(LIMIT):
            return await clock.rate
    finally:
        await asyncio.to_thread(producer.wait)
