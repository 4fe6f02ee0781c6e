"""A site whose cloud is slow, overloaded or hangs: its neighbours do not notice, and it is not hammered meanwhile."""

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bridge.core import keys
from proto import codec
from proto.messages import SiteStatus
from site_agent.core.answers import Answer
from tests.fakes.clock import Clock, run
from tests.fakes.cloud import TIMEOUT, FakeCloud
from tests.scenario import invariants
from tests.scenario.steps import UNTIL_ONLINE
from tests.scenario.world import World

WAY = 0.005  # virtual s
BOOTS = 40
TROUBLE = 300.0  # virtual s it lasts


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run with one troubled site showed."""

    neighbour: list[float]  # virtual s from a boot's request to ACTIVE above, in the healthy site
    requests: int  # to the troubled site's cloud while it was
    healed: float  # s from the end of the trouble until all its boots were ACTIVE
    problem: str | None  # what the agent says at the end of the trouble


def trouble_nothing(_cloud: FakeCloud) -> None:
    """The other arm."""


def hang(cloud: FakeCloud) -> None:
    cloud.delay = TIMEOUT


def slow(cloud: FakeCloud) -> None:
    cloud.delay = 30.0


def unavailable(cloud: FakeCloud) -> None:
    cloud.every = Answer(503, "no")


def limit(cloud: FakeCloud) -> None:
    cloud.every = Answer(429, "slow down", retry_after=20.0)


def experiment(trouble: Callable[[FakeCloud], None]) -> Seen:
    clock = Clock()
    seen: list[Seen] = []

    async def main() -> None:
        world = World(clock, lambda: asyncio.sleep(WAY))
        for name in ("paris", "oslo"):
            world.add_site(name, [name])
            world.start_agent(f"agent {name}")
        world.start_bridge()
        await asyncio.sleep(UNTIL_ONLINE)
        seen.append(await _boots(world, trouble))
        invariants.check(world)
        await world.end()

    run(clock, main)
    return seen[0]


async def _boots(world: World, trouble: Callable[[FakeCloud], None]) -> Seen:
    cloud = world.sites["paris"].cloud
    began = world.clock.seconds
    trouble(cloud)
    cloud.calls.clear()
    times = []
    for number in range(BOOTS):
        build(world, f"i{2 * number + 1}", "paris")
        times.append(asyncio.create_task(_timed(world, f"i{2 * number + 2}")))
        await asyncio.sleep(0.1)
    neighbour = list(await asyncio.gather(*times))
    await asyncio.sleep(began + TROUBLE - world.clock.seconds)
    requests, problem = len(cloud.calls), _said(world)
    cloud.delay, cloud.every = 0.0, None
    ended = world.clock.seconds
    while not all(state(world, f"i{2 * number + 1}") == "active" for number in range(BOOTS)):
        await asyncio.sleep(0.5)
        assert world.clock.seconds < ended + 300, [state(world, f"i{2 * n + 1}") for n in range(BOOTS)]
    return Seen(neighbour, requests, world.clock.seconds - ended, problem)


async def _timed(world: World, name: str) -> float:
    began = world.clock.seconds
    build(world, name, "oslo")
    while state(world, name) != "active":  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.02)
    return world.clock.seconds - began


def build(world: World, name: str, site: str) -> None:
    world.asked.built.append(world.uuid(name))
    world.nova.build(world.uuid(name), name, [site])


def state(world: World, name: str) -> str:
    return str(world.above.conductor.instances[world.uuid(name)]["vm_state"])


def _said(world: World) -> str | None:
    stored = world.etcd.keys.get(keys.alive("paris"))
    return codec.from_json(stored.value, SiteStatus).problem if stored else None


@pytest.fixture(scope="module")
def alone() -> Seen:
    return experiment(trouble_nothing)


@pytest.mark.parametrize(
    ("trouble", "most", "told"),
    [
        (hang, 150, "timed out"),
        (unavailable, 80, "503"),
        (limit, 80, "429"),
        (slow, 300, None),  # it works, as slow as it is
    ],
)
def test_its_neighbour_does_not_notice(
    alone: Seen, trouble: Callable[[FakeCloud], None], most: int, told: str | None
) -> None:
    seen = experiment(trouble)
    ratio = statistics.median(seen.neighbour) / statistics.median(alone.neighbour)
    worst = max(seen.neighbour) / max(alone.neighbour)
    print(
        f"{trouble.__name__}: neighbour's boots x{ratio:.2f} (median), x{worst:.2f} (slowest); {seen.requests} "
        f"requests to the troubled site in {TROUBLE:.0f} s; all its {BOOTS} boots ACTIVE {seen.healed:.0f} s later"
    )
    assert ratio < 1.2 and worst < 1.2
    assert seen.requests < most and seen.healed < 120
    if told is not None:
        assert seen.problem is not None and "compute API" in seen.problem and told in seen.problem
