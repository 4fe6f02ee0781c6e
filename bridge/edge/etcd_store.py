"""etcd as the bridge sees it: compare-and-set under an ownership guard, lists at one revision, watches and leases."""

import builtins
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core import keys
from bridge.edge.etcd_channel import Channels, Compacted, LeaseLost, messages
from bridge.edge.etcd_lease import Lease, LeaseKeeper
from bridge.edge.etcd_watch import Change, Stored, Synced, follow
from proto.errors import Misconfigured, Stale, Unavailable

__all__ = [
    "Change", "Conflict", "EtcdStore", "Guard", "Lease", "LeaseLost", "OwnershipLost", "Stored", "Synced",
]  # fmt: skip

LOG = logging.getLogger(__name__)

PAGE = 500  # keys of one Range answer

Listed = tuple[list[Stored], int]  # keys in order, and the revision of them all
Guard = tuple[str, int]  # key and its create revision: a write goes through only while that key lives


class Conflict(Stale):
    """The key is not at the expected revision: read it again."""


class OwnershipLost(Stale):
    """The guard key is gone or another's: this process no longer owns the site."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One guarded write, as the two halves of a transaction."""

    key: str
    operation: Any  # RequestOp
    expected: int | None
    guard: Guard | None


class EtcdStore:
    """One etcd cluster. Safe for many tasks of one event loop."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._leases = LeaseKeeper(channels)

    @classmethod
    async def connect(
        cls,
        endpoints: Sequence[str],
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
    ) -> "EtcdStore":
        """Return a store whose etcd has just answered; Misconfigured after about 5 s without an answer."""
        channels = Channels(endpoints, ca_file, cert_file, key_file)
        store = cls(channels)
        try:
            await store.get(keys.PREFIX)
        except Unavailable as error:
            await channels.close()
            raise Misconfigured(f"cannot reach etcd at {channels.names}: {error}; check [etcd] endpoints") from error
        return store

    async def get(self, key: str) -> Stored | None:
        """Return what a key holds now, or None. Unavailable while etcd is away."""
        answer = await self._range(messages.RangeRequest(key=key.encode()), f"get {key}")
        return Stored.of(answer.kvs[0]) if answer.kvs else None

    async def list(self, prefix: str) -> Listed:
        """Return all keys under a prefix as they were at one revision, and that revision."""
        while True:
            try:
                return await self._list(prefix)
            except Compacted:
                LOG.debug("list %s: the revision was compacted away meanwhile, beginning again", prefix)

    async def _list(self, prefix: str) -> Listed:
        found: builtins.list[Stored] = []
        start, end, revision = prefix.encode(), _end_of(prefix), 0
        while True:
            request = messages.RangeRequest(key=start, range_end=end, limit=PAGE, revision=revision)
            answer = await self._range(request, f"list {prefix}")
            revision = revision or answer.header.revision
            found.extend(Stored.of(pair) for pair in answer.kvs)
            if not answer.more:
                return found, revision
            start = answer.kvs[-1].key + b"\0"

    async def count(self, prefix: str) -> int:
        """Return how many keys a prefix has, without reading them."""
        request = messages.RangeRequest(key=prefix.encode(), range_end=_end_of(prefix), count_only=True)
        return int((await self._range(request, f"count {prefix}")).count)

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: int | None = None,
        guard: Guard | None = None,
        lease: int | None = None,
    ) -> int:
        """Write a key and return its new mod revision.

        ``expected``: mod revision it must have, 0 = it must not exist, None = whatever it has; else Conflict, unless
        it already holds exactly this: an earlier try of this very call may have got through and lost its answer.
        ``guard``: else OwnershipLost. ``lease``: id of a lease the key dies with; LeaseLost if that is gone.
        After Unavailable it may be written or not: read it again.
        """
        request = messages.PutRequest(key=key.encode(), value=value, lease=lease or 0)
        write = _Write(key, messages.RequestOp(request_put=request), expected, guard)
        answer = await self._write(write, f"put {key}")
        if answer.succeeded:
            return int(answer.header.revision)
        current = _current(answer)
        if current and current.value == value and current.lease == (lease or 0) and not _guard_failed(write, answer):
            return current.revision
        raise _refusal(write, answer)

    async def delete(self, key: str, *, expected: int | None = None, guard: Guard | None = None) -> None:
        """Delete a key, also if it does not exist; ``expected`` and ``guard`` as for put."""
        request = messages.DeleteRangeRequest(key=key.encode())
        write = _Write(key, messages.RequestOp(request_delete_range=request), expected, guard)
        answer = await self._write(write, f"delete {key}")
        if not answer.succeeded and (_current(answer) or _guard_failed(write, answer)):
            raise _refusal(write, answer)

    async def delete_prefix(self, prefix: str) -> int:
        """Delete every key under a prefix and return how many there were; may be repeated."""
        if not prefix:
            raise ValueError("an empty prefix would delete everything")
        request = messages.DeleteRangeRequest(key=prefix.encode(), range_end=_end_of(prefix))
        answer = await self._call(lambda channel: messages.KVStub(channel).DeleteRange, request, f"delete {prefix}")
        return int(answer.deleted)

    def watch(self, prefix: str, only: Callable[[str], bool] | None = None) -> AsyncGenerator[Change | Synced, None]:
        """Yield every key under a prefix, Synced, then each change for ever; also over restarts of etcd.

        After a gap (compaction, a restored etcd) it yields the differences, so the reader always ends at the present
        state; changes in between may be missed. Keys for which ``only`` is False are skipped. Close it with aclose().
        """
        return follow(self._channels, self.list, prefix, _end_of(prefix), only or (lambda _key: True))

    async def grant(self, ttl: int, *, kept: bool = True) -> Lease:
        """Return a new lease of ``ttl`` s, kept alive by this process; not ``kept``: by ``lease.refresh()`` only."""
        return await self._leases.grant(ttl, kept)

    async def close(self) -> None:
        """Stop keeping leases (they run out by themselves) and close the connections."""
        await self._leases.close()
        await self._channels.close()

    async def _range(self, request: Any, what: str) -> Any:
        return await self._call(lambda channel: messages.KVStub(channel).Range, request, what)

    async def _write(self, write: _Write, what: str) -> Any:
        compares = []
        reads = [_read(write.key)]
        if write.expected is not None:
            compares.append(_compare(write.key, "MOD", write.expected))
        if write.guard is not None:
            compares.append(_compare(write.guard[0], "CREATE", write.guard[1]))
            reads.append(_read(write.guard[0]))
        request = messages.TxnRequest(compare=compares, success=[write.operation], failure=reads)
        return await self._call(lambda channel: messages.KVStub(channel).Txn, request, what)

    async def _call(self, method: Any, request: Any, what: str) -> Any:
        return await self._channels.call(method, request, what)


def _end_of(prefix: str) -> bytes:
    """Return the first key after all keys of a prefix; our keys are ASCII, so the last byte can be raised."""
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def _compare(key: str, what: str, revision: int) -> Any:
    compare = messages.Compare
    if what == "MOD":
        return compare(key=key.encode(), target=compare.MOD, result=compare.EQUAL, mod_revision=revision)
    return compare(key=key.encode(), target=compare.CREATE, result=compare.EQUAL, create_revision=revision)


def _read(key: str) -> Any:
    return messages.RequestOp(request_range=messages.RangeRequest(key=key.encode()))


def _stored(answer: Any, index: int) -> Stored | None:
    pairs = answer.responses[index].response_range.kvs
    return Stored.of(pairs[0]) if pairs else None


def _current(answer: Any) -> Stored | None:
    """Return what the key of a refused write holds."""
    return _stored(answer, 0)


def _guard_failed(write: _Write, answer: Any) -> bool:
    if write.guard is None:
        return False
    holder = _stored(answer, 1)
    return holder is None or holder.created != write.guard[1]


def _refusal(write: _Write, answer: Any) -> Stale:
    if _guard_failed(write, answer):
        return OwnershipLost(f"{write.key}: {write.guard} is gone or another's")
    current = _current(answer)
    found = f"revision {current.revision}" if current else "nothing"
    return Conflict(f"{write.key}: expected revision {write.expected}, found {found}")
