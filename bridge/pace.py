"""Keeps images on one site's link, both ways together, below its rate limit."""

import asyncio
import time

from bridge.core.rate import Rate
from proto.errors import Unavailable

LONGEST_WAIT = 10.0  # s one chunk waits for its turn; whoever asks for it gives up after 30 s


class Pace:
    """One owned site's; ``per_second`` in bytes, 0 = as fast as it goes."""

    def __init__(self, per_second: float) -> None:
        self._rate = Rate(per_second)

    async def wait(self, amount: int) -> None:
        """Return when so many bytes may go; Unavailable if that would take too long: ask again."""
        delay = self._rate.wait(time.monotonic(), amount, LONGEST_WAIT)
        if delay is None:
            raise Unavailable("the site's rate limit is reached")
        await asyncio.sleep(delay)
