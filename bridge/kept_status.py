"""The last SiteStatus of a site in etcd, under a lease that only statuses prolong: it goes with the site's silence."""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from bridge.core import keys
from bridge.core.inventory import LastStatus
from proto.codec import to_json
from proto.errors import Stale, Unavailable
from proto.messages import ImageTransfer, SiteStatus

LOG = logging.getLogger(__name__)

TTL = 30  # s
INTERVAL = 5.0  # s at least between two writes


class Lease(Protocol):
    """A lease that lives only by ``refresh``."""

    id: int

    async def refresh(self) -> None:
        """Prolong it once."""
        ...


class Store(Protocol):
    """What is needed of etcd."""

    async def grant(self, ttl: int, *, kept: bool = True) -> Lease:
        """Return a new lease."""
        ...

    async def put(
        self, key: str, value: bytes, *, guard: tuple[str, int] | None = None, lease: int | None = None
    ) -> object:
        """Write a key that dies with the lease; Stale if guard or lease is gone."""
        ...


class KeptStatus:
    """One owned site."""

    def __init__(
        self,
        site: str,
        store: Store,
        guard: tuple[str, int] | None,
        monotonic: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._site = site
        self._store = store
        self._guard = guard
        self._monotonic = monotonic
        self._now = now
        self._lease: Lease | None = None
        self._saved_at = float("-inf")  # monotonic s

    async def keep(self, status: SiteStatus, clock_offset: float, uploads: list[ImageTransfer]) -> None:
        """Store a status, unless one was stored just now; never fails."""
        if self._monotonic() - self._saved_at < INTERVAL:
            return
        self._saved_at = self._monotonic()
        last = LastStatus(
            **msgspec.structs.asdict(status) | {"transfers": [*status.transfers, *uploads]},
            received_at=self._now(),
            clock_offset=clock_offset,
        )
        try:
            if self._lease is None:
                self._lease = await self._store.grant(TTL, kept=False)
            else:
                await self._lease.refresh()
            await self._store.put(keys.alive(self._site), to_json(last), guard=self._guard, lease=self._lease.id)
        except (Stale, Unavailable) as error:
            self._lease = None
            LOG.debug("site=%s: its status was not stored: %s", self._site, error)
