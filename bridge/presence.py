"""What the cascading Nova sees of one owned site: its hosts come, grow, are disabled while it is silent, and return."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bridge import kept_status, shown_life
from bridge.core import inventory, standing
from bridge.core.inventory import OURS, Hearing, Liveness
from bridge.core.records import SiteSpec
from bridge.heartbeats import Heartbeats
from bridge.host_presence import Conductor, Edges, HostPresence, Node, NovaApi, Placement
from bridge.kept_status import KeptStatus
from bridge.shown_life import ShownLife
from proto.errors import CascadeError, Stale, Unavailable
from proto.messages import Capacity, ImageTransfer, SiteStatus

__all__ = ["Node", "Presence"]

LOG = logging.getLogger(__name__)

ROUND_INTERVAL = 5.0  # s between two rounds without news
OFFSET_SAMPLES = 8  # the quickest of the last messages tells the clock offset best


class Store(kept_status.Store, shown_life.Store, Protocol):
    """What presence needs of etcd."""


class Presence:
    """One owned site. ``run`` it as long as it is owned; the other methods may be called at any time.

    The hosts' queues must be declared before ``run``: Nova drops casts to a queue that is not there.
    """

    def __init__(
        self,
        spec: SiteSpec,
        *,
        conductor: Conductor,
        placement: Placement,
        nova_api: NovaApi,
        store: Store,
        heartbeats: Heartbeats,
        guard: tuple[str, int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is sent yet. ``guard``: owner key and its create revision."""
        self._spec = spec
        self._site = spec.site
        self._monotonic = monotonic
        self._now = now
        self._news = asyncio.Event()
        edges = Edges(conductor, placement, nova_api, heartbeats, monotonic)
        self._hosts = {entry.host: HostPresence(spec.site, entry, edges, self._news.set) for entry in spec.hosts}
        self._heartbeats = heartbeats
        self._hearing = Hearing(last=monotonic())
        self._spoke_at = float("-inf")  # monotonic s of the last status, good or not
        self._problem = False  # the last status reported one
        self._good: SiteStatus | None = None  # the last one without a problem
        self._agents: dict[str, float] = {}  # agent -> monotonic s of its last good status
        self._offsets: deque[float] = deque(maxlen=OFFSET_SAMPLES)
        self._held: str | None = None
        self.heard_epoch = 0  # the newest that an agent knows
        self.returned = asyncio.Event()  # it was silent and speaks again, and nobody compared its census since
        self._compared = False  # since it was silent last, in this ownership
        self._life = ShownLife(spec.site, store, guard)
        self._kept = KeptStatus(spec.site, store, guard, monotonic, now)
        self.uploads: Callable[[], list[ImageTransfer]] = list  # of the site, which only its bridge sees
        self._said: dict[str, str] = {}  # host -> trouble that was logged

    @property
    def clock_offset(self) -> float:
        """Seconds the site's clock is ahead of ours; 0 before its first status. Delays make it seem behind."""
        return max(self._offsets, default=0.0)

    @property
    def liveness(self) -> Liveness | None:
        """Whether the site is online or silent; None while that cannot be told yet."""
        live = inventory.liveness(self._hearing, self._monotonic())
        return Liveness.SILENT if self.given_up else live

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

    def forced_down(self) -> dict[str, bool]:
        """Return whether an operator has forced a host down, for each that Nova was asked about: he gives it up."""
        return {name: host.forced_down for name, host in self._hosts.items() if host.node is not None}

    @property
    def speaks(self) -> bool:
        """Whether the site is heard and its agent knows its present life, given up or not."""
        return inventory.liveness(self._hearing, self._monotonic()) is Liveness.ONLINE

    @property
    def given_up(self) -> bool:
        """Whether an operator gave the whole site up: nothing is asked of it, whatever it says."""
        return all(host in self._spec.given_up for host in self._hosts)

    def compared(self) -> None:
        """The census of a site that was silent is compared: it may have new servers. Nothing while it is silent."""
        if self.liveness is not Liveness.SILENT:
            self._compared = True
            self.returned.clear()
            self._news.set()

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
        self.heard_epoch = max(self.heard_epoch, status.epoch)
        current = status.epoch in (0, self._spec.epoch)  # else it does not know yet that it was given up
        self._hearing = inventory.heard(self._hearing, now, status.problem is None and current)
        self._spoke_at, self._problem = now, status.problem is not None
        if not self._problem:
            self._good = status
            self._agents = {name: at for name, at in self._agents.items() if now - at <= inventory.SILENT_AFTER}
            self._agents[status.agent] = now
        self._offsets.append(status.sent_at - self._now())
        self._news.set()
        await self._kept.keep(status, self.clock_offset, self.uploads())

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
        if self.liveness is Liveness.SILENT:
            self._compared = False
            self.returned.clear()
        for host in self._hosts.values():
            try:
                if not host.gone:
                    await self._care(host)
                self._said.pop(host.spec.host, None)
            except CascadeError as error:
                self._complain(host.spec.host, str(error))
        await self._tell_life()

    async def _tell_life(self) -> None:
        reasons = [host.reason for host in self._hosts.values() if host.disabled]
        state = standing.state(self._spec, self.liveness, self._is_troubled(), reasons)
        if state is standing.State.RETURNED:
            self.returned.set()
        try:
            if state is not None:
                await self._life.show(state)
        except (Stale, Unavailable) as error:
            LOG.debug("site=%s: its state was not stored: %s", self._site, error)

    async def _care(self, host: HostPresence) -> None:
        if host.node is None:
            await host.register()
        good = self._good
        capacity = inventory.capacity_of(good, host.spec) if good else None
        await self._switch(host)
        if good is not None and capacity is not None:
            specs = [other.spec for other in self._hosts.values()]
            await host.show(capacity, inventory.offers(good, specs, self._spec.caps)[host.spec.host])
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
        if live is Liveness.SILENT and host.spec.host not in self._spec.given_up:
            return inventory.TROUBLED if self._is_troubled() else inventory.SILENT
        returned = not self._compared and host.disabled and host.reason in standing.AWAY
        if returned and live is None and host.spec.host not in self._spec.given_up:
            return host.reason  # too early to tell
        if (why := standing.obstacle(self._spec, host.spec.host, live, returned, self.clock_offset)) is not None:
            return why
        if self._held is not None:
            return self._held
        empty = self._good is not None and inventory.capacity_of(self._good, host.spec) is None
        return inventory.NO_CAPACITY if empty else None

    def _is_troubled(self) -> bool:
        return self._problem and self._monotonic() - self._spoke_at <= inventory.SILENT_AFTER

    def _complain(self, host: str, trouble: str) -> None:
        if self._said.get(host) != trouble:
            LOG.warning("site=%s host=%s: %s", self._site, host, trouble)
        self._said[host] = trouble
