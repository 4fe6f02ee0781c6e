"""Lines of stories that spoil what stands outside: lost answers, cut links, clocks, JetStream lost or put back."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

from proto import streams
from tests.scenario.world import World

Step = Callable[..., Awaitable[None] | None]
SECONDS = {"s": 1, "min": 60, "h": 3600}


def _lose_answer(world: World, program: str, what: str) -> None:
    world.process(program).lose_answer_at(what)


def _lose_delivery(world: World, program: str) -> None:
    world.road.swallowed.add(program)


def _lose_link(world: World, program: str, edge: str) -> None:
    """A link of one program is away: everything of that edge fails, and what hung by it runs out."""
    process = world.process(program)
    process.lost.add(edge)
    for seconds, action in process.on_silence if edge == "etcd" else []:
        asyncio.get_running_loop().call_later(seconds, _if_lost, process, action)


def _if_lost(process: Any, action: Callable[[], None]) -> None:
    if "etcd" in process.lost:
        action()


def _find_link(world: World, program: str, edge: str) -> None:
    world.process(program).lost.discard(edge)


def _step_clock(world: World, whose: str, number: str, unit: str, way: str) -> None:
    seconds = float(number) * SECONDS[unit] * (1 if way == "ahead" else -1)
    world.set_clock(whose, seconds)


def _again(world: World, site: str) -> None:
    """What is being worked at is delivered again, the oldest last."""
    for kind in (streams.intake, streams.commands, streams.events):
        queue = world.road.queues.get(kind(site).name)
        for consumer in queue.consumers.values() if queue else ():
            now = asyncio.get_running_loop().time()
            for place, number in enumerate(sorted(consumer.given, reverse=True)):
                consumer.given[number] = now + place * 0.001
    world.road.notify()


def _twice(world: World, site: str) -> None:
    """Whatever is stored is stored once more, as by a publisher that did not hear of its success."""
    for kind in (streams.intake, streams.commands, streams.events):
        queue = world.road.queues.get(kind(site).name)
        for message in list(queue.messages.values()) if queue else ():
            queue.store(message.subject, message.data, message.headers, None, world.clock.seconds)
    world.road.notify()


def _save_streams(world: World) -> None:
    world.backups["nats"] = copy.deepcopy(world.road.queues)


def _restore_streams(world: World) -> None:
    world.road.queues = copy.deepcopy(world.backups["nats"])
    world.road.notify()


def _lose_streams(world: World) -> None:
    world.road.queues = {}
    world.road.notify()


_PROGRAM = r"(bridge\d?|agent\d? \w+)"
FAULTS: list[tuple[str, Step]] = [
    (rf"{_PROGRAM} loses the answer to (.+)", _lose_answer),
    (rf"{_PROGRAM} loses a delivery", _lose_delivery),
    (rf"{_PROGRAM} loses (etcd|conductor|placement|neutron|glance|compute|network|image)", _lose_link),
    (rf"{_PROGRAM} finds (etcd|conductor|placement|neutron|glance|compute|network|image)", _find_link),
    (r"the clock of (bridge\d?|\w+) goes ([\d.]+) (s|min|h) (ahead|behind)", _step_clock),
    (r"messages of (\w+) come again", _again),
    (r"messages of (\w+) are stored twice", _twice),
    (r"nats is backed up", _save_streams),
    (r"nats is restored", _restore_streams),
    (r"nats is lost", _lose_streams),
]
