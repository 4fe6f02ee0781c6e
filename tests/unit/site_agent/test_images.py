"""Images down: carried once, whatever is cut or killed meanwhile, and nothing is left where they cannot be had."""

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Direction, Fault, TransferState
from proto.operations import Verb
from site_agent.core.answers import Answer, problem, refuse_not_now
from site_agent.core.matching import Image, is_snapshot, was_carried
from site_agent.resources.image import PATIENCE, ensure_image
from site_agent.transfers import ASK_TIMEOUT
from tests.unit.site_agent.world import CONTENT, HASH, IMAGE, OTHER, UUID, World, card, play, server_spec

CHUNKS = 3


async def refusal(work: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await work
    return caught.value


def test_an_image_is_carried_once_for_all_who_wait() -> None:
    async def story(world: World) -> None:
        ids = await asyncio.gather(*(ensure_image(world.site, IMAGE) for _ in range(6)))
        assert set(ids) == {"site-image-1"}
        assert world.cloud.glance.content["site-image-1"] == CONTENT
        assert world.chunks_asked == CHUNKS
        image = world.cloud.glance.images["site-image-1"]
        assert (image["cascade_image_id"], image["hw_disk_bus"], image["visibility"]) == ("img-1", "virtio", "private")
        assert image["cascade_carried"] == "img-1"
        assert world.disk.files == {}

    play(story)


def test_a_transfer_goes_on_where_a_killed_agent_stopped() -> None:
    async def story(world: World) -> None:
        world.disk.files[HASH] = bytearray(CONTENT[: 700 * 1024])
        assert await ensure_image(world.site, IMAGE) == "site-image-1"
        assert world.chunks_asked == 2
        assert world.cloud.glance.content["site-image-1"] == CONTENT

    play(story)


def test_a_beginning_that_the_disk_damaged_is_carried_anew() -> None:
    async def story(world: World) -> None:
        world.disk.files[HASH] = bytearray(1000)
        with pytest.raises(Unavailable, match="carried anew"):
            await ensure_image(world.site, IMAGE)
        assert await ensure_image(world.site, IMAGE) == "site-image-1"

    play(story)


def test_a_cut_of_any_length_is_waited_out() -> None:
    async def story(world: World) -> None:
        world.road.cut.add("agent")
        carrying = asyncio.ensure_future(ensure_image(world.site, IMAGE))
        await asyncio.sleep(7200)
        [shown] = world.site.transfers.shown()
        assert (shown.state, shown.direction, shown.carried) == (TransferState.PAUSED, Direction.DOWN, 0)
        assert "cut" in (shown.trouble or "")
        world.road.cut.clear()
        assert await carrying == "site-image-1"
        assert world.chunks_asked == CHUNKS
        assert world.site.transfers.shown() == []

    play(story)


def test_glance_above_may_be_away_for_a_while() -> None:
    async def story(world: World) -> None:
        world.glance_away = 50
        assert await ensure_image(world.site, IMAGE) == "site-image-1"

    play(story)


def test_an_image_nobody_boots_any_more_is_put_off_and_its_part_kept() -> None:
    async def story(world: World) -> None:
        world.disk.files[HASH] = bytearray(CONTENT[:1000])
        world.fault = Fault(FaultCode.EXPIRED, "no boot of it is under way")
        with pytest.raises(Unavailable, match="no boot"):
            await asyncio.wait_for(ensure_image(world.site, IMAGE), ASK_TIMEOUT)
        assert HASH in world.disk.files

    play(story)


def test_an_image_deleted_above_meanwhile_leaves_nothing() -> None:
    async def story(world: World) -> None:
        world.disk.files[HASH] = bytearray(CONTENT[:1000])
        world.fault = Fault(FaultCode.IMAGE, "it was deleted above")
        error = await refusal(ensure_image(world.site, IMAGE))
        assert error.code is FaultCode.IMAGE and "deleted above" in error.message
        assert world.disk.files == {} and world.cloud.glance.images == {}

    play(story)


def test_an_image_that_arrives_damaged_leaves_nothing() -> None:
    async def story(world: World) -> None:
        world.content = CONTENT[:-1] + b"?"
        error = await refusal(ensure_image(world.site, IMAGE))
        assert error.code is FaultCode.IMAGE
        assert world.cloud.glance.images == {} and world.disk.files == {}
        world.content = CONTENT
        assert await ensure_image(world.site, IMAGE) == "site-image-1"

    play(story)


def test_a_full_glance_is_told_in_its_own_words_and_nothing_is_left() -> None:
    async def story(world: World) -> None:
        world.cloud.glance.room = 1000
        error = await refusal(ensure_image(world.site, IMAGE))
        assert (error.code, error.message) == (FaultCode.QUOTA, "Image storage media is full: no room")
        assert world.cloud.glance.images == {} and world.disk.files == {}

    play(story)


def test_a_full_disk_is_told_and_waited_for() -> None:
    async def story(world: World) -> None:
        world.disk.room = 1000
        with pytest.raises(Unavailable, match="spool: no space left"):
            await ensure_image(world.site, IMAGE)
        world.disk.room = 1 << 30
        assert await ensure_image(world.site, IMAGE) == "site-image-1"

    play(story)


def test_a_store_that_breaks_off_costs_no_second_transfer() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("PUT image", Unavailable("reset"))
        with pytest.raises(Unavailable):
            await ensure_image(world.site, IMAGE)
        assert world.cloud.glance.images == {}
        assert await ensure_image(world.site, IMAGE) == "site-image-2"
        assert world.chunks_asked == CHUNKS

    play(story)


def test_an_image_goes_without_properties_the_site_refuses() -> None:
    async def story(world: World) -> None:
        world.cloud.glance.refuse_properties = True
        image_id = await ensure_image(world.site, IMAGE)
        assert "hw_disk_bus" not in world.cloud.glance.images[image_id]
        world.site.shelf.drop(("image", "img-1", IMAGE.hash_value))
        assert await ensure_image(world.site, IMAGE) == image_id

    play(story)


def test_halves_that_are_ours_or_nobodys_are_cleared_away() -> None:
    async def story(world: World) -> None:
        await world.site.images.create(IMAGE, {}, "a dead agent's spool")
        await asyncio.sleep(7 * 3600)
        await world.site.images.create(IMAGE, {}, world.disk.name)
        assert await ensure_image(world.site, IMAGE) == "site-image-3"
        assert set(world.cloud.glance.images) == {"site-image-3"}

    play(story)


def test_a_snapshot_that_inherited_our_properties_is_left_alone() -> None:
    async def story(world: World) -> None:
        world.cloud.glance.images["theirs"] = {
            "id": "theirs", "status": "queued", "cascade_image_id": "img-1", "cascade_carried": "img-1",
            "cascade_carrier": world.disk.name, "instance_uuid": "srv-9", "created_at": "",
        }  # fmt: skip
        await ensure_image(world.site, IMAGE)
        assert "theirs" in world.cloud.glance.images

    play(story)


def test_what_another_agent_stores_is_waited_for() -> None:
    async def story(world: World) -> None:
        other = await world.site.images.create(IMAGE, {}, "another spool")
        with pytest.raises(Unavailable, match="another agent"):  # for this long only: the command keeps its instance
            await asyncio.wait_for(ensure_image(world.site, IMAGE), PATIENCE + 5)
        waiting = asyncio.ensure_future(ensure_image(world.site, IMAGE))
        await asyncio.sleep(10)
        assert world.site.transfers.shown() == []  # it has no place among them meanwhile
        world.cloud.glance.fill(other, CONTENT)
        assert await waiting == other
        assert world.chunks_asked == 0

    play(story)


def test_what_another_agent_carries_is_waited_for() -> None:
    async def story(world: World) -> None:
        world.fault = Fault(FaultCode.CONFLICT, "another agent of the site is carrying it")
        waiting = asyncio.ensure_future(ensure_image(world.site, IMAGE))
        await asyncio.sleep(20)
        other = await world.site.images.create(IMAGE, {}, "another spool")
        world.cloud.glance.fill(other, CONTENT)
        assert await waiting == other
        assert world.disk.files == {}

    play(story)


def test_two_images_at_a_time_and_the_others_wait_their_turn() -> None:
    async def story(world: World) -> None:
        world.road.cut.add("agent")
        specs = [msgspec.structs.replace(IMAGE, image_id=f"img-{n}", hash_value=HASH[:-1] + str(n)) for n in range(4)]
        for spec in specs:
            world.process.spawn(ensure_image(world.site, spec))
        await asyncio.sleep(30)
        states = [shown.state for shown in world.site.transfers.shown()]
        assert states == [TransferState.PAUSED] * 2 + [TransferState.WAITING] * 2

    play(story)


def test_a_delete_does_not_wait_for_an_image_that_waits() -> None:
    async def story(world: World) -> None:
        world.glance_away = 10**9
        world.run_agent()
        for number, uuid in enumerate([OTHER, "u3", UUID], start=3):
            image = msgspec.structs.replace(IMAGE, image_id=f"img-{number}", hash_value=f"{HASH[:-1]}{number}")
            spec = server_spec(image=image, ports=[card(number)])
            await world.send(world.command(Verb.CREATE, uuid=uuid, server=spec))
            await asyncio.sleep(2)
        assert [shown.state for shown in world.site.transfers.shown()][-1] is TransferState.WAITING
        await world.send(world.command(Verb.DELETE, 2))
        await asyncio.sleep(PATIENCE + 5)
        assert world.observations()[-1].absent

    play(story)


@pytest.mark.parametrize("algorithm", ["sha256", ""])
def test_a_glance_with_other_hashes_is_filled_once(algorithm: str) -> None:
    async def story(world: World) -> None:
        fill = world.cloud.glance.fill

        def filled(image_id: str, content: bytes) -> None:
            fill(image_id, content)
            digest = hashlib.new(algorithm, content).hexdigest() if algorithm else None
            world.cloud.glance.images[image_id] |= {"os_hash_algo": algorithm or None, "os_hash_value": digest}

        world.cloud.glance.fill = filled  # type: ignore[method-assign]
        made = await ensure_image(world.site, IMAGE)
        world.restart()
        assert await ensure_image(world.site, IMAGE) == made
        assert (world.cloud.count("PUT image"), world.chunks_asked) == (1, CHUNKS)

    play(story)


def test_an_image_is_told_from_a_snapshot_by_what_nova_set() -> None:
    def image(called: str = "cascade-s", **properties: str) -> Image:
        return Image("i", "active", "sha512", "", "raw", "", properties, called)

    carried = {"cascade_image_id": "a", "cascade_carried": "a", "cascade_name": "cirros"}
    assert was_carried(image("cirros", **carried))
    assert not was_carried(image("cirros", **carried, image_type="snapshot"))
    assert not was_carried(image("of a volume made of it", **carried))
    assert not was_carried(image("cirros", **carried, instance_uuid="srv", base_image_ref="i"))
    taken = {"cascade_image_id": "s", "cascade_snapshot": "s", "cascade_server": "srv", "instance_uuid": "srv"}
    assert is_snapshot(image(**taken)) and is_snapshot(image(**taken), "srv")
    assert not is_snapshot(image("web-1-shelved", **taken))
    assert not is_snapshot(image(**{**taken, "instance_uuid": "made of it"}))
    assert not is_snapshot(image(**carried, instance_uuid="srv"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(413, "<html><head><title>413</title></head><body>Image storage media is full</body></html>"), "full"),
        (Answer(507, "<html><body>Insufficient Storage</body></html>"), "Insufficient"),
        (Answer(503, "<html><body>Insufficient permissions on image storage media</body></html>"), "permissions"),
        (Answer(500, {"message": "No space left on device"}), "No space"),
    ],
)
def test_a_store_without_room_is_a_refusal_whatever_its_status(answer: Answer, reason: str) -> None:
    refuse_not_now(answer, "PUT image")
    error = problem(answer, FaultCode.IMAGE)
    assert isinstance(error, Refused) and error.code is FaultCode.QUOTA
    assert reason in error.message and "<" not in error.message


def test_a_store_that_is_busy_is_asked_again() -> None:
    with pytest.raises(Unavailable):
        refuse_not_now(Answer(503, "<html><body>Service Unavailable</body></html>"), "PUT image")
