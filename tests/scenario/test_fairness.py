"""One tenant's burst in a site does not starve another tenant, nor what is urgent."""

import asyncio
import os

from tests.fakes.clock import Clock, run
from tests.scenario import invariants
from tests.scenario.steps import UNTIL_ONLINE
from tests.scenario.world import World

WAY = 0.005  # virtual s
REQUEST = 0.25  # virtual s the site takes to answer a request
BURST = int(os.environ.get("CASCADE_BURST", "300"))  # more than a site's window; 1,000 is the figure in the docs
HEAD_START = 5.0  # virtual s


async def watched(world: World, burst: int) -> dict[str, float]:
    """Return how many virtual s another tenant's boot, stop and delete take, some time after a burst began; and it."""
    for number in (1, 2):
        build(world, number, "project-2")
    await asyncio.gather(until(world, 1, vm_state="active"), until(world, 2, vm_state="active"))
    world.sites["paris"].cloud.delay = REQUEST
    began = world.clock.seconds
    for number in range(10, 10 + burst):
        build(world, number, "project-1")
    await asyncio.sleep(HEAD_START)
    asked = world.clock.seconds
    build(world, 3, "project-2")
    world.nova.stop(world.uuid("i1"))
    world.asked.deleted.add(world.uuid("i2"))
    world.nova.delete(world.uuid("i2"))
    ended = await asyncio.gather(
        until(world, 3, vm_state="active"), until(world, 1, vm_state="stopped"), until(world, 2, deleted=True)
    )
    seen = {name: at - asked for name, at in zip(("boot", "stop", "delete"), ended, strict=True)}
    ends = [await until(world, number, vm_state="active") for number in range(10, 10 + burst)]
    return seen | {"burst": max(ends, default=began) - began}


def experiment(burst: int) -> dict[str, float]:
    clock = Clock()
    found: dict[str, float] = {}

    async def main() -> None:
        world = World(clock, lambda: asyncio.sleep(WAY))
        world.add_site("paris", ["paris"])
        world.start_agent("agent paris")
        world.start_bridge()
        await asyncio.sleep(UNTIL_ONLINE)
        found.update(await watched(world, burst))
        invariants.check(world)
        await world.end()

    run(clock, main)
    return found


def build(world: World, number: int, project: str) -> None:
    uuid = world.uuid(f"i{number}")
    world.asked.built.append(uuid)
    world.nova.project = project
    world.nova.build(uuid, f"i{number}", ["paris"])


async def until(world: World, number: int, **wanted: object) -> float:
    """Return the virtual time at which an instance above is so."""
    row = world.above.conductor.instances[world.uuid(f"i{number}")]
    while any(row[key] != value for key, value in wanted.items()):
        await asyncio.sleep(0.1)
        row = world.above.conductor.instances[world.uuid(f"i{number}")]
    return world.clock.seconds


def test_a_burst_keeps_nobody_else_waiting_for_long() -> None:
    alone, beside = experiment(0), experiment(BURST)
    for what in ("boot", "stop", "delete"):
        print(f"a {what}: {alone[what]:.1f} s alone, {beside[what]:.1f} s during a burst of {BURST}")
    print(f"the burst: {beside['burst']:.0f} s")
    assert beside["boot"] < alone["boot"] + 15 and beside["boot"] < beside["burst"] / 3
    assert beside["stop"] < alone["stop"] + 2 and beside["delete"] < alone["delete"] + 2
