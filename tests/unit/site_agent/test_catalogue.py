"""Flavors made ahead, what the site holds of ours, and dropping exactly what was meant."""

import asyncio
import time

import msgspec

from proto.errors import FaultCode
from proto.messages import Holding, HoldingKind, Query, Reply
from proto.operations import Verb
from site_agent import catalogue
from site_agent.core import identity
from site_agent.core.answers import Answer
from site_agent.core.matching import CARRIED_PROPERTY, IMAGE_PROPERTY
from site_agent.resources.flavor import ensure_flavor
from tests.fakes.cloud import FakeCloud
from tests.unit.site_agent.world import FLAVOR, KEYPAIR, PARIS, World, play

NEXT = msgspec.structs.replace(FLAVOR, version=4, vcpus=4)
VENDORS = {"name": "cascade-42-v1", "id": "cascade-42-v1", "description": "the vendor's own", "vcpus": 1, "ram": 1}


async def held(world: World) -> list[Holding]:
    return (await world.ask("holdings")).holdings


async def drop(world: World, holdings: list[Holding]) -> list[str]:
    reply = await catalogue.drop(world.site, Query(PARIS, "drop", holdings=holdings))
    return [one.site_id for one in reply.holdings]


def test_a_flavor_is_made_ahead_and_its_refusal_told() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await asyncio.sleep(1)
        assert (await world.ask("flavor_ensure", flavor=FLAVOR)).text == "cascade-42-v3"
        assert world.cloud.nova.flavors["cascade-42-v3"]["description"] == "cascade:42"
        world.cloud.trouble("os-extra_specs", Answer(400, {"badRequest": {"message": "hw:cpu_policy: no such value"}}))
        refused = await world.ask("flavor_ensure", flavor=NEXT)
        assert refused.fault is not None and refused.fault.code is FaultCode.FLAVOR
        assert "no such value" in refused.fault.message
        assert "cascade-42-v4" not in world.cloud.nova.flavors  # not left half done
        assert (await world.ask("flavor_ensure")).fault is not None

    play(story)


def test_an_agent_that_may_make_no_flavor_says_which_field_differs() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await asyncio.sleep(1)
        world.cloud.nova.flavors["big"] = {**VENDORS, "id": "big", "vcpus": 2, "ram": 2048, "disk": 21}
        refused = await world.ask("flavor_ensure", flavor=FLAVOR)
        assert refused.fault is not None and "disk is 21, wanted 20" in refused.fault.message

    play(story, cloud=FakeCloud(admin=False))


def test_holdings_are_ours_only_with_who_uses_them() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(5)
        await ensure_flavor(world.site, NEXT)
        world.cloud.nova.flavors["cascade-42-v1"] = VENDORS
        images = world.cloud.glance.images
        (carried,) = images.values()
        images["snapshot"] = {**carried, "id": "snapshot", "instance_uuid": "srv-1", "image_type": "snapshot"}
        images["preplaced"] = {"id": "preplaced", "status": "active", "os_hash_value": carried["os_hash_value"]}
        images["half"] = {**carried, "id": "half", "status": "saving"}
        assert carried[CARRIED_PROPERTY] == carried[IMAGE_PROPERTY]
        world.cloud.nova.keypairs["vendors"] = {"name": "vendors", "fingerprint": "cc:dd", "type": "ssh"}
        found = [(one.kind.value, one.site_id, one.source, one.version, one.used) for one in await held(world)]
        assert found == [
            ("flavor", "cascade-42-v3", "42", 3, 1),
            ("flavor", "cascade-42-v4", "42", 4, 0),
            ("image", carried["id"], "img-1", 0, 1),
            ("keypair", identity.keypair_name(KEYPAIR), "aa:bb", 0, 1),
        ]

    play(story)


def test_only_what_is_still_unused_is_dropped() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(5)
        await ensure_flavor(world.site, NEXT)
        await asyncio.sleep(60)
        told = await held(world)
        assert await drop(world, told) == ["cascade-42-v4"]  # all else is used
        assert "42" not in world.site.stock.flavors or world.site.stock.flavors["42"].version == 3
        assert await drop(world, told) == []
        await asyncio.sleep(1)
        assert await ensure_flavor(world.site, NEXT) == "cascade-42-v4"
        assert "cascade-42-v4" in world.cloud.nova.flavors
        assert await drop(world, told) == []  # somebody asked for it since the bridge was told

    play(story)


def test_a_thing_is_unused_since_it_was_first_seen_so() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await ensure_flavor(world.site, NEXT)
        (first,) = await held(world)
        await asyncio.sleep(50)
        (later,) = await held(world)
        assert later.unused_since == first.unused_since <= time.time() - 50

    play(story)


def test_what_was_asked_for_again_is_unused_since_then_and_dropped_later() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await ensure_flavor(world.site, NEXT)
        await asyncio.sleep(10)
        await held(world)
        await asyncio.sleep(10)
        asked = world.time.time()
        await ensure_flavor(world.site, NEXT)
        await asyncio.sleep(10)
        told = await held(world)
        assert told[0].unused_since == asked
        assert await drop(world, told) == ["cascade-42-v4"]

    play(story)


def test_a_shelved_server_keeps_its_only_disk() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(5)
        await world.send(world.command(Verb.SNAPSHOT, 2, image_id="snap-1"))
        await asyncio.sleep(5)
        images = world.cloud.glance.images
        (snapshot,) = (image for image in images.values() if image.get("cascade_snapshot"))
        # The tenant rebuilt the server from it: Nova gives its properties, but not its name, to what a vendor shelves.
        images["shelved"] = {**snapshot, "id": "shelved", "name": "web-1-shelved"}
        (carried,) = (image for image in images.values() if "cascade_snapshot" not in image)
        images["volume"] = {**carried, "id": "volume", "name": "uploaded by Cinder"}
        found = {one.site_id for one in await held(world) if one.kind is HoldingKind.IMAGE}
        assert found == {snapshot["id"], carried["id"]}

    play(story)


def test_nothing_is_said_while_a_cell_hides_its_servers() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(5)
        next(iter(world.cloud.nova.servers.values())).in_down_cell = True
        reply: Reply = await world.ask("holdings")
        assert reply.fault is not None and reply.fault.code is FaultCode.SITE_SILENT

    play(story)


def test_a_flavor_of_ours_is_told_by_id_and_description() -> None:
    assert identity.flavor_of("cascade-a-v2-v3", "cascade:a-v2") == ("a-v2", 3)
    assert identity.flavor_of("cascade-42-v3", None) == ("42", 3)
    assert identity.flavor_of("cascade-42-v3", "cascade:43") is None
    assert identity.flavor_of("cascade-42-v3", "mine") is None
    assert identity.flavor_of("m1.small", "cascade:42") is None
    long = msgspec.structs.replace(FLAVOR, flavor_id="x" * 250)
    assert identity.flavor_of(identity.flavor_id(long), f"cascade:{long.flavor_id}") == (long.flavor_id, 3)


def test_paging() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        for version in range(5):
            await ensure_flavor(world.site, msgspec.structs.replace(FLAVOR, version=version))
        catalogue.PAGE, page = 2, catalogue.PAGE
        try:
            first = await world.ask("holdings")
            second = await world.ask("holdings", marker=first.marker)
            third = await world.ask("holdings", marker=second.marker)
        finally:
            catalogue.PAGE = page
        assert [len(reply.holdings) for reply in (first, second, third)] == [2, 2, 1] and not third.marker
        assert HoldingKind.FLAVOR.value in first.marker

    play(story)
