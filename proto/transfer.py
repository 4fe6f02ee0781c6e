"""Files carried over the road in chunks: begun anew never, in memory a few chunks, and visible while it goes on."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import islice

from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Direction, ImageTransfer, TransferState
from proto.spool import Part, Spool

CHUNK = 512 * 1024  # bytes
AHEAD = 4  # chunks asked for at a time: 2 MiB of memory, and no wait for the link's round trip between two
RATE_WINDOW = 5.0  # s that a shown rate looks back
MARKS = 64  # moments remembered for it
SHOWN = 20  # transfers told in one status

Fetch = Callable[[int, int], Awaitable[bytes]]  # (offset, length) -> bytes; Unavailable: not now, ask again


class Progress:
    """How far one transfer is."""

    def __init__(self, image_id: str, name: str, size: int, direction: Direction) -> None:
        """``image_id``: above; ``size``: bytes."""
        self.image_id = image_id
        self._name = name
        self._size = size
        self._direction = direction
        self._state = TransferState.WAITING
        self._trouble: str | None = None
        self._since = time.time()
        self._marks: deque[tuple[float, int]] = deque(maxlen=MARKS)

    def reached(self, carried: int) -> None:
        """So many bytes are there."""
        self._enter(TransferState.CARRYING)
        now = time.monotonic()
        if not self._marks or now - self._marks[-1][0] >= RATE_WINDOW / MARKS:
            self._marks.append((now, carried))
        else:
            self._marks[-1] = (self._marks[-1][0], carried)

    def paused(self, trouble: str) -> None:
        """The other side does not give anything now."""
        self._enter(TransferState.PAUSED, trouble)

    def waiting(self, why: str) -> None:
        """Somebody else must be done first."""
        self._enter(TransferState.WAITING, why)

    def storing(self) -> None:
        """All bytes are there; they go into Glance."""
        self._enter(TransferState.STORING)

    def shown(self) -> ImageTransfer:
        """Return what operators see."""
        carried = self._marks[-1][1] if self._marks else 0
        return ImageTransfer(
            image_id=self.image_id,
            name=self._name,
            size=self._size,
            carried=carried,
            rate=self._rate(),
            direction=self._direction,
            state=self._state,
            since=self._since,
            trouble=self._trouble,
        )

    def _enter(self, state: TransferState, trouble: str | None = None) -> None:
        self._state, self._trouble = state, trouble

    def _rate(self) -> float:
        if self._state is not TransferState.CARRYING:
            return 0.0
        recent = [mark for mark in self._marks if mark[0] > time.monotonic() - RATE_WINDOW]
        if len(recent) < 2:
            return 0.0
        (first, begin), (last, end) = recent[0], recent[-1]
        return (end - begin) / (last - first)


class Transfers:
    """The transfers of one process in one direction: ``parallel`` at a time, the others wait their turn."""

    def __init__(self, spool: Spool, parallel: int) -> None:
        self.spool = spool
        self._room = asyncio.Semaphore(parallel)
        self._going: list[Progress] = []

    @contextlib.asynccontextmanager
    async def place(self, progress: Progress) -> AsyncIterator[None]:
        """Show a transfer, and let it go on when it is its turn."""
        self._going.append(progress)
        try:
            async with self._room:
                yield
        finally:
            self._going.remove(progress)

    def shown(self) -> list[ImageTransfer]:
        """Return the oldest transfers under way, at most SHOWN."""
        return [progress.shown() for progress in self._going[:SHOWN]]


async def pull(part: Part, size: int, fetch: Fetch, progress: Progress) -> None:
    """Append what the part lacks, a few chunks ahead; waits for as long as ``fetch`` says "not now".

    Raises whatever else ``fetch`` raises, and Unavailable if the disk is full; what is there stays there.
    """
    progress.reached(part.offset)
    ahead = iter(range(part.offset, size, CHUNK))
    asked: deque[asyncio.Task[bytes]] = deque()

    def ask(number: int) -> None:
        for offset in islice(ahead, number):
            work = _fetched(fetch, offset, min(CHUNK, size - offset), progress)
            asked.append(asyncio.create_task(work, name=f"chunk {progress.image_id} {offset}"))

    try:
        ask(AHEAD)
        while asked:
            data = await asked[0]
            asked.popleft()
            await part.append(data)
            progress.reached(part.offset)
            ask(1)
    finally:
        for left in asked:
            left.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def check(part: Part, hash_value: str, what: str) -> None:
    """Raise if a part that is whole has another hash: Refused, but Unavailable and the part gone if it was resumed."""
    if part.digest() == hash_value:
        return
    if part.resumed:  # perhaps this disk lost what an earlier process wrote
        await part.remove()
        raise Unavailable(f"{what} is damaged after it was resumed: it is carried anew")
    raise Refused(FaultCode.IMAGE, f"{what} arrived with another hash")


async def _fetched(fetch: Fetch, offset: int, length: int, progress: Progress) -> bytes:
    while True:
        try:
            data = await fetch(offset, length)
        except Unavailable as error:
            progress.paused(str(error))
            await asyncio.sleep(error.retry_after)
            continue
        if len(data) != length:
            raise Refused(FaultCode.IMAGE, f"image {progress.image_id}: {len(data)} bytes at {offset}, not {length}")
        return data
