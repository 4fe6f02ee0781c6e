"""Blocking oslo.messaging calls in a few daemon threads: one that hangs on a dead RabbitMQ never delays our exit."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Up to ``count`` threads, started as they are needed. Used from one event loop."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._started = 0
        self._busy = 0  # jobs queued or running
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return what the function returns, or raise what it raises; a cancelled caller does not stop it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def finish(result: Any, error: Exception | None) -> None:
            self._busy -= 1
            if not future.done():
                future.set_exception(error) if error else future.set_result(result)

        def job() -> None:
            outcome: tuple[T | None, Exception | None]
            try:
                outcome = function(*args), None
            except Exception as error:  # noqa: BLE001 - raised again where it is awaited
                outcome = None, error
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, *outcome)

        self._busy += 1
        if self._started < min(self._busy, self._count):
            self._started += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._jobs.put(job)
        return await future

    def close(self) -> None:
        """Let the threads end after what is queued; waits for nothing."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
