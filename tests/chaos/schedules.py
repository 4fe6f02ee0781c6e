"""Random schedules: tenants' operations and every fault we know, in any order; then everything works again.

The steps are drawn by hypothesis, the length of each way by the seed it draws. What must hold at any moment is looked
at after each step, and what must hold at the end once the faults have stopped.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.chaos.freshness import Freshness
from tests.fakes.clock import Clock, run
from tests.scenario import invariants
from tests.scenario.steps import do
from tests.scenario.world import World

PATIENCE = 2 * 3600.0  # virtual s until everything must be settled: longer than the longest delivery
LOOK = 20.0  # virtual s
SLOWEST = 3.0  # virtual s of a way
SITES = ("paris", "lyon")
QUOTA = "Quota exceeded for cores"
EDGES_ABOVE = ("etcd", "conductor", "placement", "neutron", "glance")
EDGES_BELOW = ("compute", "network", "image")

METHODS = ["build_and_run_instance", "terminate_instance", "stop_instance", "start_instance"]
INSTANCES = st.sampled_from(["i1", "i2", "i3"])
SITE = st.sampled_from(SITES)
BRIDGES = st.sampled_from(["bridge", "bridge", "bridge2"])
AGENTS = st.sampled_from(["agent paris", "agent2 paris", "agent lyon"])
PROGRAMS = st.one_of(BRIDGES, AGENTS)
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
CALLS = st.one_of(st.tuples(BRIDGES, st.sampled_from(BRIDGE_CALLS)), st.tuples(AGENTS, st.sampled_from(AGENT_CALLS)))
WHEN = st.sampled_from(["before", "after"])
LINKS = st.one_of(st.tuples(BRIDGES, st.sampled_from(EDGES_ABOVE)), st.tuples(AGENTS, st.sampled_from(EDGES_BELOW)))

TENANTS = (
    st.builds("build {}".format, INSTANCES),
    st.builds("{} {}".format, st.sampled_from(OPERATIONS), INSTANCES),
    st.builds("{} {}".format, st.sampled_from(OPERATIONS), INSTANCES),
    st.builds("unshelve {} on {}".format, INSTANCES, SITE),
)
TROUBLES = (
    st.builds(lambda call, when: f"crash {call[0]} {when} {call[1]}", CALLS, WHEN),
    st.builds(lambda call: f"{call[0]} loses the answer to {call[1]}", CALLS),
    st.builds(lambda link, how: f"{link[0]} {how} {link[1]}", LINKS, st.sampled_from(["loses", "finds"])),
    st.builds("{} {}".format, st.sampled_from(["restart", "cut", "mend", "start", "freeze", "thaw"]), PROGRAMS),
    st.builds("{} loses a delivery".format, PROGRAMS),
    st.builds("messages of {} {}".format, SITE, st.sampled_from(["come again", "are stored twice"])),
    st.builds("{} refuses POST compute /servers with 403 {}".format, SITE, st.just(QUOTA)),
    st.builds("{} loses the answer to POST compute /servers".format, SITE),
    st.builds("{} answers 503 to {}".format, SITE, st.sampled_from(["POST", "DELETE", "GET"])),
    st.builds("{} fails builds: No valid host was found.".format, SITE),
    st.builds("{} itself does {} {}".format, SITE, st.sampled_from(["os-stop", "os-start"]), INSTANCES),
    st.builds("{} builds again".format, SITE),
    st.builds("{} builds in {}".format, SITE, st.sampled_from(["1 s", "20 s"])),
    st.builds("redeliver {} {}".format, INSTANCES, st.sampled_from(METHODS)),
    st.builds("{} is {}".format, st.sampled_from(["nova", "neutron", "etcd"]), st.sampled_from(["away", "back"])),
)
CLOCKS = (
    st.builds(
        "the clock of {} goes {} {}".format,
        st.sampled_from(["paris", "lyon", "bridge", "bridge2"]),
        st.sampled_from(["1 s", "30 s", "10 min", "1 h"]),
        st.sampled_from(["ahead", "behind"]),
    ),
)
BACKUPS = (
    st.builds("{} is {}".format, st.sampled_from(["etcd", "nats", "nova"]), st.sampled_from(["backed up", "restored"])),
    st.builds("{} is lost".format, st.sampled_from(["etcd", "nats"])),
)
PAUSES = st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0])
Steps = list[tuple[str, float]]


def schedules(*kinds: st.SearchStrategy[str]) -> st.SearchStrategy[Steps]:
    """Return lists of steps of these kinds, each with the virtual s that follow it."""
    return st.lists(st.tuples(st.one_of(*kinds), PAUSES), min_size=4, max_size=14)


PLAIN = schedules(*TENANTS, *TROUBLES)
EVERYTHING = schedules(*TENANTS, *TENANTS, *TROUBLES, *CLOCKS, *BACKUPS)


@dataclass(slots=True)
class Told:
    """What a schedule's world said, for whoever must find out why."""

    lines: list[str] = field(default_factory=list)


def play(schedule: Steps, seed: int, told: Told) -> None:
    """Play a schedule and bring everything back; Violated if something does not hold."""
    chance = random.Random(seed)
    clock = Clock()

    async def way() -> None:
        await asyncio.sleep(min(SLOWEST, chance.expovariate(20.0)))

    async def main() -> None:
        world = World(clock, way)
        try:
            await _play(world, schedule)
        finally:
            told.lines = world.teller.lines
            await world.end()

    random.seed(0)
    run(clock, main)


async def _play(world: World, schedule: Steps) -> None:
    fresh = Freshness(world)
    await do(world, f"sites {' '.join(SITES)}")
    for step, pause in [("build i1", 0.0), *schedule]:
        world.teller.say("", f"-- {world.clock.seconds:.2f} s: {step}")
        await _step(world, step)
        await asyncio.sleep(pause)
        invariants.check(world)
        fresh.check()
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
    elif verb in ("crash", "restart", "freeze", "thaw"):
        if _names_a_program(world, rest):
            await do(world, step)
    elif step.endswith("restored"):
        if verb in world.backups:
            await do(world, step)
    elif verb not in ("bridge", "bridge2", "agent", "agent2") or _names_a_program(world, step):
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
    world.road.swallowed.clear()
    world.above.conductor.away = world.above.neutron.away = world.etcd.away = False
    for whose in (*SITES, *world.bridges):
        world.set_clock(whose, 0.0)
    for site in world.sites.values():
        site.cloud.troubles.clear()
    for process in world.programs():
        process.armed.clear()
        process.lost.clear()
        process.thaw()
        if not process.alive:
            await do(world, f"start {process.name}")


async def _until(world: World, holds: Callable[[World], None]) -> None:
    give_up = world.clock.seconds + PATIENCE
    while True:
        try:
            holds(world)
            return
        except AssertionError:
            invariants.check(world)
            if world.clock.seconds > give_up:
                raise
        await asyncio.sleep(LOOK)
