"""A shelve in a site: the guest is stopped first, then its image is taken, each once."""

import asyncio

from proto.messages import Outcome
from proto.operations import Verb
from tests.unit.site_agent.test_snapshot import booted, snapshots
from tests.unit.site_agent.world import World, play, server_spec

ACTION = "POST compute /servers/srv-1/action"


def test_a_running_guest_is_stopped_before_its_image_is_taken() -> None:
    async def story(world: World) -> None:
        await booted(world)
        await world.send(world.command(Verb.SHELVE, 2, image_id="snap-1"))
        await asyncio.sleep(10)
        [image] = snapshots(world)
        assert (image["cascade_snapshot"], image["status"]) == ("snap-1", "active")
        seen = world.observations()[-1]
        assert seen.server is not None
        assert (seen.generation, seen.server.vm_state, seen.server.task_state) == (2, "stopped", None)
        assert world.cloud.count(ACTION) == 2 and world.pending() == 0

    play(story)


def test_a_guest_that_does_not_run_needs_no_stop() -> None:
    async def story(world: World) -> None:
        await booted(world)
        world.cloud.nova.vendor(world.cloud.nova.alive()[0], "pause")
        await asyncio.sleep(5)
        await world.send(world.command(Verb.SHELVE, 2, image_id="snap-1"))
        await asyncio.sleep(10)
        assert len(snapshots(world)) == 1 and world.cloud.count(ACTION) == 1

    play(story)


def test_an_agent_that_forgot_it_neither_stops_nor_takes_it_again() -> None:
    async def story(world: World) -> None:
        await booted(world)
        command = world.command(Verb.SHELVE, 2, image_id="snap-1")
        await world.send(command)
        await asyncio.sleep(10)
        world.restart()
        world.run_agent()
        await world.send(command)
        await asyncio.sleep(10)
        assert len(snapshots(world)) == 1 and world.cloud.count(ACTION) == 2 and world.pending() == 0

    play(story)


def test_an_offload_deletes_the_server_and_an_unshelve_makes_it_anew() -> None:
    async def story(world: World) -> None:
        await booted(world)
        await world.send(world.command(Verb.SHELVE_OFFLOAD, 2))
        await asyncio.sleep(10)
        assert world.cloud.nova.alive() == [] and world.observations()[-1].absent
        await world.send(world.command(Verb.UNSHELVE, 3, server=server_spec()))
        await asyncio.sleep(10)
        assert len(world.cloud.nova.alive()) == 1
        seen = world.observations()[-1]
        assert (seen.outcome, seen.generation, seen.absent) == (Outcome.SEEN, 3, False)

    play(story)
