"""Counts a site's lives: an operator who forces its services down gives it up, and no command of before runs again."""

import asyncio
import logging
import time

from bridge.core import keys, standing
from bridge.core.records import SiteSpec
from bridge.edge.etcd_store import Conflict, EtcdStore
from bridge.owner import Ownership
from bridge.presence import Presence
from proto import codec
from proto.errors import Unavailable

LOG = logging.getLogger(__name__)

LOOK = 1.0  # s between two looks at what heartbeats and statuses brought


class Lives:
    """One owned site. What it writes into the spec makes the owner take the site over anew, with the new epoch."""

    def __init__(self, spec: SiteSpec, ownership: Ownership, store: EtcdStore, presence: Presence) -> None:
        self._spec = spec
        self._ownership = ownership
        self._store = store
        self._presence = presence

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._look()
            except Unavailable as error:
                LOG.info("site=%s its life is written later: %s", self._spec.site, error)

    async def _look(self) -> None:
        if self._next(self._spec) == self._spec:
            return
        stored = await self._store.get(keys.spec(self._spec.site))
        if stored is None:
            return  # removed: the owner hears of it too
        spec = codec.from_json(stored.value, SiteSpec)
        after = self._next(spec)
        if after == spec:
            return
        try:
            await self._store.put(
                keys.spec(spec.site), codec.to_json(after), expected=stored.revision, guard=self._ownership.guard
            )
        except Conflict:
            return  # `cascade site` wrote it just now: looked at again
        LOG.warning("site=%s epoch %d, given up: %s", spec.site, after.epoch, ", ".join(after.given_up) or "nothing")

    def _next(self, spec: SiteSpec) -> SiteSpec:
        return standing.next_life(spec, self._presence.forced_down(), self._presence.heard_epoch, time.time())
