"""A server group above has one in the site, which the server joins and which goes when it is empty."""

import asyncio

import pytest

from proto.errors import FaultCode, Refused
from proto.messages import HoldingKind
from proto.operations import Verb
from proto.specs import ServerGroupSpec
from site_agent.edge.server_groups import ServerGroups
from site_agent.resources.server_group import ensure_server_group
from tests.fakes.cloud import FakeCloud
from tests.unit.site_agent.world import OTHER, World, card, play, server_spec

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
