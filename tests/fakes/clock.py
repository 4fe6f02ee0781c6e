"""Time that passes only when nothing else can happen: an hour of waiting costs a test no time."""

import asyncio
import selectors
import sys
import time as real
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tests.fakes.process import ahead, task_factory

START = 1_795_000_000.0  # UTC epoch s at virtual second 0
OURS = ("bridge", "site_agent", "proto", "tests.fakes", "tests.scenario")


class Clock:
    """Virtual seconds since the start of a test; stands in for the module ``time``."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    def time(self) -> float:
        """Return epoch s as the clock of whoever asks shows it."""
        return self.true_time() + ahead()

    def true_time(self) -> float:
        """Return epoch s."""
        return START + self.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)


class Stuck(Exception):
    """Nothing can ever happen any more: every task waits for another."""


class _Selector(selectors.DefaultSelector):
    """Turns waiting into passing of virtual time."""

    clock: Clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise Stuck("every task waits and no timer runs")
        if timeout > 0:
            self.clock.seconds += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time; use no threads in it."""

    def __init__(self, clock: Clock) -> None:
        selector = _Selector()
        selector.clock = clock
        self._clock = clock
        super().__init__(selector)
        self.set_task_factory(task_factory)

    def time(self) -> float:
        return self._clock.seconds


def run(clock: Clock, main: Callable[[], Any]) -> Any:
    """Run ``main()`` on virtual time, every module of ours seeing that clock."""
    with on(clock), asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(main())


@contextmanager
def on(clock: Clock) -> Iterator[None]:
    """Let our modules see the virtual clock instead of the module ``time``, also where it is a default argument."""
    undo: list[Callable[[], None]] = []
    try:
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in OURS or name.startswith(OURS):
                _replace(module, clock, undo)
        yield
    finally:
        for step in reversed(undo):
            step()


def _replace(module: ModuleType, clock: Clock, undo: list[Callable[[], None]]) -> None:
    if module.__dict__.get("time") is real:
        module.__dict__["time"] = clock
        undo.append(lambda: module.__dict__.__setitem__("time", real))
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            _replace_defaults(value, clock, undo)


def _replace_defaults(kind: Any, clock: Clock, undo: list[Callable[[], None]]) -> None:
    init, virtual = kind.__init__, {real.time: clock.time, real.monotonic: clock.monotonic}
    for name in ("__defaults__", "__kwdefaults__"):
        before = getattr(init, name, None)
        if not before:
            continue
        if isinstance(before, tuple):
            after: Any = tuple(virtual.get(value, value) if callable(value) else value for value in before)
        else:
            after = {k: virtual.get(value, value) if callable(value) else value for k, value in before.items()}
        if after != before:
            setattr(init, name, after)
            undo.append(lambda name=name, before=before: setattr(init, name, before))  # type: ignore[misc]
