"""Sees what changes in the site and tells it: pages `changes-since`, looks one by one only where a page showed nothing.

Level, not edge: a look that was missed is made good by the overlap of the next one, and by the full listing behind it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from proto.errors import CascadeError, Unavailable
from site_agent.core.servers import Server, settled, surplus
from site_agent.handlers.delete import finish
from site_agent.site import Site

LOG = logging.getLogger(__name__)

PART = "observer"
DOUBT = 1.0  # s an ERROR without a fault must last to be believed
DOUBT_LOOK = 0.4  # s until a doubted server is looked at again
DELETE_LOOK = 10.0  # s between two looks at a server whose delete goes on, in case its row is gone for good
LOOKS_A_ROUND = 20
MOVING = 900.0  # s a server in transition keeps the pace fast
RETRY_LOOK = 3.0  # s


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the observer looks; s."""

    fast: float
    slow: float
    overlap: float
    resync: float


class Observer:
    """Watches the servers of one site."""

    def __init__(self, site: Site, pace: Pace, busy: Callable[[], int]) -> None:
        """``busy``: number of commands being carried out."""
        self._site = site
        self._memory = site.memory
        self._pace = pace
        self._busy = busy
        self._since = 0.0  # watermark, the site's clock
        self._resync_at = 0.0  # monotonic
        self._moving: dict[str, float] = {}  # uuid -> monotonic time its server was first seen in transition
        self._doubts: dict[str, float] = {}  # server id -> monotonic time it was first read as ERROR without a fault
        self._gone: set[str] = set()  # instances whose server vanished, not yet told
        self._finishing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self._round()
                self._site.problems.solved(PART)
            except CascadeError as error:
                self._site.problems.report(PART, str(error))
            except Exception as error:
                LOG.exception("a look at the site failed")
                self._site.problems.report(PART, repr(error))
            await self._pause()

    async def _round(self) -> None:
        """One look. The watermark moves only when all of it is done."""
        begun = self._site.clock.now(time.time()) - self._pace.overlap
        generations = dict(self._memory.generations)
        if time.monotonic() >= self._resync_at:
            await self._list_all(generations)
            self._resync_at = time.monotonic() + self._pace.resync
        else:
            async for page in self._site.servers.changed_since(self._since):
                if page.date:
                    self._site.clock.observe(page.date, time.time())
                await self._consider_all(page.servers, generations)
        await self._look_one_by_one(generations)
        self._since = begun
        for uuid in sorted(uuid for uuid in self._gone if not self._memory.occupied(uuid)):
            self._start_finish(uuid)

    async def _list_all(self, generations: Mapping[str, int]) -> None:
        """Tell of every tagged server; look at those that are known but were not listed."""
        missing, marker, more = set(self._memory.uuids), "", True
        while more:
            page = await self._site.servers.page(marker)
            missing.difference_update(server.server_id for server in page.servers)
            await self._consider_all(page.servers, generations)
            marker = page.marker
            more = bool(marker)
        self._memory.complete = True
        for server_id in missing:
            if uuid := self._memory.uuids.get(server_id):
                self._memory.unseen[uuid] = 0.0

    async def _consider_all(self, servers: list[Server], generations: Mapping[str, int]) -> None:
        await asyncio.gather(*(self._safely(s.server_id, partial(self._consider, s, generations)) for s in servers))

    async def _safely(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Trouble with one server stops nothing: it is looked at again by itself. Only NATS away stops the round."""
        try:
            await work()
        except Unavailable:
            raise
        except Exception:
            LOG.exception("observing %s", what)
            if uuid := self._memory.uuids.get(what):
                self._memory.unseen[uuid] = time.monotonic() + RETRY_LOOK

    async def _consider(self, server: Server, generations: Mapping[str, int]) -> None:
        uuid = server.uuid or self._memory.uuids.get(server.server_id, "")
        if not uuid or server.partial:
            return
        if server.deleted:
            self._vanish(server.server_id)
            return
        self._memory.know(uuid, server.server_id)
        if server.state.updated_at:
            self._site.clock.observe(server.state.updated_at, time.time())
        if not await self._is_to_be_told(uuid, server):
            return
        await self._site.reports.seen(uuid, server.state, generations.get(uuid, 0))
        if generations.get(uuid) == self._memory.generations.get(uuid) and uuid not in self._memory.deleting:
            self._memory.unseen.pop(uuid, None)
        if settled(server.state):
            self._moving.pop(uuid, None)
        else:
            self._moving.setdefault(uuid, time.monotonic())

    async def _is_to_be_told(self, uuid: str, server: Server) -> bool:
        now = time.monotonic()
        if server.doubtful and now < self._doubts.setdefault(server.server_id, now) + DOUBT:
            self._memory.unseen[uuid] = now + DOUBT_LOOK
            return False
        if not server.doubtful:
            self._doubts.pop(server.server_id, None)
        if server.soft_deleted and server.state.task_state is None and uuid in self._memory.deleting:
            await self._site.servers.delete(server.server_id, force=True)
        if len(self._memory.server_ids[uuid]) > 1:
            await self._drop_surplus(uuid)
        return server.server_id == self._memory.server_id(uuid)

    async def _drop_surplus(self, uuid: str) -> None:
        if self._memory.occupied(uuid):
            self._memory.unseen[uuid] = time.monotonic() + RETRY_LOOK
            return
        for server in surplus(await self._site.servers.tagged(uuid)):
            LOG.warning("instance=%s was made twice, deleting the surplus server %s", uuid, server.server_id)
            await self._site.servers.delete(server.server_id)

    def _vanish(self, server_id: str) -> None:
        uuid = self._memory.uuids.get(server_id, "")
        if self._memory.vanished(server_id):
            self._gone.add(uuid)
        elif uuid:
            self._memory.unseen[uuid] = 0.0  # the other of two servers stands for it now
        self._moving.pop(uuid, None)
        self._doubts.pop(server_id, None)

    async def _look_one_by_one(self, generations: Mapping[str, int]) -> None:
        now = time.monotonic()
        due = [uuid for uuid, moment in self._memory.unseen.items() if moment <= now][:LOOKS_A_ROUND]
        for uuid in due:
            self._memory.unseen.pop(uuid, None)
            if uuid in self._memory.deleting:
                self._memory.unseen[uuid] = now + DELETE_LOOK
            for server_id in list(self._memory.server_ids.get(uuid, ())):
                await self._safely(server_id, partial(self._look, server_id, generations))

    async def _look(self, server_id: str, generations: Mapping[str, int]) -> None:
        try:
            server = await self._site.servers.get(server_id)
        except Unavailable as error:  # perhaps of this server only: its cell
            LOG.info("server %s is looked at again later: %s", server_id, error)
            self._memory.unseen[self._memory.uuids[server_id]] = time.monotonic() + RETRY_LOOK
            return
        if server is None:
            self._vanish(server_id)
        else:
            await self._consider(server, generations)

    def _start_finish(self, uuid: str) -> None:
        self._gone.discard(uuid)
        task = asyncio.create_task(self._finish(uuid), name=f"finish {uuid}")
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _finish(self, uuid: str) -> None:
        """Release the ports and tell the absence, unless a new server stands for the instance by now."""
        try:
            async with self._memory.alone(uuid):
                if uuid not in self._memory.server_ids and not await self._made_anew(uuid):
                    await finish(self._site, uuid)
            self._site.problems.solved("deletes")
        except CascadeError as error:
            self._site.problems.report("deletes", f"the ports of {uuid} are released again later: {error}")
            self._gone.add(uuid)
        except Exception:
            LOG.exception("instance=%s is gone, but that could not be told", uuid)

    async def _made_anew(self, uuid: str) -> bool:
        """Whether another agent of the site has made a server of a new life, whose the ports are then."""
        found = await self._site.servers.tagged(uuid)
        for server in found:
            self._memory.know(uuid, server.server_id)
            self._memory.unseen[uuid] = 0.0
            self._memory.deleting.discard(uuid)  # that was the former life
        return bool(found)

    async def _pause(self) -> None:
        if self._is_fast():
            await asyncio.sleep(self._pace.fast)
            return
        self._memory.busy.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.slow):
                await self._memory.busy.wait()

    def _is_fast(self) -> bool:
        if self._busy() or self._memory.unseen or self._gone:
            return True
        horizon = time.monotonic() - MOVING
        return any(since > horizon for since in self._moving.values())
