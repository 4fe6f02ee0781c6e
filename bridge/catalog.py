"""Versions of flavors, counted up in etcd when a flavor's content changes; shared by all sites and all bridges."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.core import flavor_digest, keys, translate
from bridge.core.records import FlavorVersion
from bridge.edge.etcd_store import Change, Conflict, Synced
from proto import codec
from proto.errors import Malformed
from proto.specs import FlavorSpec

LOG = logging.getLogger(__name__)


class VersionStore(Protocol):
    """What this module needs of etcd."""

    async def get(self, key: str) -> Any: ...
    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int: ...
    def watch(self, prefix: str) -> AsyncGenerator[Change | Synced, None]: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A record and the revision it was read at."""

    record: FlavorVersion
    revision: int


class Catalog:
    """One per bridge; every method may be repeated, by any number of bridges at once."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._known: dict[str, Known] = {}
        self._changed = asyncio.Event()
        self.synced = asyncio.Event()  # everything that was in etcd has been read

    async def follow(self) -> None:
        """Keep what etcd holds in memory, until cancelled."""
        async with aclosing(self._store.watch(keys.FLAVORS)) as changes:
            async for change in changes:
                if isinstance(change, Synced):
                    self.synced.set()
                else:
                    self._take(change)
                self._announce()

    @property
    def changed(self) -> asyncio.Event:
        """An event that is set by the next change; ask for it before looking."""
        return self._changed

    def versions(self) -> Mapping[str, FlavorVersion]:
        """Return every flavor's record, also of those gone above."""
        return {flavor_id: known.record for flavor_id, known in self._known.items()}

    def snapshot(self) -> Mapping[str, Known]:
        """Return what is known now: take it before looking above, and give it to ``saw``."""
        return dict(self._known)

    async def flavor(self, flavor: Mapping[str, Any]) -> FlavorSpec:
        """Return a boot's flattened Nova flavor with its version; a content never met gets the next number."""
        spec = translate.flavor_spec(flavor, version=0)
        content = flavor_digest.digest(spec)
        known = self._known.get(spec.flavor_id)
        if known is not None:
            record, number = flavor_digest.numbered(known.record, content)
            if record is known.record:
                return translate.flavor_spec(flavor, number)
        return translate.flavor_spec(flavor, await self._number(spec.flavor_id, content))

    async def saw(self, before: Mapping[str, Known], above: Iterable[FlavorSpec], gone: Iterable[str]) -> int:
        """Record the flavors as they are above; return how many changed.

        ``before``: the snapshot taken before the look. What another bridge has written since is newer and stays;
        ``gone``: ids that are surely not above any more.
        """
        written = 0
        for spec in above:
            written += await self._update(before.get(spec.flavor_id), spec.flavor_id, _seeing(spec))
        for flavor_id in gone:
            written += await self._update(before.get(flavor_id), flavor_id, _missing)
        return written

    async def raise_to(self, flavor_id: str, number: int) -> None:
        """Count on above a number that a site has and etcd does not know of: it has lost its count."""
        known = self._known.get(flavor_id)
        if known is None or known.record.last >= number:
            return
        record = flavor_digest.beyond(known.record, number)
        with contextlib.suppress(Conflict):  # whoever comes by next sees the same
            self._know(flavor_id, Known(record, await self._write(flavor_id, record, known.revision)))

    async def _update(
        self, known: Known | None, flavor_id: str, change: Callable[[FlavorVersion | None], FlavorVersion]
    ) -> int:
        record = change(known.record if known else None)
        if known is not None and record == known.record:
            return 0
        try:
            revision = await self._write(flavor_id, record, known.revision if known else 0)
        except Conflict:
            return 0  # another bridge looked later
        LOG.info("flavor %s is version %d%s", flavor_id, record.version, ", deleted" if record.deleted_at else "")
        self._know(flavor_id, Known(record, revision))
        return 1

    async def _number(self, flavor_id: str, content: str) -> int:
        while True:
            stored = await self._store.get(keys.flavor(flavor_id))
            present = codec.from_json(stored.value, FlavorVersion) if stored else None
            record, number = flavor_digest.numbered(present, content)
            revision = stored.revision if stored else 0
            try:
                if record != present:
                    revision = await self._write(flavor_id, record, revision)
            except Conflict:
                continue  # another bridge was faster: read what it wrote
            self._know(flavor_id, Known(record, revision))
            return number

    async def _write(self, flavor_id: str, record: FlavorVersion, expected: int) -> int:
        return await self._store.put(keys.flavor(flavor_id), codec.to_json(record), expected=expected)

    def _take(self, change: Change) -> None:
        flavor_id = change.key.removeprefix(keys.FLAVORS)
        if change.stored is None:
            self._known.pop(flavor_id, None)
            return
        try:
            record = codec.from_json(change.stored.value, FlavorVersion)
        except Malformed as error:
            LOG.error("the versions of flavor %s cannot be read: %s", flavor_id, error)
            return
        self._know(flavor_id, Known(record, change.stored.revision))

    def _know(self, flavor_id: str, known: Known) -> None:
        present = self._known.get(flavor_id)
        if present is None or present.revision < known.revision:
            self._known[flavor_id] = known
            self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _seeing(spec: FlavorSpec) -> Callable[[FlavorVersion | None], FlavorVersion]:
    return lambda record: flavor_digest.seen(record, spec)


def _missing(record: FlavorVersion | None) -> FlavorVersion:
    assert record is not None
    return flavor_digest.gone(record, time.time())
