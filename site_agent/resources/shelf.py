"""Remembers for a while what a look-up found, and lets many ask while one looks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable


class Shelf:
    """Ids by key. A failure is told to all who wait for it, and not remembered."""

    def __init__(self, life: float) -> None:
        """``life``: s until a look is taken again."""
        self._life = life
        self._kept: dict[Hashable, tuple[float, str]] = {}
        self._looking: dict[Hashable, asyncio.Future[str]] = {}
        self._asked: dict[str, float] = {}  # by id: epoch s

    async def get(self, key: Hashable, look: Callable[[], Awaitable[str]]) -> str:
        """Return the id kept under ``key``, else what ``look`` (ensure: look, create, look) returns."""
        value = await self._get(key, look)
        self._asked[value] = time.time()
        return value

    def asked_at(self, value: str) -> float:
        """Return when somebody last needed this id, epoch s; 0 = not since this process began."""
        return self._asked.get(value, 0.0)

    async def _get(self, key: Hashable, look: Callable[[], Awaitable[str]]) -> str:
        until, value = self._kept.get(key, (0.0, ""))
        if time.monotonic() < until:
            return value
        looking = self._looking.get(key)
        if looking is None:
            looking = asyncio.ensure_future(look())
            self._looking[key] = looking
            looking.add_done_callback(lambda done: self._put(key, done))
        # One boot that is cancelled must not take the look-up from the others.
        return await asyncio.shield(looking)

    def has(self, key: Hashable) -> bool:
        """Whether ``get`` would answer without a look."""
        return time.monotonic() < self._kept.get(key, (0.0, ""))[0]

    def drop(self, key: Hashable) -> None:
        """Forget one id: the site no longer knows it."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget all ids: something many of them may hang on was removed."""
        self._kept.clear()

    def _put(self, key: Hashable, done: asyncio.Future[str]) -> None:
        self._looking.pop(key, None)
        if not done.cancelled() and done.exception() is None:
            self._kept[key] = (time.monotonic() + self._life, done.result())
