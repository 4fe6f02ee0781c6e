"""Places for commands under way; a command that waits long for something else than its server lends its place."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar


class Slot:
    """A place that was taken; given back once, whoever does it first."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places: asyncio.Semaphore | None = places

    def release(self) -> None:
        """Give the place back; may be repeated."""
        if self._places:
            self._places.release()
            self._places = None

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Let others have the place while the block waits, and wait for one again after it, unless it fails."""
        places = self._places
        self.release()
        yield
        if places:
            await places.acquire()
            self._places = places


CURRENT: ContextVar[Slot | None] = ContextVar("slot", default=None)


@contextlib.asynccontextmanager
async def lent() -> AsyncIterator[None]:
    """Lend the place of the command that this task carries out, if it carries one out."""
    slot = CURRENT.get()
    async with slot.lent() if slot else contextlib.nullcontext():
        yield
