"""What the cascading Nova sees of one owned site: its hosts come, grow, are disabled while it is silent, and return."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from bridge.core import inventory, keys
from bridge.core.inventory import OURS, Hearing, LastStatus, Liveness
from bridge.heartbeats import Heartbeats
from bridge.host_presence import Conductor, Edges, HostPresence, Node, NovaApi, Placement
from proto.codec import to_json
from proto.errors import CascadeError, Stale, Unavailable
from proto.messages import Capacity, ImageTransfer, SiteHost, SiteStatus

__all__ = ["Node", "Presence"]

LOG = logging.getLogger(__name__)

ALIVE_TTL = 30  # s the last SiteStatus stays in etcd
ALIVE_INTERVAL = 5.0  # s at least between two writes of it
ROUND_INTERVAL = 5.0  # s between two rounds without news
OFFSET_SAMPLES = 8  # the quickest of the last messages tells the clock offset best


class Lease(Protocol):
    """A lease that lives only by ``refresh``."""

    id: int

    async def refresh(self) -> None:
        """Prolong it once."""
        ...


class Store(Protocol):
    """What presence needs of etcd."""

    async def grant(self, ttl: int, *, kept: bool = True) -> Lease:
        """Return a new lease."""
        ...

    async def put(
        self, key: str, value: bytes, *, guard: tuple[str, int] | None = None, lease: int | None = None
    ) -> object:
        """Write a key that dies with the lease; Stale if guard or lease is gone."""
        ...


class Presence:
    """One owned site. ``run`` it as long as it is owned; the other methods may be called at any time.

    The hosts' queues must be declared before ``run``: Nova drops casts to a queue that is not there.
    """

    def __init__(
        self,
        site: str,
        hosts: Iterable[SiteHost],
        *,
        conductor: Conductor,
        placement: Placement,
        nova_api: NovaApi,
        store: Store,
        heartbeats: Heartbeats,
        caps: Mapping[str, int] | None = None,
        guard: tuple[str, int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is sent yet. ``guard``: owner key and its create revision; ``caps``: what may be offered at most."""
        self._caps = caps or {}
        self._site = site
        self._monotonic = monotonic
        self._now = now
        self._store = store
        self._guard = guard
        self._news = asyncio.Event()
        edges = Edges(conductor, placement, nova_api, heartbeats, monotonic)
        self._hosts = {spec.host: HostPresence(site, spec, edges, self._news.set) for spec in hosts}
        self._heartbeats = heartbeats
        self._hearing = Hearing(last=monotonic())
        self._spoke_at = float("-inf")  # monotonic s of the last status, good or not
        self._problem = False  # the last status reported one
        self._good: SiteStatus | None = None  # the last one without a problem
        self._agents: dict[str, float] = {}  # agent -> monotonic s of its last good status
        self._offsets: deque[float] = deque(maxlen=OFFSET_SAMPLES)
        self._held: str | None = None
        self._lease: Lease | None = None
        self._saved_at = float("-inf")  # monotonic s
        self.uploads: Callable[[], list[ImageTransfer]] = list  # of the site, which only its bridge sees
        self._said: dict[str, str] = {}  # host -> trouble that was logged

    @property
    def clock_offset(self) -> float:
        """Seconds the site's clock is ahead of ours; 0 before its first status. Delays make it seem behind."""
        return max(self._offsets, default=0.0)

    @property
    def liveness(self) -> Liveness | None:
        """Whether the site is online or silent; None while that cannot be told yet."""
        return inventory.liveness(self._hearing, self._monotonic())

    @property
    def agents(self) -> frozenset[str]:
        """The agent processes heard of lately; more than one where several serve the site."""
        now = self._monotonic()
        return frozenset(name for name, at in self._agents.items() if now - at <= inventory.SILENT_AFTER)

    def node_of(self, host: str) -> Node:
        """Return how Nova knows a host; Unavailable until it is registered, Stale if it is not (or no longer) ours."""
        found = self._hosts.get(host)
        if found is None or found.gone:
            raise Stale(f"host {host} does not stand for site {self._site}")
        if found.node is None:
            raise Unavailable(f"host {host} is not registered in Nova yet")
        return found.node

    def capacity_of(self, host: str) -> Capacity | None:
        """Return what the site last said of the zone a host stands for; None if it has not yet."""
        found = self._hosts.get(host)
        return inventory.capacity_of(self._good, found.spec) if found is not None and self._good is not None else None

    def forced_down(self) -> frozenset[str]:
        """Return the hosts an operator has forced down: he gives the site up."""
        return frozenset(name for name, host in self._hosts.items() if host.forced_down)

    def hold(self, why: str | None) -> None:
        """Keep new servers away for a reason of the bridge's own (a backlog), until called with None."""
        self._held = f"{OURS} {why}" if why else None
        self._news.set()

    async def set_host_enabled(self, host: str, enabled: bool) -> str:
        """Answer Nova's CALL: 'enabled' or 'disabled'; Stale for a host of another site."""
        if host not in self._hosts:
            raise Stale(f"host {host} does not stand for site {self._site}")
        return await self._hosts[host].set_enabled(enabled)

    async def on_status(self, status: SiteStatus) -> None:
        """Take a SiteStatus; never fails. May be called for several at once, of several agents."""
        now = self._monotonic()
        self._hearing = inventory.heard(self._hearing, now, status.problem is None)
        self._spoke_at, self._problem = now, status.problem is not None
        if not self._problem:
            self._good = status
            self._agents = {name: at for name, at in self._agents.items() if now - at <= inventory.SILENT_AFTER}
            self._agents[status.agent] = now
        self._offsets.append(status.sent_at - self._now())
        self._news.set()
        if now - self._saved_at >= ALIVE_INTERVAL:
            self._saved_at = now
            await self._save(status)

    async def run(self) -> None:
        """Keep the site's hosts up to date until cancelled; they go on beating after that, until dropped."""
        try:
            while True:
                self._news.clear()
                await self.round()
                try:
                    async with asyncio.timeout(ROUND_INTERVAL):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            for name, host in self._hosts.items():
                self._heartbeats.deafen(name, host.on_beat)

    async def round(self) -> None:
        """Do for each host what is due now; what does not succeed is logged once and tried again in the next round."""
        for host in self._hosts.values():
            try:
                if not host.gone:
                    await self._care(host)
                self._said.pop(host.spec.host, None)
            except CascadeError as error:
                self._complain(host.spec.host, str(error))

    async def _care(self, host: HostPresence) -> None:
        if host.node is None:
            await host.register()
        good = self._good
        capacity = inventory.capacity_of(good, host.spec) if good else None
        await self._switch(host)
        if good is not None and capacity is not None:
            specs = [other.spec for other in self._hosts.values()]
            await host.show(capacity, inventory.offers(good, specs, self._caps)[host.spec.host])
        if not host.in_zone:
            await host.join_zone()
            await self._switch(host)

    async def _switch(self, host: HostPresence) -> None:
        """Enabling waits for the zone; a host that is in use already is not disabled for it."""
        live = self.liveness
        obstacle = self._obstacle(host, live)
        if obstacle is None and host.disabled and not host.in_zone:
            obstacle = inventory.UNPLACED
        await host.switch(live, obstacle)

    def _obstacle(self, host: HostPresence, live: Liveness | None) -> str | None:
        """Return why the host must not take new servers now. After a take-over the site has time to be heard."""
        if self._good is None and (host.new or host.reason == inventory.WAITING):
            return inventory.WAITING
        if live is Liveness.SILENT:
            speaks = self._monotonic() - self._spoke_at <= inventory.SILENT_AFTER
            return inventory.TROUBLED if speaks and self._problem else inventory.SILENT
        if self._held is not None:
            return self._held
        empty = self._good is not None and inventory.capacity_of(self._good, host.spec) is None
        return inventory.NO_CAPACITY if empty else None

    async def _save(self, status: SiteStatus) -> None:
        """Store the status under a lease that only statuses prolong, so that it vanishes with the site's silence."""
        last = LastStatus(
            **msgspec.structs.asdict(status) | {"transfers": [*status.transfers, *self.uploads()]},
            received_at=self._now(),
            clock_offset=self.clock_offset,
        )
        try:
            if self._lease is None:
                self._lease = await self._store.grant(ALIVE_TTL, kept=False)
            else:
                await self._lease.refresh()
            await self._store.put(keys.alive(self._site), to_json(last), guard=self._guard, lease=self._lease.id)
        except (Stale, Unavailable) as error:
            self._lease = None
            LOG.debug("site=%s: its status was not stored: %s", self._site, error)

    def _complain(self, host: str, trouble: str) -> None:
        if self._said.get(host) != trouble:
            LOG.warning("site=%s host=%s: %s", self._site, host, trouble)
        self._said[host] = trouble
