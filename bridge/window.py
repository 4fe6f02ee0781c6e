"""A bounded number of commands of one site at a time, given to the projects in turn."""

import asyncio
from collections import deque


class Place:
    """A place somebody has entered a window for; given back once, whoever does it first."""

    def __init__(self, window: "Window") -> None:
        self._window: Window | None = window

    def leave(self) -> None:
        """Give it back; may be repeated."""
        if self._window is not None:
            self._window.leave()
            self._window = None


class Window:
    """``size`` places; a project with a burst waits behind itself, not in front of the others."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def enter(self, project: str) -> None:
        """Take a place, waiting for one in the project's turn; every enter needs one leave."""
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(project, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the project whose turn it is."""
        while self._waiting:
            project = next(iter(self._waiting))
            queue = self._waiting.pop(project)
            place = queue.popleft()
            if queue:
                self._waiting[project] = queue  # last in turn now: dicts keep insertion order
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
