"""The instance records of one owned site: held in memory, written through to etcd under the owner's guard."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from bridge.core import keys
from bridge.core.records import InstanceRecord
from bridge.owner import Ownership
from proto import codec


class _Stored(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes: ...
    @property
    def revision(self) -> int: ...


class RecordStore(Protocol):
    """What this module needs of etcd; EtcdStore and its in-memory fake have it."""

    async def list(self, prefix: str) -> tuple[Sequence[_Stored], int]: ...
    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, guard: tuple[str, int] | None = None
    ) -> int: ...
    async def delete(self, key: str, *, expected: int | None = None, guard: tuple[str, int] | None = None) -> None: ...


class Instances:
    """Only the owner writes records, so what is in memory is what etcd holds."""

    def __init__(self, ownership: Ownership, store: RecordStore) -> None:
        self._ownership = ownership
        self._site = ownership.site
        self._store = store
        self._records: dict[str, tuple[InstanceRecord, int]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self) -> None:
        """Read every record of the site; call once, before anything else."""
        stored, _ = await self._store.list(keys.instances(self._site))
        for entry in stored:
            record = codec.from_json(entry.value, InstanceRecord)
            self._records[record.uuid] = (record, entry.revision)

    def get(self, uuid: str) -> InstanceRecord | None:
        """Return the record of an instance, None if there is none."""
        known = self._records.get(uuid)
        return known[0] if known else None

    def all(self) -> list[InstanceRecord]:
        """Return every record."""
        return [record for record, _ in self._records.values()]

    async def put(self, record: InstanceRecord) -> None:
        """Write a record if it differs; OwnershipLost or Conflict if another bridge took the site over."""
        known = self._records.get(record.uuid)
        if known is not None and known[0] == record:
            return
        self._ownership.check()
        revision = await self._store.put(
            keys.instance(self._site, record.uuid),
            codec.to_json(record),
            expected=known[1] if known else 0,
            guard=self._ownership.guard,
        )
        self._records[record.uuid] = (record, revision)

    async def drop(self, uuid: str) -> None:
        """Forget an instance: nothing of it is left anywhere."""
        known = self._records.get(uuid)
        if known is None:
            return
        self._ownership.check()
        await self._store.delete(keys.instance(self._site, uuid), expected=known[1], guard=self._ownership.guard)
        del self._records[uuid]

    def lock(self, uuid: str) -> asyncio.Lock:
        """Return the lock of an instance: held while an RPC is planned or an observation saved."""
        return self._locks[uuid]

    def forget_lock(self, uuid: str) -> None:
        """Free the lock of an instance that has no record and no work any more."""
        lock = self._locks.get(uuid)
        if lock is not None and not lock.locked() and uuid not in self._records:
            del self._locks[uuid]
