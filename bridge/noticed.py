"""Notices what tenants change without any RPC (names, descriptions, hostnames, metadata) and carries it to the sites.

One poll of the cascading API's changes-since for all sites of a bridge. Nova 34 counts a rename, new or changed
metadata and a lock as a change of the server; a metadata item that is deleted, and tags, it does not: the former shows
with the next change, at the latest after RESYNC. Tags and locks stay above, where the API keeps them. Metadata that a
vendor adds in his site stays there: only what was told before, and is gone above, is removed below; what a tenant
removes while no bridge looks after his site is therefore left there.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection
from typing import Protocol

from bridge.core.names import Known, Look, portions, telling
from proto import codec, subjects
from proto.errors import CascadeError, Refused
from proto.jetstream import JetStream
from proto.messages import Query, Reply
from proto.queries import QueryName
from proto.specs import ServerNames

LOG = logging.getLogger(__name__)

INTERVAL = 3.0  # s between two looks
SHARE = 5.0  # times as long as a look took is waited at least
OVERLAP = 5.0  # s that a look reaches back before the one before it: clocks, and Nova's whole seconds
RESYNC = 300.0  # s between two full looks at a site's servers
NOT_YET = 30.0  # s until what a site could not take is told again
ANSWER = 30.0  # s the site has for one message


class ServerSource(Protocol):
    """Where the servers above are read: bridge/edge/nova_servers.py."""

    async def changed_since(self, moment: float) -> Look: ...
    async def on_host(self, host: str) -> Look: ...


class ServerWatch:
    """Sees which servers changed above, for all sites of a bridge: tells each site of those on its hosts."""

    def __init__(self, source: ServerSource) -> None:
        self.source = source
        self._listeners: dict[str, Callable[[Known], None]] = {}  # by host
        self._since = 0.0  # the cascading cloud's clock; 0 = not known yet

    def listen(self, hosts: Collection[str], saw: Callable[[Known], None]) -> None:
        """Let ``saw`` be called with every server of these hosts that changes from now on."""
        self._listeners |= dict.fromkeys(hosts, saw)

    def forget(self, hosts: Collection[str], saw: Callable[[Known], None]) -> None:
        """End that, unless another owner of the same site listens by now."""
        self._listeners = {h: heard for h, heard in self._listeners.items() if h not in hosts or heard != saw}

    async def run(self) -> None:
        """Look until cancelled; trouble above is waited for."""
        while True:
            began = time.monotonic()
            try:
                if self._listeners:
                    await self.look()
            except CascadeError as error:
                LOG.debug("changed servers cannot be seen: %s", error)
            except Exception:  # one odd server above must not end the bridge
                LOG.exception("changed servers cannot be understood")
            await asyncio.sleep(max(INTERVAL, (time.monotonic() - began) * SHARE))

    async def look(self) -> None:
        """Look once. The watermark moves only when all of it was seen; the first look only learns the time."""
        look = await self.source.changed_since(self._since or time.time())
        for known in look.servers:
            if saw := self._listeners.get(known.host):
                saw(known)
        self._since = look.date - OVERLAP


class Noticed:
    """One ownership of one site: its servers are called what their tenants call them. ``run`` it as long."""

    def __init__(self, site: str, hosts: Collection[str], watch: ServerWatch, road: JetStream) -> None:
        self._site = site
        self._hosts = hosts
        self._watch = watch
        self._road = road
        self._told: dict[str, Known] = {}  # by uuid
        self._wanted: dict[str, Known] = {}  # to be told
        self._waiting: dict[str, float] = {}  # what the site could not take: not before then (monotonic s)
        self._fresh: set[str] = set()  # seen by the watch since a full look began, which may show older names
        self._loaded = -RESYNC
        self._stirred = asyncio.Event()  # something is to be told

    async def run(self) -> None:
        """Tell what is noticed until cancelled; what fails is tried again."""
        self._watch.listen(self._hosts, self._heard)
        try:
            while True:
                try:
                    if time.monotonic() - self._loaded >= RESYNC:
                        await self._load()
                    await self._tell()
                except CascadeError as error:
                    LOG.debug("site=%s names: %s", self._site, error)
                except Exception:  # names are no reason to end a site's work
                    LOG.exception("site=%s names cannot be kept equal", self._site)
                await self._pause()
        finally:
            self._watch.forget(self._hosts, self._heard)

    async def _pause(self) -> None:
        self._stirred.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await self._stirred.wait()

    async def _load(self) -> None:
        """Look at every server of the site above; tell what is not told, forget what is gone."""
        self._fresh.clear()
        looks = [await self._watch.source.on_host(host) for host in self._hosts]
        present = {known.names.uuid: known for look in looks for known in look.servers}
        for uuid in present.keys() - self._fresh:
            self._saw(present[uuid])
        self._told = {uuid: known for uuid, known in self._told.items() if uuid in present}
        self._wanted = {uuid: known for uuid, known in self._wanted.items() if uuid in present or uuid in self._fresh}
        self._loaded = time.monotonic()

    def _heard(self, known: Known) -> None:
        self._fresh.add(known.names.uuid)
        self._saw(known)

    def _saw(self, known: Known) -> None:
        if self._told.get(known.names.uuid) == known:
            self._wanted.pop(known.names.uuid, None)
        else:
            self._wanted[known.names.uuid] = known
            self._stirred.set()

    async def _tell(self) -> None:
        now = time.monotonic()
        self._waiting = {uuid: until for uuid, until in self._waiting.items() if until > now}
        due = {uuid: known for uuid, known in self._wanted.items() if uuid not in self._waiting}
        for portion in portions([telling(known, self._told.get(uuid)) for uuid, known in due.items()]):
            undone = (await self._ask(portion)).undone
            for names in portion:
                self._settle(due[names.uuid], undone.get(names.uuid))

    def _settle(self, known: Known, trouble: str | None) -> None:
        uuid = known.names.uuid
        if trouble is not None:
            LOG.info("site=%s instance=%s is not called as above: %s", self._site, uuid, trouble)
            self._waiting[uuid] = time.monotonic() + NOT_YET
            return
        self._told[uuid] = known
        if self._wanted.get(uuid) == known:  # else it changed again meanwhile
            del self._wanted[uuid]

    async def _ask(self, portion: list[ServerNames]) -> Reply:
        query = Query(site=self._site, verb=QueryName.NAMES_SYNC, servers=portion)
        data = await self._road.request(subjects.query(self._site, query.verb), codec.encode(query), ANSWER)
        reply = codec.decode(data, Reply)
        if reply.fault is not None:
            raise Refused(reply.fault.code, reply.fault.message)
        return reply
