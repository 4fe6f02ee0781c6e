"""RabbitMQ between Nova and the bridges, with the interface of bridge.edge.nova_rpc.NovaRpc.

A cast waits in its host's queue until the bridge that serves the host has stored it; what a bridge had taken when it
died comes again, marked redelivered. Casts of one instance are handed over in order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from bridge.edge.nova_rpc import IncomingRpc
from proto.errors import Unavailable
from tests.fakes.process import Process

RETRY = 0.5  # s
Handler = Callable[[IncomingRpc], Awaitable[object]]


@dataclass(slots=True, eq=False)
class _Cast:
    rpc: IncomingRpc
    taken: bool = False


class FakeRabbit:
    """The broker."""

    def __init__(self) -> None:
        self.queues: dict[str, list[_Cast]] = {}
        self.dropped: list[IncomingRpc] = []
        self._clients: dict[str, FakeNovaRpc] = {}

    def cast(self, rpc: IncomingRpc) -> None:
        """Take a cast from Nova; without a queue it is dropped, as RabbitMQ does."""
        if rpc.host not in self.queues:
            self.dropped.append(rpc)
            return
        self.queues[rpc.host].append(_Cast(rpc))
        self.deliver(rpc.host)

    def client(self, process: Process, handler: Handler) -> "FakeNovaRpc":
        """Connect a bridge."""
        return FakeNovaRpc(self, process, handler)

    def serve(self, host: str, client: "FakeNovaRpc") -> None:
        """Declare a host's queue and hand its messages to a client."""
        self._clients[host] = client
        for cast in self.queues.setdefault(host, []):
            if cast.taken:
                cast.rpc, cast.taken = replace(cast.rpc, redelivered=True), False
        self.deliver(host)

    def forget(self, host: str, client: "FakeNovaRpc") -> None:
        """Hand nothing more of a host to this client; what it has not stored goes back."""
        if self._clients.get(host) is client:
            del self._clients[host]

    def deliver(self, host: str) -> None:
        """Hand over what is there."""
        client = self._clients.get(host)
        if client is None or not client.process.alive:
            return
        busy = {_chain(cast.rpc) for cast in self.queues[host] if cast.taken}
        for cast in self.queues[host]:
            if not cast.taken and _chain(cast.rpc) not in busy:
                cast.taken = True
                busy.add(_chain(cast.rpc))
                client.process.spawn(self._store(host, cast, client), name=f"store {cast.rpc.method}")

    async def _store(self, host: str, cast: _Cast, client: "FakeNovaRpc") -> None:
        while self._clients.get(host) is client:
            try:
                await client.handler(cast.rpc)
            except Unavailable:
                await asyncio.sleep(RETRY)
                continue
            await client.process.reach("before", f"ack rabbit {cast.rpc.method}")
            self.queues[host].remove(cast)
            self.deliver(host)
            return


class FakeNovaRpc:
    """What NovaRpc is to one bridge."""

    def __init__(self, rabbit: FakeRabbit, process: Process, handler: Handler) -> None:
        self.process = process
        self.handler = handler
        self._rabbit = rabbit

    async def serve(self, hosts: Iterable[str]) -> None:
        """Take the messages of these hosts too."""
        self.process.check()
        for host in hosts:
            self._rabbit.serve(host, self)

    async def forget(self, hosts: Iterable[str]) -> None:
        """Stop taking them."""
        for host in hosts:
            self._rabbit.forget(host, self)


def _chain(rpc: IncomingRpc) -> str:
    instance = rpc.args.get("instance") or {}
    return str(instance.get("nova_object.data", {}).get("uuid"))
