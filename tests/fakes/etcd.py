"""etcd in memory, with the interface of EtcdStore; nothing happens by itself, and time only passes in the test.

etcd = FakeEtcd()
store, other = etcd.store(), etcd.store()     # two processes
etcd.away = True                              # every call is Unavailable; watches fall silent
lease.expire()                                # etcd drops it with its keys
"""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable

from bridge.edge.etcd_store import Change, Conflict, Guard, LeaseLost, OwnershipLost, Stored, Synced
from proto.errors import Unavailable

Only = Callable[[str], bool]


class FakeEtcd:
    """The server: its keys, its leases, and whether it answers."""

    def __init__(self) -> None:
        self.keys: dict[str, Stored] = {}
        self.revision = 1
        self.leases: dict[int, FakeLease] = {}
        self.numbers = itertools.count(1)
        self._away = False
        self._watchers: list[tuple[str, Only, asyncio.Queue[Change]]] = []
        self._held_back: list[Change] = []

    @property
    def away(self) -> bool:
        """Whether calls fail; what changes meanwhile (a lease expires) is told when it is back."""
        return self._away

    @away.setter
    def away(self, value: bool) -> None:
        self._away = value
        if not value:
            changes, self._held_back = self._held_back, []
            for change in changes:
                self.tell(change)

    def store(self) -> "FakeEtcdStore":
        """Return the store of one process."""
        return FakeEtcdStore(self)

    def write(self, key: str, value: bytes, lease: int) -> int:
        """Put a key, whatever it was."""
        self.revision += 1
        before = self.keys.get(key)
        self.keys[key] = Stored(key, value, self.revision, before.created if before else self.revision, lease)
        self.tell(Change(key, self.keys[key], self.revision))
        return self.revision

    def restore(self, backup: dict[str, bytes]) -> None:
        """Have these keys and no others; every lease is gone."""
        for lease in list(self.leases.values()):
            lease.expire()
        self.remove([key for key in self.keys if key not in backup])
        for key, value in backup.items():
            if key not in self.keys or self.keys[key].value != value:
                self.write(key, value, 0)

    def remove(self, keys: list[str]) -> None:
        """Delete keys in one revision."""
        self.revision += bool(keys)
        for key in keys:
            del self.keys[key]
            self.tell(Change(key, None, self.revision))

    def tell(self, change: Change) -> None:
        """Tell the watchers, now or when etcd is back."""
        if self._away:
            self._held_back.append(change)
            return
        for prefix, only, queue in self._watchers:
            if change.key.startswith(prefix) and only(change.key):
                queue.put_nowait(change)

    async def watch(self, prefix: str, only: Only) -> AsyncGenerator[Change | Synced, None]:
        """Yield what is there, Synced, and what changes."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        watcher = (prefix, only, queue)
        self._watchers.append(watcher)
        present = [self.keys[key] for key in sorted(self.keys) if key.startswith(prefix) and only(key)]
        try:
            for stored in present:
                yield Change(stored.key, stored, stored.revision)
            yield Synced()
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(watcher)


class FakeLease:
    """A lease that lives until somebody ends it."""

    def __init__(self, etcd: FakeEtcd, ttl: int) -> None:
        self.id = next(etcd.numbers)
        self.ttl = ttl
        self.lost = asyncio.Event()
        self._etcd = etcd
        self._confirmed_at = time.monotonic()
        self._listeners: list[Callable[[], None]] = []
        etcd.leases[self.id] = self

    @property
    def confirmed_at(self) -> float:
        """Monotonic s: now, unless etcd is away or the lease is lost."""
        if not self._etcd.away and not self.lost.is_set():
            self._confirmed_at = time.monotonic()
        return self._confirmed_at

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` once when the lease is lost."""
        if self.lost.is_set():
            listener()
        else:
            self._listeners.append(listener)

    def expire(self) -> None:
        """Let etcd drop it with its keys; the holder notices at once."""
        self._etcd.leases.pop(self.id, None)
        self._etcd.remove([key for key, stored in self._etcd.keys.items() if stored.lease == self.id])
        self.end("expired")

    def end(self, _reason: str) -> None:
        """Mark it lost."""
        if not self.lost.is_set():
            self.lost.set()
            for listener in self._listeners:
                listener()

    async def refresh(self) -> None:
        """Prolong it; LeaseLost if etcd dropped it."""
        _answering(self._etcd)
        if self.id not in self._etcd.leases:
            self.end("gone")
            raise LeaseLost(f"lease {self.id} has expired")

    async def revoke(self) -> None:
        """Give it back with its keys."""
        self.end("revoked")
        _answering(self._etcd)
        self.expire()


