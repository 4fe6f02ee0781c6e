"""Snapshots in a site: taken once, recognised by their image, told to the bridge, and collected like carried images."""

import asyncio

from proto.messages import HoldingKind, Outcome
from proto.operations import Verb
from tests.unit.site_agent.world import UUID, World, play


async def booted(world: World) -> None:
    world.run_agent()
    await world.send(world.command(Verb.CREATE))
    await asyncio.sleep(10)
    assert world.cloud.nova.alive()


def snapshots(world: World) -> list[dict[str, str]]:
    return [image for image in world.cloud.glance.images.values() if image.get("cascade_snapshot")]


def test_a_snapshot_is_taken_once_and_tied_to_the_image_above() -> None:
    async def story(world: World) -> None:
        await booted(world)
        await world.send(world.command(Verb.SNAPSHOT, 2, image_id="snap-1"))
        await asyncio.sleep(5)
        [image] = snapshots(world)
        assert (image["cascade_snapshot"], image["cascade_image_id"]) == ("snap-1", "snap-1")
        assert image["cascade_server"] == image["instance_uuid"] == world.site.memory.server_id(UUID)
        assert world.observations()[-1].generation == 2
        [told] = (await world.ask("snapshot_image", image_id="snap-1")).images
        assert (told.status, told.above, told.snapshot, told.size) == ("active", "snap-1", True, image["size"])
        chunk = await world.ask("image_chunk", image_id=told.image_id, offset=2, length=10)
        assert chunk.data == world.cloud.glance.content[told.image_id][2:12]

    play(story)


def test_an_agent_that_forgot_it_or_lost_the_answer_takes_no_second_one() -> None:
    async def story(world: World) -> None:
        await booted(world)
        world.cloud.trouble("action", done=True)
        await world.send(world.command(Verb.SNAPSHOT, 2, image_id="snap-1"))
        await asyncio.sleep(15)
        world.restart()
        world.run_agent()
        await world.send(world.command(Verb.SNAPSHOT, 2, image_id="snap-1"))
        await asyncio.sleep(10)
        assert len(snapshots(world)) == 1 and world.pending() == 0

    play(story)


def test_a_snapshot_that_the_site_failed_is_not_taken_again() -> None:
    async def story(world: World) -> None:
        await booted(world)
        world.cloud.nova.fail_snapshots = True
        command = world.command(Verb.SNAPSHOT, 2, image_id="snap-1")
        await world.send(command)
        await asyncio.sleep(5)
        await world.send(command)
        await asyncio.sleep(5)
        assert world.cloud.count("POST compute /servers/srv-1/action") == 1
        assert (await world.ask("snapshot_image", image_id="snap-1")).images == []

    play(story)


def test_what_failed_above_is_discarded_here_and_what_is_kept_is_a_holding() -> None:
    async def story(world: World) -> None:
        await booted(world)
        for number in (2, 3):
            await world.send(world.command(Verb.SNAPSHOT, number, image_id=f"snap-{number}"))
            await asyncio.sleep(5)
        await world.ask("snapshot_discard", image_id="snap-3")
        assert [image["cascade_snapshot"] for image in snapshots(world)] == ["snap-2"]
        held = (await world.ask("holdings")).holdings
        assert {one.source for one in held if one.kind is HoldingKind.IMAGE} == {"img-1", "snap-2"}

    play(story)


def test_a_snapshot_of_no_server_is_refused() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.SNAPSHOT, 2, image_id="snap-1"))
        await asyncio.sleep(5)
        assert world.observations()[-1].outcome is Outcome.REFUSED

    play(story)
