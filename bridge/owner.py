"""Shares the sites among any number of bridges: one etcd lease per bridge, one owner key per site.

A bridge has one lease; every owner key it writes dies with it. The key's create revision names the ownership: writes
guarded by it fail as soon as anybody else owns the site. As Nova and JetStream know no such guard, ``Ownership`` also
ends by our own clock, some seconds before etcd would let go.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from bridge.core import keys
from bridge.core.records import Owner, SiteSpec
from bridge.edge.etcd_store import Change, Conflict, EtcdStore, Lease, LeaseLost, Stored, Synced
from bridge.ownership import Ownership
from proto import codec
from proto.errors import CascadeError, Malformed, Stale, Unavailable

__all__ = ["Ownership", "share_sites"]

LOG = logging.getLogger(__name__)

TTL = 15  # s a dead bridge keeps its sites
LAST_WORDS = 3.0  # s for giving the lease back at the end
FIRST_PAUSE = 1.0  # s until a site that failed runs again
LONGEST_PAUSE = 60.0  # s; a site that ran for longer than this begins at FIRST_PAUSE again


RunSite = Callable[[SiteSpec, Ownership], Awaitable[None]]
OnOwned = Callable[[SiteSpec], None]
OnReplaced = Callable[[str], None]


async def share_sites(
    store: EtcdStore,
    bridge_id: str,
    run_site: RunSite,
    on_owned: OnOwned = lambda _spec: None,
    on_replaced: OnReplaced = lambda _site: None,
) -> None:
    """Own free sites and run each in a task of its own until cancelled; then give them to other bridges at once.

    ``run_site`` is started again, with a pause, when it ends or fails; it is cancelled when the lease or the owner key
    is lost and when the spec changes (then the site is taken anew) or goes. ``on_owned(spec)`` is called whenever a
    site is taken; ``on_replaced(site)`` once a site that was ours is seen to be another's, or is removed: a heartbeat
    begun at the one and ended at the other outlives the ownership for as long as nobody else beats.
    """
    sharing = _Sharing(store, bridge_id, run_site, on_owned, on_replaced)
    while True:
        await sharing.one_life()


class _LifeOver(Exception):
    """The lease is lost: everything of this life stops."""


@dataclass(slots=True)
class _Owned:
    """A site this bridge owns. ``dismissed`` asks its task to stop and give the key back."""

    spec: SiteSpec
    ownership: Ownership
    dismissed: asyncio.Event = field(default_factory=asyncio.Event)


class _Sharing:
    """The sites as this bridge sees them. A life is the time of one lease; it begins with a fresh look at etcd."""

    def __init__(
        self, store: EtcdStore, bridge_id: str, run_site: RunSite, on_owned: OnOwned, on_replaced: OnReplaced
    ) -> None:
        self._store = store
        self._bridge = bridge_id
        self._run_site = run_site
        self._on_owned = on_owned
        self._on_replaced = on_replaced
        self._specs: dict[str, SiteSpec] = {}
        self._owners: dict[str, Stored] = {}  # site -> its owner key
        self._owned: dict[str, _Owned] = {}
        self._last_owned: set[str] = set()  # sites nobody else was seen to own since we did
        self._changed = asyncio.Event()
        self._value = (
            b""  # of every owner key of this life: the same, so that a repeated put recognises its earlier try
        )

    async def one_life(self) -> None:
        """Take a lease and share the sites until it is lost; waits while etcd is away."""
        try:
            lease = await self._store.grant(TTL)
        except Unavailable as error:
            LOG.warning("bridge %s owns nothing: %s", self._bridge, error)
            await asyncio.sleep(error.retry_after)
            return
        self._specs.clear()
        self._owners.clear()
        self._changed.clear()
        self._value = codec.to_json(Owner(self._bridge, since=time.time()))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(), name="follow sites")
                group.create_task(self._claim_free_sites(group, lease), name="claim sites")
                await lease.lost.wait()
                raise _LifeOver
        except* _LifeOver:
            LOG.warning("bridge %s lost its lease: its sites are free for others", self._bridge)
        finally:
            self._owned.clear()
            with suppress(Unavailable, Stale, TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await lease.revoke()

    # -- what etcd tells ----------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        synced = False
        async with aclosing(self._store.watch(keys.SITES, only=_matters)) as changes:
            async for change in changes:
                if isinstance(change, Synced):
                    synced = True
                    self._forget_removed()
                elif (site := keys.site_of_spec(change.key)) is not None:
                    self._spec_changed(site, change)
                elif (site := _site_of_owner(change.key)) is not None:
                    self._owner_changed(site, change)
                if synced:
                    self._changed.set()

    def _spec_changed(self, site: str, change: Change) -> None:
        self._specs.pop(site, None)
        if change.stored is not None:
            try:
                self._specs[site] = codec.from_json(change.stored.value, SiteSpec)
            except Malformed as error:
                LOG.error("site=%s has a spec that cannot be read: %s", site, error)
        owned = self._owned.get(site)
        if owned and owned.spec != self._specs.get(site):
            LOG.info("site=%s spec changed", site)
            owned.dismissed.set()
        if change.stored is None:
            self._forget_removed()

    def _owner_changed(self, site: str, change: Change) -> None:
        self._owners.pop(site, None)
        if change.stored is not None:
            self._owners[site] = change.stored
            if _bridge_of(change.stored) != self._bridge:
                self._replaced(site)
        owned = self._owned.get(site)
        # A change older than our own key is news from the past: the watch lags behind the claim.
        if owned and change.revision > owned.ownership.revision:
            LOG.warning("site=%s owner key is gone or another's", site)
            owned.ownership.ended = True
            owned.dismissed.set()

    def _forget_removed(self) -> None:
        for site in self._last_owned - self._specs.keys():
            self._replaced(site)

    def _replaced(self, site: str) -> None:
        if site in self._last_owned:
            self._last_owned.discard(site)
            self._on_replaced(site)

    # -- taking sites -------------------------------------------------------------------------------------------------

    async def _claim_free_sites(self, group: asyncio.TaskGroup, lease: Lease) -> None:
        """Claim whatever is free, in random order so that bridges that start together share."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            free = [site for site in self._specs if self._is_free(site, lease)]
            random.shuffle(free)
            for site in free:
                try:
                    await self._claim(group, lease, site)
                except Unavailable as error:
                    LOG.debug("claiming %s: %s", site, error)
                    self._changed.set()
                    await asyncio.sleep(error.retry_after)
                except LeaseLost:
                    lease.end("etcd refused it")
                except Conflict:
                    LOG.debug("site=%s went to another bridge", site)

    def _is_free(self, site: str, lease: Lease) -> bool:
        """Whether to claim; also if the key is ours by a claim whose answer was lost."""
        owner = self._owners.get(site)
        return site not in self._owned and (owner is None or owner.lease == lease.id)

    async def _claim(self, group: asyncio.TaskGroup, lease: Lease, site: str) -> None:
        spec = self._specs.get(site)
        if spec is None:
            return
        revision = await self._store.put(keys.owner(site), self._value, expected=0, lease=lease.id)
        owned = self._owned[site] = _Owned(spec, Ownership(site, revision, lease))
        if self._specs.get(site) != spec:
            owned.dismissed.set()
        self._last_owned.add(site)
        LOG.info("site=%s owned by bridge %s, revision %s", site, self._bridge, revision)
        self._on_owned(spec)
        group.create_task(self._own(owned), name=f"own {site}")

    # -- working for a site -------------------------------------------------------------------------------------------

    async def _own(self, owned: _Owned) -> None:
        """Run the site until it is dismissed or this life ends; what it does at its end is still covered."""
        site = owned.spec.site
        runner = asyncio.create_task(self._keep_running(owned), name=f"site {site}")
        try:
            await owned.dismissed.wait()
        finally:
            runner.cancel()
            await asyncio.wait({runner})
            owned.ownership.ended = True
        await self._give_back(owned.ownership)
        del self._owned[site]
        self._changed.set()

    async def _keep_running(self, owned: _Owned) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            if owned.ownership.valid():
                await self._run(owned)
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            LOG.debug("site=%s runs again in %.1f s", owned.spec.site, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run(self, owned: _Owned) -> None:
        """Run a site once; whatever it raises concerns this site only."""
        site = owned.spec.site
        try:
            await self._run_site(owned.spec, owned.ownership)
            LOG.warning("site=%s ended by itself and will be run again", site)
        except CascadeError as error:
            LOG.warning("site=%s stopped and will be run again: %s", site, error)
        except Exception:
            LOG.exception("site=%s failed and will be run again", site)

    async def _give_back(self, ownership: Ownership) -> None:
        """Delete the owner key if it is still as we wrote it; waits while etcd is away."""
        while True:
            try:
                await self._store.delete(keys.owner(ownership.site), expected=ownership.revision)
            except Stale:
                return
            except Unavailable as error:
                await asyncio.sleep(error.retry_after)
            else:
                return


def _matters(key: str) -> bool:
    return keys.site_of_spec(key) is not None or _site_of_owner(key) is not None


def _site_of_owner(key: str) -> str | None:
    site = key.removeprefix(keys.SITES).partition("/")[0]
    return site if key == keys.owner(site) else None


def _bridge_of(owner: Stored) -> str | None:
    try:
        return codec.from_json(owner.value, Owner).bridge
    except Malformed:
        return None
