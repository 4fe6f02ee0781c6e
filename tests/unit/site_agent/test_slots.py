"""A boot that waits for its image does not keep other boots waiting."""

import asyncio

import msgspec

from proto.operations import Verb
from tests.unit.site_agent.world import HASH, IMAGE, OTHER, UUID, World, card, play, server_spec


def test_a_boot_that_waits_for_its_image_lends_its_place() -> None:
    async def story(world: World) -> None:
        world.content = world.content[:-1]  # the last chunk never comes whole
        world.glance_away = 10_000
        world.run_agent()
        large = msgspec.structs.replace(IMAGE, image_id="img-2", hash_value=HASH[:-1] + "0")
        await world.send(world.command(Verb.CREATE, server=server_spec(image=large)))
        await asyncio.sleep(5)
        await world.send(world.command(Verb.CREATE, uuid=OTHER, server=server_spec(ports=[card(2)])))
        world.cloud.glance.images["there"] = {
            "id": "there", "status": "active", "disk_format": "raw", "os_hash_algo": "sha512", "os_hash_value": HASH,
            "hw_disk_bus": "virtio", "created_at": "",
        }  # fmt: skip
        await asyncio.sleep(10)
        assert [server.body["tags"][0] for server in world.cloud.nova.alive()] == [f"cascade:{OTHER}"]
        assert world.site.memory.occupied(UUID)

    play(story, slots=1)
