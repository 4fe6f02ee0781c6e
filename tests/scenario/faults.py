"""Lines of stories that spoil what stands outside: lost answers, cut links, clocks, backups put back."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

from bridge.core import keys
from proto import streams
from tests.fakes.conductor import FakeConductor
from tests.scenario.world import World

Step = Callable[..., Awaitable[None] | None]
SECONDS = {"s": 1, "min": 60, "h": 3600}
KEPT_ABOVE = ("instances", "faults", "vifs", "migrations")  # of the cascading database, where a backup has it


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


def _save(world: World, what: str) -> None:
    world.backups[what] = _SAVED[what](world)


def _restore(world: World, what: str) -> None:
    """Put a backup back; without one, an empty store."""
    _RESTORED[what](world, copy.deepcopy(world.backups.get(what)))


def _lose(world: World, what: str) -> None:
    _RESTORED[what](world, None)


def _restore_etcd(world: World, saved: dict[str, bytes] | None) -> None:
    """Sites are enrolled as before: what `cascade site add` wrote is the operator's own to bring back."""
    specs = {key: stored.value for key, stored in world.etcd.keys.items() if keys.site_of_spec(key) is not None}
    world.etcd.restore({**(saved or {}), **specs})


def _restore_streams(world: World, saved: Any) -> None:
    world.road.queues = saved or {}
    world.road.notify()


def _saved_above(world: World) -> dict[str, Any]:
    return {name: copy.deepcopy(getattr(world.above.conductor, name)) for name in KEPT_ABOVE}


def _restore_above(world: World, saved: dict[str, Any] | None) -> None:
    """An older dump: instances made since are unknown above, others are again as they were."""
    if saved is None:
        return
    before = world.above.conductor.instances
    changed = {uuid for uuid in {*before, *saved["instances"]} if before.get(uuid) != saved["instances"].get(uuid)}
    world.asked.restored |= changed
    conductor: FakeConductor = world.above.conductor
    for name in KEPT_ABOVE:
        setattr(conductor, name, saved[name])


_SAVED: dict[str, Callable[[World], Any]] = {
    "etcd": lambda world: {key: stored.value for key, stored in world.etcd.keys.items() if not stored.lease},
    "nats": lambda world: copy.deepcopy(world.road.queues),
    "the database": _saved_above,
}
_RESTORED: dict[str, Callable[[World, Any], None]] = {
    "etcd": _restore_etcd,
    "nats": _restore_streams,
    "the database": _restore_above,
}
_PROGRAM = r"(bridge\d?|agent\d? \w+)"
FAULTS: list[tuple[str, Step]] = [
    (rf"{_PROGRAM} loses the answer to (.+)", _lose_answer),
    (rf"{_PROGRAM} loses a delivery", _lose_delivery),
    (rf"{_PROGRAM} loses (etcd|conductor|placement|neutron|glance|compute|network|image)", _lose_link),
    (rf"{_PROGRAM} finds (etcd|conductor|placement|neutron|glance|compute|network|image)", _find_link),
    (r"the clock of (bridge\d?|\w+) goes ([\d.]+) (s|min|h) (ahead|behind)", _step_clock),
    (r"messages of (\w+) come again", _again),
    (r"messages of (\w+) are stored twice", _twice),
    (r"(etcd|nats|the database) is saved", _save),
    (r"(etcd|nats|the database) is restored", _restore),
    (r"(etcd|nats) is lost", _lose),
]
