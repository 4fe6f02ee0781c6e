"""Sees within seconds which flavors changed above."""

import asyncio
import logging
from typing import Any, Protocol

from bridge.catalog import Catalog
from bridge.core import flavor_digest
from proto.errors import Unavailable

LOG = logging.getLogger(__name__)


class FlavorSource(Protocol):
    """Where the flavors above are read."""

    async def flavors(self) -> list[dict[str, Any]]: ...


class FlavorWatch:
    """Sees within seconds what changed above: one cheap listing every INTERVAL for all sites of a bridge."""

    INTERVAL = 3.0  # s

    def __init__(self, source: FlavorSource, catalog: Catalog) -> None:
        self._source = source
        self._catalog = catalog
        self._missed: frozenset[str] = frozenset()  # not listed in the last look
        self._looking = asyncio.Lock()
        self._trouble = ""
        self.looked = False  # what is above has been seen at least once

    async def run(self) -> None:
        """Look until cancelled; trouble above is told once and waited for."""
        await self._catalog.synced.wait()
        while True:
            try:
                await self.look()
                self._trouble = ""
            except Unavailable as error:
                if not self._trouble:
                    LOG.warning("flavors above cannot be seen: %s", error)
                self._trouble = str(error)
            except Exception:  # one odd flavor above must not end the bridge
                LOG.exception("flavors above cannot be understood")
            await asyncio.sleep(self.INTERVAL)

    async def look(self) -> int:
        """Look once and return how many flavors changed; Unavailable while Nova above does not answer.

        One look that misses a flavor is no proof that it is deleted: it may be deleted and created anew just now.
        """
        async with self._looking:
            before = self._catalog.snapshot()
            above = [flavor_digest.of_api(raw) for raw in await self._source.flavors()]
            present = {spec.flavor_id for spec in above}
            missed = frozenset(i for i, known in before.items() if flavor_digest.is_above(known.record)) - present
            gone, self._missed = missed & self._missed, missed
            changed = await self._catalog.saw(before, above, sorted(gone))
            self.looked = True
            return changed
