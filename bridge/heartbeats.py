"""Heartbeats of all hosts of this process to the cascading Nova: one task, a few calls at a time.

A host beats from ``keep`` until ``drop``, whoever owns its site by then and whether or not the site answers: a
service that looks down makes nova-api delete servers locally and leave orphans in the site. Two bridges that beat for
the same host harm nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from zlib import crc32

from bridge.core.inventory import next_report_count
from bridge.edge.nova_conductor import ServiceGone
from proto.errors import CascadeError

LOG = logging.getLogger(__name__)

REPORT_INTERVAL = 10.0  # s; Nova's default, a sixth of its service_down_time
VERSION_INTERVAL = 300.0  # s between two looks at the version of nova-conductor, which may be upgraded under us
TICK = 0.5  # s
CALLS = 8  # heartbeats on the wire at the same time

# Gets the monotonic time at which the beat was sent, and Nova's service record; None: an operator deleted it.
Listener = Callable[[float, Mapping[str, Any] | None], None]


class Conductor(Protocol):
    """What heartbeats need of nova-conductor."""

    async def conductor_service_version(self) -> int:
        """Return the service version to advertise."""
        ...

    async def heartbeat(self, service_id: int, report_count: int, version: int) -> Mapping[str, Any]:
        """Report a host alive."""
        ...


@dataclass(slots=True)
class _Heart:
    host: str
    service_id: int
    count: int  # last report count sent
    due: float  # monotonic s
    listener: Listener | None
    beating: bool = False
    failing: bool = False


class Heartbeats:
    """The hearts of a process. ``run`` it once; the other methods may be called at any time."""

    def __init__(
        self,
        conductor: Conductor,
        interval: float = REPORT_INTERVAL,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._conductor = conductor
        self._interval = interval
        self._monotonic = monotonic
        self._now = now
        self._hearts: dict[str, _Heart] = {}
        self._calls = asyncio.Semaphore(CALLS)
        self._version = 0
        self._version_read_at = float("-inf")
        self._reading_version = asyncio.Lock()

    def hosts(self) -> frozenset[str]:
        """Return the hosts that beat."""
        return frozenset(self._hearts)

    def keep(self, host: str, service_id: int, report_count: int, listener: Listener | None = None) -> None:
        """Let a host beat from now on; ``report_count`` is the one in its service record. May be repeated."""
        self._hearts[host] = _Heart(host, service_id, report_count, self._monotonic(), listener)

    def deafen(self, host: str, listener: Listener) -> None:
        """Go on beating without this listener; one that has replaced it stays."""
        heart = self._hearts.get(host)
        if heart is not None and heart.listener == listener:
            heart.listener = None

    def drop(self, host: str) -> None:
        """Stop beating: another bridge does, or the host is no more."""
        self._hearts.pop(host, None)

    async def version(self) -> int:
        """Return the service version our hosts advertise: that of nova-conductor, at most VERSION_INTERVAL old.

        Unavailable if it was never read and cannot be now.
        """
        async with self._reading_version:
            if self._monotonic() - self._version_read_at >= VERSION_INTERVAL:
                await self._read_version()
        return self._version

    async def run(self) -> None:
        """Beat until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for heart in self._due():
                    group.create_task(self._beat(heart), name=f"heartbeat {heart.host}")
                await asyncio.sleep(TICK)

    def _due(self) -> list[_Heart]:
        """Take the hearts whose time has come, and set their next time; one still waiting for its answer is skipped."""
        now = self._monotonic()
        ready = [heart for heart in self._hearts.values() if heart.due <= now and not heart.beating]
        for heart in ready:
            heart.beating = True
            heart.due = next_due(heart.host, now, self._interval)
        return ready

    async def _beat(self, heart: _Heart) -> None:
        try:
            async with self._calls:
                if self._hearts.get(heart.host) is heart:
                    await self._send(heart)
        finally:
            heart.beating = False

    async def _send(self, heart: _Heart) -> None:
        heart.count = next_report_count(heart.count, self._now(), self._interval)
        sent_at = self._monotonic()
        try:
            service = await self._conductor.heartbeat(heart.service_id, heart.count, await self.version())
        except ServiceGone:
            if self._hearts.get(heart.host) is heart:
                self.drop(heart.host)
            LOG.error("host=%s: its Nova service was deleted, the host stops", heart.host)
            self._tell(heart, sent_at, None)
        except CascadeError as error:
            self._version_read_at = float("-inf")  # perhaps Nova was upgraded
            if not heart.failing:
                LOG.warning("host=%s: no heartbeat: %s", heart.host, error)
            heart.failing = True
        else:
            if heart.failing:
                LOG.info("host=%s: heartbeats go through again", heart.host)
            heart.failing = False
            self._tell(heart, sent_at, service)

    async def _read_version(self) -> None:
        try:
            found = await self._conductor.conductor_service_version()
        except CascadeError:
            if not self._version:
                raise
            return  # the old one will do; the next beat looks again
        if self._version and found != self._version:
            LOG.info("nova-conductor went from service version %d to %d, our hosts follow", self._version, found)
        self._version, self._version_read_at = found, self._monotonic()

    @staticmethod
    def _tell(heart: _Heart, sent_at: float, service: Mapping[str, Any] | None) -> None:
        if heart.listener is not None:
            heart.listener(sent_at, service)


def next_due(host: str, now: float, interval: float) -> float:
    """Return a host's next time after ``now``: each host has its own place in the interval, so the load is even."""
    phase = crc32(host.encode()) % 1000 / 1000 * interval
    return now + interval - (now - phase) % interval
