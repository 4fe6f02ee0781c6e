"""One site that this bridge owns, from its claim until the owner key is given back or lost."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bridge.core import keys
from bridge.core.records import SiteSpec
from bridge.edge.etcd_store import EtcdStore
from bridge.ownership import Ownership
from proto.errors import CascadeError, Stale, Unavailable

LOG = logging.getLogger(__name__)

FIRST_PAUSE = 1.0  # s until a site that failed runs again
LONGEST_PAUSE = 60.0  # s; a site that ran for longer than this begins at FIRST_PAUSE again

RunSite = Callable[[SiteSpec, Ownership], Awaitable[None]]


@dataclass(slots=True)
class OwnedSite:
    """A site and the right to it. ``dismissed`` asks its task to stop and give the key back."""

    spec: SiteSpec
    ownership: Ownership
    dismissed: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self, run_site: RunSite, store: EtcdStore) -> None:
        """Run the site until it is dismissed, then give its key back; cancelled, the key is left to the lease.

        What the site does at its end is still covered by the ownership.
        """
        runner = asyncio.create_task(self._keep_running(run_site), name=f"site {self.spec.site}")
        try:
            await self.dismissed.wait()
        finally:
            runner.cancel()
            await asyncio.wait({runner})
            self.ownership.ended = True
        await self._give_back(store)

    async def _keep_running(self, run_site: RunSite) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            if self.ownership.valid():
                await self._run(run_site)
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            LOG.debug("site=%s runs again in %.1f s", self.spec.site, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run(self, run_site: RunSite) -> None:
        """Run the site once; whatever it raises concerns this site only."""
        site = self.spec.site
        try:
            await run_site(self.spec, self.ownership)
            LOG.warning("site=%s ended by itself and will be run again", site)
        except CascadeError as error:
            LOG.warning("site=%s stopped and will be run again: %s", site, error)
        except Exception:
            LOG.exception("site=%s failed and will be run again", site)

    async def _give_back(self, store: EtcdStore) -> None:
        """Delete the owner key if it is still as we wrote it; waits while etcd is away."""
        while True:
            try:
                await store.delete(keys.owner(self.spec.site), expected=self.ownership.revision)
            except Stale:
                return
            except Unavailable as error:
                await asyncio.sleep(error.retry_after)
            else:
                return
