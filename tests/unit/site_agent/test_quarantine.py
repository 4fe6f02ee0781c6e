"""What an operator decides about one tagged server: nothing else is touched, and each may be asked for twice."""

import asyncio

import pytest

from proto.errors import FaultCode
from proto.messages import Query, Reply
from proto.queries import QueryName
from site_agent import queries
from tests.unit.site_agent.test_snapshot import booted
from tests.unit.site_agent.world import OTHER, PARIS, UUID, World, play

DECISIONS = (QueryName.SERVER_STOP, QueryName.SERVER_RETURN, QueryName.SERVER_PURGE)


async def ask(world: World, verb: QueryName, uuid: str = UUID, server_id: str = "srv-1") -> Reply:
    return await queries.answer(world.site, Query(PARIS, verb, uuid, server_id=server_id, asked_by="ann"))


@pytest.mark.parametrize("verb", DECISIONS)
def test_a_server_without_the_tag_is_not_touched(verb: QueryName) -> None:
    async def story(world: World) -> None:
        await booted(world)
        before = world.cloud.count("POST"), world.cloud.count("DELETE")
        for uuid in (OTHER, ""):
            reply = await ask(world, verb, uuid)
            assert reply.fault is not None
            assert reply.fault.code is FaultCode.REJECTED
        assert (world.cloud.count("POST"), world.cloud.count("DELETE")) == before

    play(story)


@pytest.mark.parametrize("verb", DECISIONS)
def test_a_server_that_is_gone_is_no_trouble(verb: QueryName) -> None:
    async def story(world: World) -> None:
        await booted(world)
        assert "not in the site" in (await ask(world, verb, server_id="srv-7")).text

    play(story)


def test_what_is_returned_carries_no_mark_of_ours() -> None:
    async def story(world: World) -> None:
        await booted(world)
        (server,) = world.cloud.nova.alive()
        assert "own now" in (await ask(world, QueryName.SERVER_RETURN)).text
        assert server.tags == [] and server.vm_state == "active"
        described = [port["description"] for port in world.cloud.neutron.things["ports"].values()]
        assert UUID not in "".join(described)
        again = await ask(world, QueryName.SERVER_RETURN)
        assert again.fault is not None and again.fault.code is FaultCode.REJECTED, "it is not ours any more"

    play(story)


def test_a_return_that_was_cut_short_goes_on() -> None:
    async def story(world: World) -> None:
        await booted(world)
        (server,) = world.cloud.nova.alive()
        world.cloud.trouble("DELETE compute /servers/srv-1/tags/cascade:")
        reply = await ask(world, QueryName.SERVER_RETURN)
        assert reply.fault is not None and server.tags == [f"cascade:{UUID}"], "still ours: the last one goes last"
        assert (await ask(world, QueryName.SERVER_RETURN)).fault is None
        assert server.tags == []

    play(story)


def test_what_is_purged_goes_with_its_ports() -> None:
    async def story(world: World) -> None:
        await booted(world)
        assert "being deleted" in (await ask(world, QueryName.SERVER_PURGE)).text
        await asyncio.sleep(10)
        assert world.cloud.nova.alive() == []
        assert [port for port in world.cloud.neutron.things["ports"].values() if UUID in port["description"]] == []
        assert (await ask(world, QueryName.SERVER_PURGE)).fault is None

    play(story)


def test_a_server_is_stopped_once() -> None:
    async def story(world: World) -> None:
        await booted(world)
        await ask(world, QueryName.SERVER_STOP)
        await asyncio.sleep(5)
        await ask(world, QueryName.SERVER_STOP)
        assert world.cloud.nova.alive()[0].vm_state == "stopped"
        assert world.cloud.count("POST compute /servers/srv-1/action") == 1

    play(story)
