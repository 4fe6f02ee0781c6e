"""Random schedules of the same steps: whatever dies, is lost or comes late, no instance is lost, doubled or deleted.

The steps are drawn by hypothesis, the length of each way by the seed it draws. CASCADE_EXPLORE=500 tries new ones.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tests.fakes.clock import Clock, run
from tests.scenario import invariants
from tests.scenario.steps import do
from tests.scenario.world import World

PATIENCE = 7 * 3600.0  # virtual s until everything must be settled: longer than a message whose ack was lost may wait
LOOK = 20.0  # virtual s
SLOWEST = 3.0  # virtual s of a way
SITES = ("paris", "lyon")
QUOTA = "Quota exceeded for cores"

METHODS = ["build_and_run_instance", "terminate_instance", "stop_instance", "start_instance"]

INSTANCES = st.sampled_from(["i1", "i2", "i3"])
PROGRAMS = st.sampled_from(["bridge", "bridge2", "agent paris", "agent2 paris", "agent lyon"])
BRIDGE_CALLS = [
    "publish cascade.v1.intake", "publish cascade.v1.cmd", "ack cascade.v1.intake", "ack cascade.v1.evt", "ack rabbit",
    "conductor save_instance", "conductor destroy_instance", "conductor event_finish", "conductor save_info_cache",
    "conductor build_instances", "conductor create_fault", "etcd put", "etcd delete", "neutron create_port",
    "neutron release", "neutron update_port", "placement delete_allocations", "glance delete", "glance upload",
    "request", "purge", "count",
]  # fmt: skip
AGENT_CALLS = [
    "POST compute /servers", "GET compute /servers", "DELETE compute /servers", "action", "POST network /ports",
    "POST image", "PUT image", "publish cascade.v1.evt", "ack cascade.v1.cmd", "DELETE network /ports",
]  # fmt: skip
OPERATIONS = [
    "delete", "delete", "stop", "start", "reboot", "pause", "unpause", "rebuild", "rescue", "unrescue", "resize",
    "resize", "confirm", "revert", "attach", "detach", "snapshot", "password", "shelve", "shelve",
]  # fmt: skip
CRASHES = st.one_of(
    st.tuples(st.sampled_from(["bridge", "bridge", "bridge2"]), st.sampled_from(BRIDGE_CALLS)),
    st.tuples(st.sampled_from(["agent paris", "agent2 paris", "agent lyon"]), st.sampled_from(AGENT_CALLS)),
)
STEPS = st.one_of(
    st.builds("build {}".format, INSTANCES),
    st.builds("{} {}".format, st.sampled_from(OPERATIONS), INSTANCES),
    st.builds("unshelve {} on {}".format, INSTANCES, st.sampled_from(SITES)),
    st.builds("unshelve {} on {}".format, INSTANCES, st.sampled_from(SITES)),
    st.builds(lambda crash, when: f"crash {crash[0]} {when} {crash[1]}", CRASHES, st.sampled_from(["before", "after"])),
    st.builds("{} {}".format, st.sampled_from(["restart", "cut", "mend", "start", "freeze", "thaw"]), PROGRAMS),
    st.builds("{} refuses POST compute /servers with 403 {}".format, st.sampled_from(SITES), st.just(QUOTA)),
    st.builds("{} loses the answer to POST compute /servers".format, st.sampled_from(SITES)),
    st.builds("{} answers 503 to {}".format, st.sampled_from(SITES), st.sampled_from(["POST", "DELETE", "GET"])),
    st.builds("{} fails builds: No valid host was found.".format, st.sampled_from(SITES)),
    st.builds(
        "{} itself does {} {}".format, st.sampled_from(SITES), st.sampled_from(["os-stop", "os-start"]), INSTANCES
    ),
    st.builds("{} builds again".format, st.sampled_from(SITES)),
    st.builds("{} builds in {}".format, st.sampled_from(SITES), st.sampled_from(["1 s", "20 s"])),
    st.builds("redeliver {} {}".format, INSTANCES, st.sampled_from(METHODS)),
    st.builds("{} is {}".format, st.sampled_from(["nova", "neutron", "etcd"]), st.sampled_from(["away", "back"])),
)
PAUSES = st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0])
SCHEDULES = st.lists(st.tuples(STEPS, PAUSES), min_size=4, max_size=14)


@settings(max_examples=examples(40))
@given(SCHEDULES, st.integers(0, 2**16))
def test_no_instance_is_lost_doubled_or_deleted_unasked(schedule: list[tuple[str, float]], seed: int) -> None:
    chance = random.Random(seed)
    clock = Clock()

    async def way() -> None:
        await asyncio.sleep(min(SLOWEST, chance.expovariate(20.0)))

    async def main() -> None:
        world = World(clock, way)
        try:
            await _play(world, schedule)
        finally:
            note("\n".join(world.teller.lines))
            await world.end()

    random.seed(0)
    run(clock, main)


async def _play(world: World, schedule: list[tuple[str, float]]) -> None:
    await do(world, f"sites {' '.join(SITES)}")
    for step, pause in [("build i1", 0.0), *schedule]:
        world.teller.say("", f"-- {world.clock.seconds:.2f} s: {step}")
        await _step(world, step)
        await asyncio.sleep(pause)
        invariants.check(world)
    world.teller.say("", f"-- {world.clock.seconds:.2f} s: everything works again")
    await _mend(world)
    await _until(world, invariants.check_settled)


async def _step(world: World, step: str) -> None:
    """Do a step if it makes sense now."""
    verb, _, rest = step.partition(" ")
    if rest[:2] in ("i1", "i2", "i3"):
        await _ask(world, verb, rest)
    elif "itself" in step:
        if [site for site, _ in world.servers(world.uuid(step[-2:]))] == [verb]:
            await do(world, step)
    elif verb == "start":
        if not any(process.name == rest and process.alive for process in world.programs()):
            await do(world, step)
    elif verb not in ("crash", "restart", "freeze", "thaw") or _names_a_program(world, rest):
        await do(world, step)


def _names_a_program(world: World, rest: str) -> bool:
    return any(f"{rest} ".startswith(f"{process.name} ") for process in world.programs())


async def _ask(world: World, verb: str, rest: str) -> None:
    name, _, method = rest.partition(" ")
    built = world.uuid(name) in world.asked.built
    if verb == "build" and not built:
        await do(world, f"build {name} on paris or lyon")
    elif verb == "redeliver" and world.nova.was_sent(world.uuid(name), method):
        await do(world, f"redeliver {name} {method}")
    elif verb == "unshelve" and built:
        await do(world, f"unshelve {rest}")
    elif verb not in ("build", "redeliver", "unshelve") and built:
        await do(world, f"{verb} {name}")


async def _mend(world: World) -> None:
    world.road.cut.clear()
    world.above.conductor.away = world.above.neutron.away = world.etcd.away = False
    for site in world.sites.values():
        site.cloud.troubles.clear()
    for process in world.programs():
        process.armed.clear()
        process.thaw()
        if not process.alive:
            await do(world, f"start {process.name}")


async def _until(world: World, holds: Callable[[World], None]) -> Awaitable[None] | None:
    give_up = world.clock.seconds + PATIENCE
    while True:
        try:
            holds(world)
            return None
        except AssertionError:
            invariants.check(world)
            if world.clock.seconds > give_up:
                raise
        await asyncio.sleep(LOOK)
