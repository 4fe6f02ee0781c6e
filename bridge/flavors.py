"""Pushes flavors ahead: an owned site has every flavor's newest version before anybody boots it there."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from bridge.catalog import Catalog
from bridge.core import flavor_digest, flavor_plan, keys
from bridge.core.inventory import Liveness
from bridge.core.records import SiteFlavor
from bridge.owner import Ownership
from proto import codec, subjects
from proto.errors import FaultCode, Malformed, Unavailable
from proto.jetstream import JetStream
from proto.messages import Query, Reply
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

AT_A_TIME = 4  # flavors one site is asked for
ASK_TIMEOUT = 30.0  # s
ROUND = 5.0  # s between two looks without news
AFTER_TROUBLE = 2.0  # s until a site that did not answer is asked again


class _Stored(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes: ...


class HeldStore(Protocol):
    """What this module needs of etcd."""

    async def list(self, prefix: str) -> tuple[Sequence[_Stored], int]: ...
    async def put(self, key: str, value: bytes, *, guard: tuple[str, int] | None = None) -> int: ...
    async def delete(self, key: str, *, guard: tuple[str, int] | None = None) -> None: ...


class Presence(Protocol):
    """What is known of the site's link."""

    @property
    def liveness(self) -> Liveness | None: ...
    @property
    def agents(self) -> frozenset[str]: ...


class SiteFlavors:
    """One owned site. A silent one is left alone and catches up when it returns."""

    def __init__(
        self, ownership: Ownership, store: HeldStore, road: JetStream, catalog: Catalog, presence: Presence
    ) -> None:
        self._ownership = ownership
        self._site = ownership.site
        self._store = store
        self._road = road
        self._catalog = catalog
        self._presence = presence
        self._held: dict[str, SiteFlavor] = {}
        self._pushing: dict[str, asyncio.Lock] = {}

    async def run(self) -> None:
        """Push what is new, until cancelled."""
        await self._load()
        await self._catalog.synced.wait()
        while True:
            changed = self._catalog.changed
            pause = ROUND
            try:
                if self._presence.liveness is Liveness.ONLINE:
                    await self._push_all(
                        flavor_plan.due(self._catalog.versions(), self._held, self._presence.agents, time.time())
                    )
            except Unavailable as error:
                LOG.info("site=%s flavors wait: %s", self._site, error)
                pause = max(AFTER_TROUBLE, error.retry_after)
                changed = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await changed.wait()

    async def sync(self) -> None:
        """Ask the site now for all it lacks, also for what it refused before; Unavailable if it does not answer."""
        await self._push_all(
            [
                flavor_id
                for flavor_id, record in self._catalog.versions().items()
                if flavor_digest.is_above(record)
                and flavor_plan.state(record, self._held.get(flavor_id)) is not flavor_plan.State.CURRENT
            ]
        )

    async def forget(self, flavor_id: str) -> None:
        """Drop what is kept of a flavor that is gone above and of which the site holds no copy any more."""
        if flavor_id in self._held:
            await self._store.delete(keys.site_flavor(self._site, flavor_id), guard=self._ownership.guard)
            del self._held[flavor_id]

    def held(self) -> frozenset[str]:
        """Return the flavors of which something is kept."""
        return frozenset(self._held)

    async def _load(self) -> None:
        stored, _ = await self._store.list(keys.site_flavors(self._site))
        prefix = keys.site_flavors(self._site)
        self._held = {entry.key.removeprefix(prefix): codec.from_json(entry.value, SiteFlavor) for entry in stored}

    async def _push_all(self, flavor_ids: Sequence[str]) -> None:
        waiting = list(reversed(flavor_ids))

        async def work() -> None:
            while waiting:
                await self._push(waiting.pop())

        working = [asyncio.ensure_future(work()) for _ in range(min(AT_A_TIME, len(waiting)))]
        try:
            await asyncio.gather(*working)
        finally:
            for task in working:
                task.cancel()

    async def _push(self, flavor_id: str) -> None:
        """Ask for the version that is the newest by now: of many changes in a row the site sees only some."""
        async with self._pushing.setdefault(flavor_id, asyncio.Lock()):
            record = self._catalog.versions()[flavor_id]
            if record.definition is None or record.deleted_at is not None:
                return
            query = Query(site=self._site, verb=QueryName.FLAVOR_ENSURE, flavor=record.definition)
            reply = await self.ask(query)
            before = self._held.get(flavor_id) or SiteFlavor(0)
            await self._keep(flavor_id, _answered(before, record.version, reply, self._agent()))

    async def ask(self, query: Query) -> Reply:
        """Return the agent's answer; Unavailable if there is none, or the site's own cloud gave none."""
        subject = subjects.query(self._site, query.verb)
        try:
            reply = codec.decode(await self._road.request(subject, codec.encode(query), timeout=ASK_TIMEOUT), Reply)
        except Malformed as error:
            raise Unavailable(f"{query.verb} in {self._site}: {error}", retry_after=ROUND) from error
        if reply.fault is not None and reply.fault.code is FaultCode.SITE_SILENT:
            raise Unavailable(f"{query.verb} in {self._site}: {reply.fault.message}")
        return reply

    async def _keep(self, flavor_id: str, held: SiteFlavor) -> None:
        self._ownership.check()
        await self._store.put(keys.site_flavor(self._site, flavor_id), codec.to_json(held), guard=self._ownership.guard)
        self._held[flavor_id] = held
        if held.reason:
            LOG.warning("site=%s has not flavor %s version %d: %s", self._site, flavor_id, held.tried, held.reason)
        else:
            LOG.info("site=%s has flavor %s version %d", self._site, flavor_id, held.version)

    def _agent(self) -> str:
        return min(self._presence.agents, default="")


def _answered(before: SiteFlavor, version: int, reply: Reply, agent: str) -> SiteFlavor:
    now = time.time()
    if reply.fault is None:
        return SiteFlavor(version, reply.text, version, agent, at=now)
    failures = before.failures + 1 if before.tried == version else 1
    return SiteFlavor(before.version, before.site_id, version, agent, reply.fault.message, failures, now)
