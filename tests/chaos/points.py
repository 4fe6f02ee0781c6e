"""Every await point of a story: the process that comes to it dies there, and the rest is played to its end.

The story is played once. At each point (a program reaches a call outside, or comes back from one) the test forks: in
the child the program dies there and is started again; the parent goes on to the next point. So no point can be missed,
and none is reached by another way than in the story itself.
"""

import asyncio
import gc
import multiprocessing
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tests.chaos.stories import Story, deeds, wrong
from tests.fakes.clock import Clock, run
from tests.fakes.process import Process
from tests.scenario import invariants
from tests.scenario.invariants import Kind, Violated
from tests.scenario.steps import do
from tests.scenario.world import World

WAY = 0.005  # virtual s between a program and the world outside
LOOK = 1.0  # virtual s between two looks at the invariants
RESTART = 2.0  # virtual s until a program that died runs again
PATIENCE = 900.0  # virtual s until everything must be settled


@dataclass(frozen=True, slots=True)
class Crash:
    """One point, and what was wrong after it; nothing is as it should be."""

    story: str
    process: str
    where: str
    seconds: float  # virtual s until everything was settled
    found: tuple[tuple[Kind, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.story}: {self.process} dies {self.where}: {'; '.join(f'{k}: {t}' for k, t in self.found)}"


def crash_everywhere(story: Story, at_once: int = 1, stride: int = 1) -> list[Crash]:
    """Play a story, and its rest once more from each ``stride``-th of its points, ``at_once`` of them side by side."""
    forks = _Forks(story, at_once, stride)
    gc.collect()
    gc.freeze()  # what is there now is not copied into each child
    try:
        found = play(story, forks.at)
    finally:
        gc.unfreeze()
    if found.found:
        raise Violated(list(found.found))
    return forks.gathered()


def play(story: Story, at: Callable[[World, Process, str], None]) -> Crash:
    """Play a story; ``at`` hears of every point its victims come to, from the moment when it is asked."""
    random.seed(0)
    clock = Clock()

    async def main() -> Crash:
        world = World(clock, lambda: asyncio.sleep(WAY))
        for line in story.before:
            await do(world, line)
        before, began = deeds(world), clock.seconds
        for name in story.victims:
            _listen(world, name, at)
        for line in story.asked:
            await do(world, line)
        found: list[tuple[Kind, str]] = []
        try:
            await _settle(world)
            found += wrong(world, story, deeds(world) - before)
        except Violated as error:
            found += error.found
        taken = clock.seconds - began
        if (child := _child.get()) is not None:
            child.finish(taken, found)
        await world.end()
        return Crash(story.name, "", "", taken, tuple(found))

    return run(clock, main)  # type: ignore[no-any-return]


def _listen(world: World, name: str, at: Callable[[World, Process, str], None]) -> None:
    process = world.process(name)
    process.on_reach = lambda when, what: at(world, process, f"{when} {what}")


async def _settle(world: World) -> None:
    """Start what died, look at the invariants, and return when everything is settled; Violated if it never is."""
    give_up = world.clock.seconds + PATIENCE
    died: dict[str, float] = {}
    while True:
        await asyncio.sleep(LOOK)
        now = world.clock.seconds
        for process in world.programs():
            if not process.alive and now >= died.setdefault(process.name, now) + RESTART:
                del died[process.name]
                await do(world, f"start {process.name}")
        invariants.check(world)
        try:
            invariants.check_settled(world)
            if not any(record.deleted_at for _, record in world.records()):
                return
        except Violated:
            if world.clock.seconds > give_up:
                raise


class _Child:
    """In a forked child: where to tell how it ended."""

    def __init__(self) -> None:
        self._told: Connection | None = None
        self._point: tuple[str, str, str] = ("", "", "")

    def get(self) -> "_Child | None":
        """Return itself in a child, None in the process that plays the story."""
        return self if self._told is not None else None

    def begin(self, told: Connection, story: str, process: str, where: str) -> None:
        """This process is a child from now on."""
        self._told, self._point = told, (story, process, where)

    def finish(self, seconds: float, found: list[tuple[Kind, str]]) -> None:
        """Tell and end, without a word to anything that the parent has open too."""
        assert self._told is not None
        self._told.send(Crash(*self._point, seconds, tuple(found)))
        os._exit(0)


_child = _Child()


class _Forks:
    """Forks at the points and gathers what the children tell."""

    def __init__(self, story: Story, at_once: int, stride: int) -> None:
        self._story = story
        self._at_once = at_once
        self._stride = stride
        self._points = 0
        self._running: dict[Connection, tuple[int, str]] = {}
        self._done: list[Crash] = []

    def at(self, world: World, process: Process, where: str) -> None:
        """A point is reached: fork, and die there in the child."""
        if _child.get() is not None:
            return
        self._points += 1
        if self._points % self._stride:
            return
        while len(self._running) >= self._at_once:
            self._gather()
        ours, theirs = multiprocessing.Pipe(duplex=False)
        where = world.teller._named(where)
        loop = asyncio.get_running_loop()
        pid = os.fork()
        if pid == 0:
            asyncio._set_running_loop(loop)  # asyncio knows a loop by its process too
            _child.begin(theirs, self._story.name, process.name, where)
            process.kill()
            return
        theirs.close()
        self._running[ours] = (pid, f"{process.name} {where}")

    def gathered(self) -> list[Crash]:
        """Return what came of every point."""
        while self._running:
            self._gather()
        return self._done

    def _gather(self) -> None:
        for told in multiprocessing.connection.wait(list(self._running)):
            assert isinstance(told, Connection)
            pid, where = self._running.pop(told)
            try:
                self._done.append(told.recv())
            except EOFError:
                self._done.append(Crash(self._story.name, where, "", 0.0, ((Kind.UNSETTLED, "the run broke off"),)))
            told.close()
            os.waitpid(pid, 0)


def counted(crashes: list[Crash]) -> Counter[Kind]:
    """Return in how many runs each kind of wrong was found."""
    return Counter(kind for crash in crashes for kind in {kind for kind, _ in crash.found})


def failures(crashes: list[Crash]) -> Iterator[Any]:
    """Yield the runs in which something was wrong."""
    return (crash for crash in crashes if crash.found)
