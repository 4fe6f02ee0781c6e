"""A server group above has one in the site, which the server joins and which goes when it is empty."""

import asyncio

import pytest

from proto.errors import FaultCode, Refused
from proto.messages import Holding, HoldingKind, Query
from proto.operations import Verb
from proto.specs import ServerGroupSpec
from site_agent.catalogue import drop
from site_agent.edge.server_groups import ServerGroup, ServerGroups
from site_agent.handlers.create import create
from site_agent.resources.server_group import ensure_server_group
from tests.fakes.cloud import FakeCloud
from tests.unit.site_agent.world import OTHER, PARIS, World, card, play, server_spec

GROUP = ServerGroupSpec("group-above", "anti-affinity", {"max_server_per_host": "2"})


def test_servers_of_a_group_are_created_in_one_of_the_site() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        spec, other = server_spec(group=GROUP), server_spec(group=GROUP, ports=[card(2)])
        await world.send(world.command(Verb.CREATE, server=spec))
        await world.send(world.command(Verb.CREATE, uuid=OTHER, server=other))
        await asyncio.sleep(5)
        (group,) = world.cloud.nova.groups.values()
        assert group["name"] == "cascade:group-above"
        assert (group["policy"], group["rules"]) == ("anti-affinity", {"max_server_per_host": 2})
        hints = [server.body["os:scheduler_hints"] for server in world.cloud.nova.alive()]
        assert hints == [{"vendor_rack": "7", "group": group["id"]}] * 2
        (held,) = [one for one in (await world.ask("holdings")).holdings if one.kind is HoldingKind.SERVER_GROUP]
        assert (held.source, held.used) == ("group-above", 2)

    play(story)


def test_a_group_that_was_removed_is_made_anew_by_the_next_boot() -> None:
    async def story(world: World) -> None:
        first = await ensure_server_group(world.site, GROUP)
        world.cloud.nova.groups.clear()
        world.run_agent()
        await world.send(world.command(Verb.CREATE, server=server_spec(group=GROUP)))
        await asyncio.sleep(5)
        assert world.cloud.nova.alive() and set(world.cloud.nova.groups) != {first}

    play(story)


def test_of_two_groups_of_one_name_the_one_in_use_is_taken() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b"):
            world.cloud.nova.groups[name] = {"id": name, "name": "cascade:group-above"}
        world.run_agent()
        world.site.shelf.clear()
        await world.send(world.command(Verb.CREATE, server=server_spec(group=GROUP)))
        await asyncio.sleep(5)
        (server,) = world.cloud.nova.alive()
        server.body["os:scheduler_hints"]["group"] = "b"
        world.site.shelf.clear()
        assert await ensure_server_group(world.site, GROUP) == "b"

    play(story)


def test_a_site_that_shows_few_groups_at_a_time_shows_them_all() -> None:
    async def story(world: World) -> None:
        for number in range(5):
            await world.site.groups.create(f"vendor-{number}", GROUP)
        world.cloud.nova.page = 2
        first = await ensure_server_group(world.site, GROUP)
        world.site.shelf.clear()
        assert await ensure_server_group(world.site, GROUP) == first and len(world.cloud.nova.groups) == 6

    play(story)


def test_a_group_that_a_server_joins_in_the_last_moment_stays() -> None:
    async def story(world: World) -> None:
        group_id = await ensure_server_group(world.site, GROUP)
        world.site.shelf.clear()
        held = [Holding(HoldingKind.SERVER_GROUP, group_id, "group-above", unused_since=world.time.time() + 60)]
        listed = await world.site.groups.list()
        await create(world.site, world.command(Verb.CREATE, server=server_spec(group=GROUP)), False)

        async def earlier() -> list[ServerGroup]:
            return listed

        world.site.groups.list = earlier  # type: ignore[method-assign]
        assert (await drop(world.site, Query(PARIS, "drop", holdings=held))).holdings == []
        assert group_id in world.cloud.nova.groups
        await world.site.servers.delete("srv-2")
        await asyncio.sleep(1)
        assert len((await drop(world.site, Query(PARIS, "drop", holdings=held))).holdings) == 1
        assert world.cloud.nova.groups == {}

    play(story)


@pytest.mark.parametrize("rules", [{}, {"max_server_per_host": "2"}])
def test_a_site_before_rules(rules: dict[str, str]) -> None:
    async def story(world: World) -> None:
        world.cloud.microversion = "2.63"
        spec = ServerGroupSpec("group-above", "affinity", rules)
        if rules:
            with pytest.raises(Refused) as refused:
                await ServerGroups(world.site.cloud).create("cascade:group-above", spec)
            assert refused.value.code is FaultCode.UNSUPPORTED
        else:
            await ensure_server_group(world.site, spec)
            (group,) = world.cloud.nova.groups.values()
            assert group["policies"] == ["affinity"] and "policy" not in group

    play(story, cloud=FakeCloud())