class FakeEtcdStore:
    """EtcdStore without a server."""

    def __init__(self, etcd: FakeEtcd) -> None:
        self._etcd = etcd

    async def get(self, key: str) -> Stored | None:
        """As EtcdStore.get."""
        await asyncio.sleep(0)
        _answering(self._etcd)
        return self._etcd.keys.get(key)

    async def list(self, prefix: str) -> tuple["list[Stored]", int]:
        """As EtcdStore.list."""
        await asyncio.sleep(0)
        _answering(self._etcd)
        return [self._etcd.keys[key] for key in sorted(self._etcd.keys) if key.startswith(prefix)], self._etcd.revision

    async def count(self, prefix: str) -> int:
        """As EtcdStore.count."""
        return len((await self.list(prefix))[0])

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: int | None = None,
        guard: Guard | None = None,
        lease: int | None = None,
    ) -> int:
        """As EtcdStore.put."""
        await asyncio.sleep(0)
        _answering(self._etcd)
        self._check_guard(key, guard)
        current = self._etcd.keys.get(key)
        if expected is not None and expected != (current.revision if current else 0):
            if current and (current.value, current.lease) == (value, lease or 0):
                return current.revision
            raise Conflict(f"{key}: expected revision {expected}, found {_revision(current)}")
        if lease and lease not in self._etcd.leases:
            raise LeaseLost(f"lease {lease} is gone")
        return self._etcd.write(key, value, lease or 0)

    async def delete(self, key: str, *, expected: int | None = None, guard: Guard | None = None) -> None:
        """As EtcdStore.delete."""
        await asyncio.sleep(0)
        _answering(self._etcd)
        self._check_guard(key, guard)
        current = self._etcd.keys.get(key)
        if current is None:
            return
        if expected is not None and expected != current.revision:
            raise Conflict(f"{key}: expected revision {expected}, found {_revision(current)}")
        self._etcd.remove([key])

    async def delete_prefix(self, prefix: str) -> int:
        """As EtcdStore.delete_prefix."""
        await asyncio.sleep(0)
        _answering(self._etcd)
        doomed = [key for key in self._etcd.keys if key.startswith(prefix)]
        self._etcd.remove(doomed)
        return len(doomed)

    def watch(self, prefix: str, only: Only | None = None) -> AsyncGenerator[Change | Synced, None]:
        """As EtcdStore.watch."""
        return self._etcd.watch(prefix, only or (lambda _key: True))

    async def grant(self, ttl: int, *, kept: bool = True) -> FakeLease:
        """As EtcdStore.grant; kept or not, it lives until it is ended."""
        await asyncio.sleep(0)
        _answering(self._etcd)
        return FakeLease(self._etcd, ttl)

    async def close(self) -> None:
        """As EtcdStore.close; leases stay, as after a crash."""

    def _check_guard(self, key: str, guard: Guard | None) -> None:
        holder = self._etcd.keys.get(guard[0]) if guard else None
        if guard and (holder is None or holder.created != guard[1]):
            raise OwnershipLost(f"{key}: {guard} is gone or another's")


def _answering(etcd: FakeEtcd) -> None:
    if etcd.away:
        raise Unavailable("etcd is away")


def _revision(stored: Stored | None) -> str:
    return f"revision {stored.revision}" if stored else "nothing"
