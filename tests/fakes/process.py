"""A program that can be killed at any call it makes to the world outside, without a last word."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from proto.errors import Unavailable

_current: ContextVar["Process | None"] = ContextVar("process", default=None)
_elsewhere: ContextVar[float | None] = ContextVar("clock ahead", default=None)

Pause = Callable[[], Awaitable[None]]
Describe = Callable[..., str]
Said = Callable[..., None]

KILL_TIMEOUT = 60.0  # virtual s


def ahead() -> float:
    """Return how far the clock of whoever asks is ahead, s."""
    elsewhere, process = _elsewhere.get(), _current.get()
    if elsewhere is not None:
        return elsewhere
    return process.ahead if process is not None else 0.0


@contextmanager
def clock_ahead(seconds: float) -> Iterator[None]:
    """Let the block run by a clock that is so far ahead, whichever process asked for it."""
    token = _elsewhere.set(seconds)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def _no_answer(where: str) -> None:
    raise Unavailable(f"{where}: no answer")


async def _no_pause() -> None:
    await asyncio.sleep(0)


class Process:
    """Tasks that die together. ``pause`` is awaited before and after each call outside: the length of a way."""

    def __init__(self, name: str, pause: Pause = _no_pause) -> None:
        self.name = name
        self.alive = True
        self.tasks: set[asyncio.Task[Any]] = set()
        self.armed: list[tuple[str, str, Callable[[str], None]]] = []  # before or after, part of a description, what
        self.lost: set[str] = set()  # edges that do not answer it: a word of their calls' descriptions
        self.ahead = 0.0  # s of its clock
        self.on_reach: Callable[[str, str], None] | None = None  # hears of every point; may kill or freeze
        self.on_crash: Callable[[str], None] = lambda _where: None
        self.on_silence: list[tuple[float, Callable[[], None]]] = []  # what others do when it is silent for so many s
        self._pause = pause
        self._moving = asyncio.Event()
        self._moving.set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str | None = None) -> asyncio.Task[Any]:
        """Run a coroutine as part of this process."""
        token = _current.set(self)
        try:
            return asyncio.get_running_loop().create_task(work, name=name)
        finally:
            _current.reset(token)

    def run(self, main: Coroutine[Any, Any, Any]) -> None:
        """Run the program's main; when that ends by itself, or fails, the process ends."""

        def over(task: asyncio.Task[Any]) -> None:
            if self.alive:
                self.on_crash("ended" if task.cancelled() else f"ended: {task.exception()!r}")
                self.kill()

        self.spawn(main).add_done_callback(over)

    def crash_at(self, when: str, what: str) -> None:
        """Die the next time a call whose description holds ``what`` is reached; ``when``: before or after it."""
        self.armed.append((when, what, self._die))

    def freeze_at(self, when: str, what: str) -> None:
        """Freeze the next time such a call is reached."""
        self.armed.append((when, what, self._stop))

    def lose_answer_at(self, what: str) -> None:
        """Have the next such call's answer lost: what it does is done, and the caller hears nothing."""
        self.armed.append(("after", what, _no_answer))

    def kill(self) -> None:
        """Die now: no call of this process reaches the world any more."""
        if not self.alive:
            return
        self.alive = False
        self._fall_silent()
        for task in list(self.tasks):
            task.cancel()

    def freeze(self) -> None:
        """Stop in the middle of everything, as a paused machine does; what is on its way goes on after ``thaw``."""
        self._moving.clear()
        self._fall_silent()

    def thaw(self) -> None:
        """Go on as if nothing had been."""
        self._moving.set()

    def _die(self, where: str) -> None:
        self.on_crash(where)
        self.kill()

    def _stop(self, where: str) -> None:
        self.on_crash(where)
        self.freeze()

    @property
    def moving(self) -> bool:
        """Whether it is not frozen."""
        return self._moving.is_set()

    def _fall_silent(self) -> None:
        def noticed(action: Callable[[], None]) -> None:
            if not self.alive or not self._moving.is_set():
                action()

        for seconds, action in self.on_silence:
            asyncio.get_running_loop().call_later(seconds, noticed, action)

    async def ended(self) -> None:
        """Wait until all tasks are gone; RuntimeError if one does not let itself be cancelled."""
        while pending := {task for task in self.tasks if not task.done()}:
            for task in pending:
                task.cancel()
            done, _ = await asyncio.wait(pending, timeout=KILL_TIMEOUT)
            if not done:
                raise RuntimeError(f"{self.name} does not die: {pending}")

    async def reach(self, when: str, what: str) -> None:
        """Pass a point before or after a call outside; CancelledError if the process dies or is dead."""
        self.check()
        await self._pause()
        self.check()
        if self.on_reach is not None:
            self.on_reach(when, what)
        for armed in [armed for armed in self.armed if armed[0] == when and armed[1] in what][:1]:
            self.armed.remove(armed)
            armed[2](f"{when} {what}")
        await self.move()

    async def move(self) -> None:
        """Wait while it is frozen; CancelledError in a dead process."""
        await self._moving.wait()
        self.check()

    def check(self) -> None:
        """Raise CancelledError in a dead process."""
        if not self.alive:
            raise asyncio.CancelledError

    async def call(self, what: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        """Have an effect outside, with a way there and a way back; a process may die on either."""
        await self.reach("before", what)
        if self.lost.intersection(what.split()[:2]):
            raise Unavailable(f"{what}: no connection")
        try:
            return await effect()
        finally:
            await self.reach("after", what)


class Edge:
    """An object of the world outside as one process sees it: every coroutine method is a call."""

    def __init__(self, process: Process, outside: Any, describe: Describe, said: Said | None = None) -> None:
        self._process = process
        self._outside = outside
        self._describe = describe
        self._said = said

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._outside, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            async def effect() -> Any:
                result = await method(*args, **kwargs)
                if self._said is not None:
                    self._said(self._process, name, args, kwargs, result)
                return result

            return await self._process.call(self._describe(name, args, kwargs), effect)

        return call


def task_factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Note every task with the process that makes it; set it on the loop."""
    task = asyncio.Task(work, loop=loop, **options)
    process = _current.get()
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
        if not process.alive:
            task.cancel()
    return task
