"""The right of one bridge to work for one site."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core import keys
from bridge.edge.etcd_store import Guard, OwnershipLost

SAFETY = 5.0  # s before the end of the lease when we stop believing in it


class Confirmed(Protocol):
    """What an ownership needs of a lease."""

    ttl: int
    confirmed_at: float
    lost: asyncio.Event


@dataclass(slots=True)
class Ownership:
    """The right to work for a site, until it ends."""

    site: str
    revision: int  # create revision of the owner key: the owner revision
    lease: Confirmed = field(repr=False)
    ended: bool = False

    @property
    def guard(self) -> Guard:
        """What every put of this site gives to the store."""
        return keys.owner(self.site), self.revision

    def valid(self) -> bool:
        """Whether nobody else can own the site now, by our own clock; ask before each publish and each save."""
        fresh = time.monotonic() < self.lease.confirmed_at + self.lease.ttl - SAFETY
        return fresh and not self.ended and not self.lease.lost.is_set()

    def check(self) -> None:
        """Raise OwnershipLost unless valid. While etcd is away it may become valid again."""
        if not self.valid():
            raise OwnershipLost(f"site {self.site}: ownership {self.revision} is not confirmed any more")
