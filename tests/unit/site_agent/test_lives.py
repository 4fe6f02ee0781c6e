"""One uuid has several lives in a site (shelve, offload, unshelve): what belongs to one leaves the others alone."""

import asyncio

import pytest

from proto.errors import FaultCode, Refused, Stale
from proto.operations import Verb
from site_agent.handlers.create import create
from site_agent.handlers.delete import delete
from tests.fakes.cloud import LOST
from tests.unit.site_agent.world import World, play, server_spec


def ports(world: World) -> list[str]:
    """Servers of the ports that the site has."""
    return [port["device_id"] for port in world.cloud.neutron.things["ports"].values()]


async def unshelved(world: World, generation: int = 6) -> None:
    """A server that an unshelve made."""
    await create(world.site, world.command(Verb.UNSHELVE, generation, server=server_spec()), False)
    await asyncio.sleep(5)


def test_an_unshelve_does_not_take_a_server_of_an_earlier_life_for_its_own() -> None:
    async def story(world: World) -> None:
        await create(world.site, world.command(Verb.CREATE), False)
        with pytest.raises(Refused) as refused:
            await unshelved(world)
        assert refused.value.code is FaultCode.OCCUPIED
        assert len(world.cloud.nova.alive()) == 1

    play(story)


def test_an_unshelve_takes_the_server_of_its_earlier_try() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("POST compute /servers", LOST, done=True)
        await unshelved(world)
        await unshelved(world)
        assert len(world.cloud.nova.alive()) == 1

    play(story)


@pytest.mark.parametrize("verb", [Verb.DELETE, Verb.SHELVE_OFFLOAD])
def test_a_stale_delete_leaves_the_ports_of_the_new_life(verb: Verb) -> None:
    async def story(world: World) -> None:
        await unshelved(world)
        world.restart()
        looks = len(world.cloud.calls)
        with pytest.raises(Stale):
            await delete(world.site, world.command(verb, 5), True)
        assert len(world.cloud.calls) == looks + 1
        assert len(world.cloud.nova.alive()) == 1 and ports(world) == ["srv-1"]

    play(story)


def test_a_withdrawn_create_deletes_only_what_it_made_itself() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("POST compute /servers", LOST, done=True)  # perhaps another agent's
        await create(world.site, world.command(Verb.CREATE), False)  # nothing is pending: withdrawn
        await asyncio.sleep(5)
        assert len(world.cloud.nova.alive()) == 1

    play(story, shared=True)


def test_an_observer_that_saw_the_old_server_go_leaves_the_new_one_its_ports() -> None:
    async def story(world: World) -> None:
        await create(world.site, world.command(Verb.CREATE), False)
        await asyncio.sleep(5)
        other = World(world.time, cloud=world.cloud, shared=True)
        other.road = world.road
        other.restart()
        await other.observer._round()
        begun: list[str] = []
        other.observer._start_finish = begun.append  # type: ignore[method-assign]
        await delete(world.site, world.command(Verb.SHELVE_OFFLOAD, 5), False)
        await asyncio.sleep(3)
        await other.observer._round()
        assert begun
        world.restart()
        await unshelved(world)
        other.site.memory.deleting.add(begun[0])
        await other.observer._finish(begun[0])
        assert other.site.memory.deleting == set()
        assert ports(world) == ["srv-2"] and not any(seen.absent for seen in world.observations())

    play(story)
