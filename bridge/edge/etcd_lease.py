"""Keeps all leases of a process alive on one stream, and says at once when one is lost.

A lease counts from the moment its keep-alive was *sent*, so our clock never believes in it longer than etcd does.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc.aio

from bridge.edge.etcd_channel import Channels, LeaseLost, messages
from proto.errors import Unavailable

LOG = logging.getLogger(__name__)

BEATS = 5  # keep-alives in one TTL
TICK = 0.25  # s between two looks at what is due
SILENCE = 5.0  # s without any answer to a keep-alive until another connection is tried
RETRY = 0.25  # s between two connections


class Lease:
    """One lease of etcd. ``lost`` is set once, when it has expired, was revoked, or may have expired unseen."""

    def __init__(self, keeper: "LeaseKeeper", number: int, ttl: int, sent_at: float) -> None:
        self.id = number
        self.ttl = ttl  # s, as etcd granted it
        self.confirmed_at = sent_at  # monotonic s: when the last keep-alive that etcd answered was sent
        self.lost = asyncio.Event()
        self._keeper = keeper
        self._listeners: list[Callable[[], None]] = []
        self._sent: deque[float] = deque()  # keep-alives on this stream without an answer yet

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` once when the lease is lost; at once if it is already."""
        if self.lost.is_set():
            listener()
        else:
            self._listeners.append(listener)

    async def refresh(self) -> None:
        """Prolong the lease once, now; for leases that are not kept. LeaseLost if it is gone."""
        await self._keeper.refresh(self)

    async def revoke(self) -> None:
        """Give the lease back: its keys vanish now. May be repeated; Unavailable while etcd is away."""
        await self._keeper.revoke(self)

    def due(self, now: float) -> bool:
        """Whether a keep-alive should be sent."""
        newest = self._sent[-1] if self._sent else self.confirmed_at
        return now >= newest + self.ttl / BEATS

    def expired(self, now: float) -> bool:
        """Whether etcd may have dropped it by now."""
        return now >= self.confirmed_at + self.ttl

    def unanswered(self, now: float) -> bool:
        """Whether etcd has not answered a keep-alive for too long."""
        return bool(self._sent) and now >= self._sent[0] + SILENCE

    def sent(self, now: float) -> None:
        """Note a keep-alive."""
        self._sent.append(now)

    def answered(self, ttl: int) -> None:
        """Note the answer to the oldest keep-alive; etcd answers in order."""
        if ttl <= 0:
            self.end("etcd does not know it any more")
        elif self._sent:
            self.confirmed_at = self._sent.popleft()

    def forget_sent(self) -> None:
        """Note that the stream is gone, and every answer with it."""
        self._sent.clear()

    def end(self, reason: str) -> None:
        """Mark it lost."""
        if self.lost.is_set():
            return
        LOG.debug("lease %x: %s", self.id, reason)
        self.lost.set()
        for listener in self._listeners:
            listener()
        self._listeners.clear()


class LeaseKeeper:
    """All leases of one store. Its task runs from the first grant to close()."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._kept: dict[int, Lease] = {}
        self._task: asyncio.Task[None] | None = None

    async def grant(self, ttl: int, kept: bool) -> Lease:
        """Return a new lease; Unavailable while etcd is away."""
        request = messages.LeaseGrantRequest(TTL=ttl)
        sent_at = time.monotonic()
        answer = await self._channels.call(
            lambda channel: messages.LeaseStub(channel).LeaseGrant, request, "grant a lease"
        )
        lease = Lease(self, answer.ID, answer.TTL, sent_at)
        if kept:
            self._kept[lease.id] = lease
            self._task = self._task or asyncio.create_task(self._keep(), name="etcd lease keeper")
        return lease

    async def refresh(self, lease: Lease) -> None:
        """Send one keep-alive on a stream of its own and wait for the answer."""
        sent_at = time.monotonic()
        ttl = await self._channels.call(_beat_once, lease.id, f"refresh lease {lease.id:x}")
        if ttl <= 0:
            lease.end("etcd does not know it any more")
            raise LeaseLost(f"lease {lease.id:x} has expired")
        lease.confirmed_at = sent_at

    async def revoke(self, lease: Lease) -> None:
        """Revoke and mark it lost."""
        self._kept.pop(lease.id, None)
        lease.end("revoked")
        request = messages.LeaseRevokeRequest(ID=lease.id)
        with contextlib.suppress(LeaseLost):
            await self._channels.call(
                lambda channel: messages.LeaseStub(channel).LeaseRevoke, request, "revoke a lease"
            )

    async def close(self) -> None:
        """Stop; the leases run out by themselves."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _keep(self) -> None:
        """Keep every lease alive over as many connections as it takes."""
        while True:
            channel = self._channels.current()
            stream = messages.LeaseStub(channel).LeaseKeepAlive()
            reader = asyncio.create_task(self._read(stream), name="etcd lease answers")
            try:
                await self._beat(stream, reader)
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, TimeoutError) as error:
                LOG.debug("keep-alive stream: %r", error)
            finally:
                reader.cancel()
                stream.cancel()
                for lease in self._kept.values():
                    lease.forget_sent()
            self._channels.next(channel)
            self._drop_lost(time.monotonic())
            await asyncio.sleep(RETRY)

    async def _beat(self, stream: Any, reader: "asyncio.Task[None]") -> None:
        """Send what is due until the stream breaks or falls silent."""
        while not reader.done():
            now = time.monotonic()
            self._drop_lost(now)
            for lease in list(self._kept.values()):
                if lease.unanswered(now):
                    raise TimeoutError(f"no answer for {SILENCE} s")
                if lease.due(now):
                    lease.sent(now)
                    async with asyncio.timeout(SILENCE):
                        await stream.write(messages.LeaseKeepAliveRequest(ID=lease.id))
            await asyncio.wait({reader}, timeout=TICK)
        reader.result()

    async def _read(self, stream: Any) -> None:
        """Take answers until the stream ends."""
        while True:
            answer = await stream.read()
            if answer is grpc.aio.EOF:
                return
            lease = self._kept.get(answer.ID)
            if lease is not None:
                lease.answered(answer.TTL)

    def _drop_lost(self, now: float) -> None:
        for lease in list(self._kept.values()):
            if lease.expired(now):
                lease.end(f"no keep-alive got through for {lease.ttl} s")
            if lease.lost.is_set():
                del self._kept[lease.id]


def _beat_once(channel: Any) -> Any:
    """Return a call that sends one keep-alive and returns the TTL that is answered."""

    async def call(number: int, timeout: float) -> int:
        stream = messages.LeaseStub(channel).LeaseKeepAlive(timeout=timeout)
        try:
            await stream.write(messages.LeaseKeepAliveRequest(ID=number))
            answer = await stream.read()
        finally:
            stream.cancel()
        if answer is grpc.aio.EOF:
            raise Unavailable("etcd closed the keep-alive stream")
        return int(answer.TTL)

    return call
