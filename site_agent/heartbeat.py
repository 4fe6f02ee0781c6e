"""Says every few seconds that the agent lives, and how big the site is."""

import asyncio
import contextlib
import logging
import os
import platform
import socket
import time
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import PackageNotFoundError, version

import msgspec

from proto import codec, subjects
from proto.errors import CascadeError, FaultCode, Refused
from proto.messages import Capacity, SiteStatus
from site_agent.core import fits, rights
from site_agent.core.capacity import Reading, sum_up
from site_agent.core.quota_capacity import quota_capacity
from site_agent.edge.cloud import Service
from site_agent.site import Site

LOG = logging.getLogger(__name__)

PART = "capacity"


class Heartbeat:
    """Sends SiteStatus and keeps the capacity in it fresh."""

    def __init__(self, site: Site, busy: Callable[[], int], status_interval: float, capacity_interval: float) -> None:
        """``busy``: number of commands being carried out; intervals in s."""
        self._site = site
        self._busy = busy
        self._status_interval = status_interval
        self._capacity_interval = capacity_interval
        self._capacity: dict[str, Capacity] = {}
        self._bugs: set[str] = set()  # parts that failed by a bug the last time, its traceback logged
        self._first = asyncio.Event()  # the capacity was read, or cannot be
        self._started = time.time()
        self._agent = f"{socket.gethostname()}-{os.getpid()}-{int(self._started)}"
        self._versions = {
            "agent": _own_version(),
            "nova": site.cloud.microversion,
            "python": platform.python_version(),
        }

    async def beat(self) -> None:
        """Send a status every few seconds, for ever; the first one when the capacity is known."""
        await self._first.wait()
        while True:
            with self._survived("status"):
                await self._site.road.send(subjects.status(self._site.name), codec.encode(self.status()))
            await asyncio.sleep(self._status_interval)

    def status(self) -> SiteStatus:
        """What the agent would say now."""
        return SiteStatus(
            site=self._site.name,
            agent=self._agent,
            sent_at=time.time(),
            started_at=self._started,
            capacity=self._capacity,
            versions=self._versions,
            busy=self._busy(),
            problem=self._problem(),
            degraded=[*self._site.problems.degraded(), *self._site.cloud.breakers.slow()],
            breakers=self._site.cloud.breakers.shown(),
            transfers=self._site.transfers.shown(),
            epoch=self._site.epoch.number,
        )

    def _problem(self) -> str | None:
        """Return what keeps the site from its work; Placement only tells how big it is."""
        breakers = self._site.cloud.breakers.shown()
        open_ones = [f"{service} API {text}" for service, text in breakers.items() if service != Service.PLACEMENT]
        return "; ".join([*filter(None, [self._site.problems.summary()]), *open_ones]) or None

    async def _read(self) -> dict[str, Capacity]:
        """Return what the hosts have or, where the credentials may not see them, what the project's quota allows."""
        problems = self._site.problems
        try:
            found = await read_capacity(self._site)
            reason = "the site's catalogue names no Placement"
        except Refused as error:
            found, reason = {}, f"the credentials may not read hosts and Placement: {error}"
        if found:
            problems.restored(PART)
            return found
        found = await read_quota_capacity(self._site)
        if not found:
            raise Refused(FaultCode.REJECTED, f"{reason}; and no quota bounds what its project may use")
        problems.degrade(PART, f"the project's quota counts: {reason}")
        return found

    async def _note_lesser(self) -> None:
        """Note what the site's release lacks; its extensions are read once."""
        lesser = {
            "nova": rights.lesser_nova(self._site.cloud.microversion),
            "neutron": rights.lesser_neutron(await self._site.networks.extensions()),
        }
        for part, texts in lesser.items():
            if texts:
                self._site.problems.degrade(part, "; ".join(texts))

    async def measure(self) -> None:
        """Read the site's Placement every capacity_interval s, for ever."""
        while True:
            with self._survived(PART):
                await self._measured()
            self._first.set()
            await asyncio.sleep(self._capacity_interval)

    async def _measured(self) -> None:
        try:
            await self._note_lesser()
            self._capacity = await self._read()
            self._site.problems.solved(PART)
        except Refused as error:
            self._capacity = {}
            self._site.problems.report(PART, str(error))
        except CascadeError as error:  # the last reading stands; the bridge sees the problem beside it
            self._site.problems.report(PART, str(error))

    @contextlib.contextmanager
    def _survived(self, part: str) -> Iterator[None]:
        """A bug of ours, or an answer nobody foresaw, must not end an agent that carries out commands."""
        try:
            yield
            if part in self._bugs:
                self._bugs.discard(part)
                self._site.problems.solved(part)
        except Exception as error:
            if part not in self._bugs:
                LOG.exception("%s failed by a bug; the agent goes on", part)
            self._bugs.add(part)
            self._site.problems.report(part, f"a bug: {error!r}")


async def read_capacity(site: Site) -> dict[str, Capacity]:
    """Return the capacity by availability zone; Refused if the credentials may not read it."""
    if not site.cloud.offers(Service.PLACEMENT):
        return {}
    zones = await site.hosts.zones()
    names = await site.hosts.providers()
    providers = [await site.hosts.provider(name) for name in names]
    there = [provider for provider in providers if provider is not None]
    return sum_up(there, zones, Reading(await _our_consumers(site), site.stock.flavors.values(), time.time()))


async def _our_consumers(site: Site) -> Collection[str]:
    """Return what of ours holds allocations: the servers, and their migrations as long as a resize is not confirmed.

    The cloud above has allocated both too, so neither may count as what others use.
    """
    ours = await _our_servers(site)
    moves = await site.hosts.moves()
    return {*ours, *(migration for migration, server in moves.items() if server in ours)}


async def _our_servers(site: Site) -> Collection[str]:
    """Return the ids of the servers that stand for instances above: from memory, once all were seen."""
    if site.memory.complete:
        return site.memory.uuids
    found: set[str] = set()
    marker, more = "", True
    while more:
        page = await site.servers.page(marker)
        page.must_be_complete()
        found.update(server.server_id for server in page.servers if server.uuid)
        marker = page.marker
        more = bool(marker)
    return found


async def read_quota_capacity(site: Site) -> dict[str, Capacity]:
    """Return the capacity by availability zone as the quota of the agent's project bounds it; empty if it does not."""
    quota, zones = await site.quotas.quota(), await site.quotas.zones()
    found = quota_capacity(quota, await site.flavors.list(), zones, time.time())
    known = site.stock.flavors.values()
    return {zone: msgspec.structs.replace(one, fits=fits.within(one, known)) for zone, one in found.items()}


def _own_version() -> str:
    try:
        return version("openstack-cascade")
    except PackageNotFoundError:
        return "unknown"
