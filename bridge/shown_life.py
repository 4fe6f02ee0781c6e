"""What is told of a site's life: its state and since when, kept in etcd so that silence has an age too."""

import time
from typing import Protocol

from bridge.core import keys
from bridge.core.records import SiteLife
from bridge.core.standing import State
from proto import codec


class Stored(Protocol):
    """A key's value."""

    @property
    def value(self) -> bytes:
        """As it was put."""
        ...


class Store(Protocol):
    """What is needed of etcd."""

    async def get(self, key: str) -> Stored | None:
        """Return what a key holds."""
        ...

    async def put(self, key: str, value: bytes, *, guard: tuple[str, int] | None = None) -> object:
        """Write a key; Stale if the guard is gone."""
        ...


class ShownLife:
    """One owned site."""

    def __init__(self, site: str, store: Store, guard: tuple[str, int] | None) -> None:
        self._key = keys.life(site)
        self._store = store
        self._guard = guard
        self._shown: SiteLife | None = None

    async def show(self, state: State) -> None:
        """Keep the state, with the time it began; Unavailable to be tried again, Stale if the site is another's now."""
        if self._shown is None and (stored := await self._store.get(self._key)) is not None:
            self._shown = codec.from_json(stored.value, SiteLife)
        if self._shown is not None and self._shown.state == state:
            return
        life = SiteLife(state, time.time())
        await self._store.put(self._key, codec.to_json(life), guard=self._guard)
        self._shown = life
