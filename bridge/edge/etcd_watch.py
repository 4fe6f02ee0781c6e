"""A watch that neither loses nor invents a change: list, then follow; list again and compare when there is a gap.

The rules were learned from etcd itself. The header revision of an answer with events (and of the `created` answer) is
that of the store, not of the last event: only events and empty progress notifications say how far the watch has come.
A watch from a revision that etcd has not reached, after a restore from a backup, would stay silent until it does.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc.aio

from bridge.edge.etcd_channel import Channels, Compacted, messages, translate
from proto.errors import Unavailable

LOG = logging.getLogger(__name__)

IDLE = 10.0  # s without an answer until the watch asks whether anybody is there, and again until it gives up
FIRST_PAUSE = 0.05  # s between two tries
LONGEST_PAUSE = 2.0  # s

_BROKEN = (Unavailable, grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError)


@dataclass(frozen=True, slots=True)
class Stored:
    """One key as etcd holds it."""

    key: str
    value: bytes
    revision: int  # of its last write (mod)
    created: int  # of the write that made it exist
    lease: int = 0  # id; 0 = none

    @classmethod
    def of(cls, pair: Any) -> "Stored":
        """Return the value of a KeyValue message."""
        return cls(pair.key.decode(), bytes(pair.value), pair.mod_revision, pair.create_revision, pair.lease)


@dataclass(frozen=True, slots=True)
class Change:
    """A key that was written, or deleted (``stored`` is None), at ``revision``."""

    key: str
    stored: Stored | None
    revision: int


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything that existed when the watch began has been told."""


Listing = Callable[[str], Awaitable[tuple[list[Stored], int]]]
Only = Callable[[str], bool]


async def follow(
    channels: Channels, listing: Listing, prefix: str, end: bytes, only: Only
) -> AsyncGenerator[Change | Synced, None]:
    """Yield what ``EtcdStore.watch`` promises; ends only by being closed, or by an error that waiting does not mend."""
    watcher = _Watcher(channels, prefix, end, only)
    synced = False
    while True:
        try:
            stored, revision = await listing(prefix)
        except Unavailable as error:
            await watcher.pause(error)
            continue
        for change in watcher.differences(stored, revision):
            yield change
        if not synced:
            synced = True
            yield Synced()
        async with aclosing(watcher.changes(revision)) as changes:
            async for change in changes:
                yield change


class _Watcher:
    """What one watch knows: the keys it has told of, and how to wait."""

    def __init__(self, channels: Channels, prefix: str, end: bytes, only: Only) -> None:
        self._channels = channels
        self._prefix = prefix
        self._end = end
        self._only = only
        self._known: dict[str, int] = {}  # key -> mod revision that the reader was told
        self._pause = FIRST_PAUSE
        self._away = False

    def differences(self, stored: list[Stored], revision: int) -> list[Change]:
        """Return what the reader must be told to be at the state of a list, and take it as told."""
        present = {one.key: one for one in stored if self._only(one.key)}
        gone = [Change(key, None, revision) for key in self._known if key not in present]
        changed = [
            Change(key, one, one.revision) for key, one in present.items() if self._known.get(key) != one.revision
        ]
        self._known = {key: one.revision for key, one in present.items()}
        return gone + changed

    async def changes(self, revision: int) -> AsyncGenerator[Change, None]:
        """Yield what happens after ``revision``, over as many connections as it takes; ends at a gap."""
        while True:
            channel = self._channels.current()
            try:
                async with aclosing(_answers(channel, self._request(revision + 1))) as answers:
                    async for answer in answers:
                        _refuse_gap(answer, revision)
                        self._connected()
                        for change in self._told(answer):
                            yield change
                        revision = max(revision, _progress(answer))
            except Compacted as gap:
                LOG.info("watch %s: %s; reading everything again", self._prefix, gap)
                await asyncio.sleep(FIRST_PAUSE)
                return
            except _BROKEN as error:
                self._channels.next(channel)
                await self.pause(error)

    def _request(self, start: int) -> Any:
        create = messages.WatchCreateRequest(
            key=self._prefix.encode(), range_end=self._end, start_revision=start, progress_notify=True
        )
        return messages.WatchRequest(create_request=create)

    def _told(self, answer: Any) -> list[Change]:
        """Return the changes of an answer that the reader does not know yet, and take them as told."""
        changes = []
        for event in answer.events:
            key, revision = event.kv.key.decode(), event.kv.mod_revision
            if not self._only(key) or self._known.get(key, 0) >= revision:
                continue
            if event.type == event.PUT:
                self._known[key] = revision
                changes.append(Change(key, Stored.of(event.kv), revision))
            elif self._known.pop(key, None) is not None:
                changes.append(Change(key, None, revision))
        return changes

    async def pause(self, error: Exception) -> None:
        """Wait before the next try; says once that etcd is away. Raises what waiting does not mend."""
        problem = error if isinstance(error, Unavailable) else translate(error, f"watch {self._prefix}")
        if not isinstance(problem, Unavailable):
            raise problem from error
        if not self._away:
            LOG.warning("watch %s: %s; trying again until it answers", self._prefix, problem)
            self._away = True
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _connected(self) -> None:
        if self._away:
            LOG.info("watch %s: etcd answers again", self._prefix)
        self._away = False
        self._pause = FIRST_PAUSE


def _refuse_gap(answer: Any, revision: int) -> None:
    """Raise Compacted if the watch cannot go on from ``revision``."""
    if answer.canceled or answer.compact_revision:
        raise Compacted(f"cannot follow from revision {revision}: {answer.cancel_reason or 'compacted'}")
    if answer.created and answer.header.revision < revision:
        raise Compacted(f"etcd is at revision {answer.header.revision}, behind {revision}: restored, or a member lags")


def _progress(answer: Any) -> int:
    """Return the revision up to which an answer tells everything; 0 if it does not say."""
    if answer.events:
        return int(answer.events[-1].kv.mod_revision)
    # watch_id -1: the answer to our own progress request, which etcd before 3.4.25 sends ahead of pending events.
    return 0 if answer.created or answer.watch_id < 0 else int(answer.header.revision)


async def _answers(channel: Any, request: Any) -> AsyncGenerator[Any, None]:
    """Yield the answers on one watch stream; raises one of _BROKEN when it ends or falls silent."""
    stream = messages.WatchStub(channel).Watch()
    try:
        await stream.write(request)
        while True:
            yield await _read(stream)
    finally:
        stream.cancel()


async def _read(stream: Any) -> Any:
    """Return the next answer; a half-open connection is found by asking for progress."""
    reading = asyncio.ensure_future(stream.read())  # not wait_for: cancelling a read cancels the stream
    try:
        for _ in range(2):
            done, _pending = await asyncio.wait({reading}, timeout=IDLE)
            if done:
                answer = reading.result()
                if answer is grpc.aio.EOF:
                    raise Unavailable("etcd closed the watch")
                return answer
            await stream.write(messages.WatchRequest(progress_request=messages.rpc_pb2.WatchProgressRequest()))
        raise Unavailable(f"no sign of etcd for {2 * IDLE:.0f} s")
    finally:
        reading.cancel()
