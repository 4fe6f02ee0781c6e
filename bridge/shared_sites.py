"""What etcd tells a bridge of all sites, of their owners and of the other bridges."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from bridge.core import keys, sharing
from bridge.core.records import Owner, SiteSpec
from bridge.edge.etcd_store import Change, EtcdStore, Stored, Synced
from proto import codec
from proto.errors import Malformed

LOG = logging.getLogger(__name__)


class SharedSites:
    """The table of one life of a bridge, a little behind etcd. ``changed`` is set by all news once it is complete.

    ``on_spec(site)`` and ``on_owner(site, change)`` are called after the table has the news.
    """

    def __init__(
        self, store: EtcdStore, on_spec: Callable[[str], None], on_owner: Callable[[str, Change], None]
    ) -> None:
        self._store = store
        self._on_spec = on_spec
        self._on_owner = on_owner
        self.specs: dict[str, SiteSpec] = {}
        self.owners: dict[str, Stored] = {}  # site -> its owner key
        self.changed = asyncio.Event()
        self.complete = asyncio.Event()
        self.joined_at = time.monotonic()  # when a bridge last came or went
        self._bridges: dict[str, int] = {}  # key -> lease
        self._free_since: dict[str, float] = {}
        self._former: dict[str, str] = {}  # site -> the bridge that was last seen to own it
        self._given: dict[str, int] = {}  # site -> revision of our key that we deleted last
        self._passed: frozenset[int] = frozenset()

    async def follow(self) -> None:
        """Keep the table up to date, for ever."""
        synced = [asyncio.Event(), asyncio.Event()]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_sites(synced[0]), name="follow sites")
            group.create_task(self._follow_bridges(synced[1]), name="follow bridges")
            for event in synced:
                await event.wait()
            self.complete.set()
            self.changed.set()

    def loads(self, me: int) -> dict[int, int]:
        """Return how many sites each bridge has; those that let sites lie do not count."""
        owners = {site: stored.lease for site, stored in self.owners.items() if site in self.specs}
        found = sharing.loads(owners, self._bridges.values(), me)
        return {lease: load for lease, load in found.items() if lease == me or lease not in self._passed}

    def free(self) -> dict[str, float]:
        """Return the sites that nobody owns, with the monotonic time since when."""
        now = time.monotonic()
        self._free_since = {site: self._free_since.get(site, now) for site in self.specs if site not in self.owners}
        return dict(self._free_since)

    def former(self, site: str) -> str:
        """Return the bridge that was last seen to own a site; empty if none was."""
        return self._former.get(site, "")

    def claimed(self, site: str, stored: Stored) -> None:
        """A key of ours is written; its news comes later."""
        self.owners[site] = stored

    def given(self, site: str, revision: int) -> None:
        """A key of ours is deleted; its news comes later."""
        self._given[site] = revision
        if site in self.owners and self.owners[site].revision <= revision:
            del self.owners[site]
        self.changed.set()

    def pass_over(self, me: int) -> None:
        """Nobody who has less took a site that lay free: keep nothing for them until they take one."""
        self._passed |= sharing.passed_over(self.loads(me), me)

    async def _follow_sites(self, synced: asyncio.Event) -> None:
        async with aclosing(self._store.watch(keys.SITES, only=_matters)) as changes:
            async for change in self._news(changes, synced):
                if (site := keys.site_of_spec(change.key)) is not None:
                    self._spec_changed(site, change)
                elif (site := keys.site_of_owner(change.key)) is not None:
                    self._owner_changed(site, change)

    async def _follow_bridges(self, synced: asyncio.Event) -> None:
        async with aclosing(self._store.watch(keys.BRIDGES)) as changes:
            async for change in self._news(changes, synced):
                known = change.key in self._bridges
                if change.stored is None:
                    self._bridges.pop(change.key, None)
                else:
                    self._bridges[change.key] = change.stored.lease
                if known is not (change.stored is not None):
                    self.joined_at = time.monotonic()
                    LOG.info("bridges: %d", len(self._bridges))

    async def _news(
        self, changes: AsyncGenerator[Change | Synced, None], synced: asyncio.Event
    ) -> AsyncGenerator[Change, None]:
        async for change in changes:
            if isinstance(change, Synced):
                synced.set()
                continue
            yield change
            if self.complete.is_set():
                self.changed.set()

    def _spec_changed(self, site: str, change: Change) -> None:
        self.specs.pop(site, None)
        if change.stored is not None:
            try:
                self.specs[site] = codec.from_json(change.stored.value, SiteSpec)
            except Malformed as error:
                LOG.error("site=%s has a spec that cannot be read: %s", site, error)
        self._on_spec(site)

    def _owner_changed(self, site: str, change: Change) -> None:
        if change.stored is not None and change.stored.revision == self._given.get(site):
            return  # a key that we have deleted since
        self.owners.pop(site, None)
        if change.stored is not None:
            self.owners[site] = change.stored
            self._former[site] = bridge_of(change.stored)
            self._passed -= {change.stored.lease}
        self._on_owner(site, change)


def _matters(key: str) -> bool:
    return keys.site_of_spec(key) is not None or keys.site_of_owner(key) is not None


def bridge_of(owner: Stored) -> str:
    """Return the bridge that an owner key names; empty if it cannot be read."""
    try:
        return codec.from_json(owner.value, Owner).bridge
    except Malformed:
        return ""
