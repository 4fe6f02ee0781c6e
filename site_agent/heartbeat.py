"""Says every few seconds that the agent lives, and how big the site is."""

import asyncio
import logging
import os
import platform
import socket
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from proto import codec, subjects
from proto.errors import CascadeError, Refused
from proto.messages import Capacity, SiteStatus
from site_agent.core.capacity import sum_up
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
            problem=self._site.problems.summary(),
        )

    async def measure(self) -> None:
        """Read the site's Placement every capacity_interval s, for ever."""
        while True:
            try:
                self._capacity = await read_capacity(self._site)
                self._site.problems.solved(PART)
            except Refused as error:
                self._capacity = {}
                self._site.problems.report(PART, f"the credentials may not read hosts and Placement: {error}")
            except CascadeError as error:  # the last reading stands; the bridge sees the problem beside it
                self._site.problems.report(PART, str(error))
            self._first.set()
            await asyncio.sleep(self._capacity_interval)


async def read_capacity(site: Site) -> dict[str, Capacity]:
    """Return the capacity by availability zone; Refused if the credentials may not read it."""
    if not site.cloud.offers(Service.PLACEMENT):
        return {}
    zones = await site.hosts.zones()
    names = await site.hosts.providers()
    return sum_up([await site.hosts.provider(name) for name in names], zones)


def _own_version() -> str:
    try:
        return version("openstack-cascade")
    except PackageNotFoundError:
        return "unknown"
