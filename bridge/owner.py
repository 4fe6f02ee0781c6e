"""Shares the sites evenly among any number of bridges: one etcd lease per bridge, one owner key per site.

A bridge has one lease; the key by which it announces itself and every owner key it writes die with it. The create
revision of an owner key names the ownership: writes guarded by it fail as soon as anybody else owns the site. As Nova
and JetStream know no such guard, ``Ownership`` also ends by our own clock, some seconds before etcd would let go.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from bridge.core import keys, sharing
from bridge.core.records import LiveBridge, Owner, SiteSpec
from bridge.edge.etcd_store import Change, Conflict, EtcdStore, Lease, LeaseLost, Stored
from bridge.owned_site import OwnedSite, RunSite
from bridge.ownership import Ownership
from bridge.shared_sites import SharedSites, bridge_of
from proto import codec
from proto.errors import Stale, Unavailable

__all__ = ["Ownership", "share_sites"]

LOG = logging.getLogger(__name__)

TTL = 15  # s a dead bridge keeps its sites
LAST_WORDS = 3.0  # s for giving the lease back at the end
GATHER = 0.05  # s that news is gathered before it is acted upon: a death is news of many keys
LOOK = 1.0  # s at most between two looks at what to take and to give
TAKEN_WITHIN = 5.0  # s; a site that lies free for longer is anybody's
JOIN_SETTLES = 5.0  # s since a bridge last came or went until sites move for it

OnOwned = Callable[[SiteSpec], None]
OnReplaced = Callable[[str], None]


async def share_sites(
    store: EtcdStore,
    bridge_id: str,
    run_site: RunSite,
    on_owned: OnOwned = lambda _spec: None,
    on_replaced: OnReplaced = lambda _site: None,
) -> None:
    """Own a fair share of the sites and run each in a task of its own until cancelled; then free them at once.

    ``run_site`` is started again, with a pause, when it ends or fails; it is cancelled when the lease or the owner key
    is lost, when the site is given to a bridge that has less, and when the spec changes (then the site is taken anew)
    or goes. ``on_owned(spec)`` is called whenever a site is taken; ``on_replaced(site)`` once a site that was ours is
    seen to be another's, or is removed: a heartbeat begun at the one and ended at the other outlives the ownership for
    as long as nobody else beats.
    """
    sharing_them = _Sharing(store, bridge_id, run_site, on_owned, on_replaced)
    while True:
        await sharing_them.one_life()


class _LifeOver(Exception):
    """The lease is lost: everything of this life stops."""


class _Sharing:
    """This bridge's part. A life is the time of one lease; it begins with a fresh look at etcd."""

    def __init__(
        self, store: EtcdStore, bridge_id: str, run_site: RunSite, on_owned: OnOwned, on_replaced: OnReplaced
    ) -> None:
        self._store = store
        self._run_site = run_site
        self._on_owned = on_owned
        self._on_replaced = on_replaced
        self._said = LiveBridge(bridge_id, 0.0)  # what it announces: counts go on from life to life
        self._announced: LiveBridge | None = None
        self._value = b""  # of every owner key of a life: the same, so a repeated put recognises its earlier try
        self._owned: dict[str, OwnedSite] = {}
        self._last_owned: set[str] = set()  # sites nobody else was seen to own since we did
        self._table = self._new_table()

    @property
    def _bridge(self) -> str:
        return self._said.bridge

    def _new_table(self) -> SharedSites:
        return SharedSites(self._store, self._spec_changed, self._owner_changed)

    async def one_life(self) -> None:
        """Take a lease and share the sites until it is lost; waits while etcd is away."""
        try:
            lease = await self._store.grant(TTL)
        except Unavailable as error:
            LOG.warning("bridge %s owns nothing: %s", self._bridge, error)
            await asyncio.sleep(error.retry_after)
            return
        self._table, self._announced = self._new_table(), None
        self._said = msgspec.structs.replace(self._said, since=time.time())
        self._value = codec.to_json(Owner(self._bridge, since=self._said.since))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._table.follow(), name="follow sites and bridges")
                group.create_task(self._share(group, lease), name="share sites")
                await lease.lost.wait()
                raise _LifeOver
        except* _LifeOver:
            LOG.warning("bridge %s lost its lease: its %d sites are free for others", self._bridge, len(self._owned))
            self._count(lost=len(self._owned))
        finally:
            self._owned.clear()
            with suppress(Unavailable, Stale, TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await lease.revoke()

    # -- what etcd tells ----------------------------------------------------------------------------------------------

    def _spec_changed(self, site: str) -> None:
        owned = self._owned.get(site)
        if owned and owned.spec != self._table.specs.get(site):
            LOG.info("site=%s spec changed", site)
            owned.dismissed.set()
        self._forget_removed()

    def _owner_changed(self, site: str, change: Change) -> None:
        if change.stored is not None and bridge_of(change.stored) != self._bridge:
            self._replaced(site)
        owned = self._owned.get(site)
        # A change older than our own key is news from the past: the watch lags behind the claim.
        if owned and change.revision > owned.ownership.revision and not owned.ownership.ended:
            LOG.warning("site=%s owner key is gone or another's", site)
            owned.ownership.ended = True
            owned.dismissed.set()
            self._count(lost=1)

    def _forget_removed(self) -> None:
        if self._table.complete.is_set():
            for site in self._last_owned - self._table.specs.keys():
                self._replaced(site)

    def _replaced(self, site: str) -> None:
        if site in self._last_owned:
            self._last_owned.discard(site)
            self._on_replaced(site)

    # -- taking and giving --------------------------------------------------------------------------------------------

    async def _share(self, group: asyncio.TaskGroup, lease: Lease) -> None:
        """Announce the bridge, take what it lacks of its share and give what it has too much, for ever."""
        await self._table.complete.wait()
        self._forget_removed()
        while True:
            self._table.changed.clear()
            try:
                await self._announce(lease)
                await self._take(group, lease)
                self._give(lease)
            except Unavailable as error:
                LOG.debug("sharing sites: %s", error)
                await asyncio.sleep(error.retry_after)
                continue
            except LeaseLost:
                lease.end("etcd refused it")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._table.changed.wait()
            await asyncio.sleep(GATHER)

    async def _announce(self, lease: Lease) -> None:
        if self._announced != self._said:
            said = self._said
            await self._store.put(keys.bridge(f"{lease.id:x}"), codec.to_json(said), lease=lease.id)
            self._announced = said

    async def _take(self, group: asyncio.TaskGroup, lease: Lease) -> None:
        """Claim free sites in random order, so that bridges that want one each seldom want the same."""
        for site, stored in list(self._table.owners.items()):
            if stored.lease == lease.id and site not in self._owned:
                await self._claim(group, lease, site)  # it is ours by a claim whose answer was lost
        free = self._table.free()
        order = random.sample(sorted(free), len(free))
        while order and sharing.room(self._table.loads(lease.id), lease.id, len(order)):
            await self._claim(group, lease, order.pop())
        now = time.monotonic()
        for site in order:
            if now - free[site] > TAKEN_WITHIN and await self._claim(group, lease, site):
                self._table.pass_over(lease.id)

    def _give(self, lease: Lease) -> None:
        """Give one site back if others have too few; its heart beats on until another bridge is seen to own it."""
        table, moving = self._table, any(owned.dismissed.is_set() for owned in self._owned.values())
        settled = time.monotonic() - table.joined_at > JOIN_SETTLES
        if moving or not settled or table.free() or not sharing.gives(table.loads(lease.id), lease.id):
            return
        site = random.choice(sorted(self._owned))
        LOG.info("site=%s is given to a bridge that has less than %s", site, self._bridge)
        self._owned[site].dismissed.set()
        self._count(given=1)

    async def _claim(self, group: asyncio.TaskGroup, lease: Lease, site: str) -> bool:
        """Take a site; False if it went to another bridge, is ours already or is no more."""
        spec = self._table.specs.get(site)
        if spec is None or site in self._owned:
            return False
        try:
            revision = await self._store.put(keys.owner(site), self._value, expected=0, lease=lease.id)
        except Conflict:
            LOG.debug("site=%s went to another bridge", site)
            return False
        owned = self._owned[site] = OwnedSite(spec, Ownership(site, revision, lease))
        if self._table.specs.get(site) != spec:
            owned.dismissed.set()
        former = self._table.former(site)
        self._table.claimed(site, Stored(keys.owner(site), self._value, revision, revision, lease.id))
        self._last_owned.add(site)
        self._count(taken=1)
        LOG.info("site=%s owned by bridge %s, revision %s, before: %s", site, self._bridge, revision, former or "none")
        self._on_owned(spec)
        group.create_task(self._own(owned), name=f"own {site}")
        return True

    async def _own(self, owned: OwnedSite) -> None:
        site = owned.spec.site
        await owned.work(self._run_site, self._store)
        del self._owned[site]
        self._table.given(site, owned.ownership.revision)

    def _count(self, taken: int = 0, given: int = 0, lost: int = 0) -> None:
        said = self._said
        self._said = msgspec.structs.replace(
            said, taken=said.taken + taken, given=said.given + given, lost=said.lost + lost
        )
