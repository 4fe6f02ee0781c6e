"""The site's servers are called what their tenants call them."""

import asyncio
from typing import Any

import msgspec
import pytest

from proto.errors import Unavailable
from proto.messages import Query
from proto.specs import ServerNames
from site_agent.core import identity
from site_agent.core.answers import Answer
from site_agent.names import differences, names_sync
from tests.fakes.cloud_nova import SiteServer
from tests.unit.site_agent.world import OTHER, PARIS, UUID, World, play

HERE = ServerNames(UUID, "web", None, "web", {"role": "front"})


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        ({}, {}),
        ({"description": ""}, {}),
        ({"metadata": {}, "hostname": "api"}, {}),
        ({"name": "api"}, {"name": "api"}),
        ({"description": "mine"}, {"description": "mine"}),
    ],
)
def test_only_what_differs_is_changed(wanted: dict[str, Any], changes: dict[str, Any]) -> None:
    assert differences(HERE, msgspec.structs.replace(HERE, **wanted)) == changes


def add(world: World) -> SiteServer:
    """A server of UUID in the site."""
    body = {"name": "web", "metadata": {"role": "front"}, "networks": "none", "tags": [identity.tag(UUID)]}
    server = SiteServer("srv-1", body, 0.0, 0.0, "active", None, 1)
    world.cloud.nova.servers["srv-1"] = server
    return server


def test_a_server_is_renamed_and_keeps_its_tags_and_task() -> None:
    async def story(world: World) -> None:
        server = add(world)
        server.task_state = "powering-off"
        wanted = ServerNames(UUID, "api", "mine", None, {"role": "back"})
        query = Query(PARIS, "names_sync", servers=[wanted])
        assert (await names_sync(world.site, query)).undone == {}
        shown = {key: server.body.get(key) for key in ("name", "description", "metadata")}
        assert shown == {"name": "api", "description": "mine", "metadata": {"role": "back"}}
        assert (server.tags, server.task_state) == ([identity.tag(UUID)], "powering-off")
        before = len(world.cloud.calls)
        await names_sync(world.site, query)
        assert [call.split()[0] for call in world.cloud.calls[before:]] == ["GET", "GET"], "there is nothing to do"

    play(story)


def test_one_that_cannot_be_changed_is_told_and_the_others_are() -> None:
    async def story(world: World) -> None:
        server = add(world)
        server.vm_state = "rescued"  # Nova takes no metadata then
        nobody = msgspec.structs.replace(HERE, uuid="u2")
        wanted = msgspec.structs.replace(HERE, name="api", metadata={"role": "back"})
        reply = await names_sync(world.site, Query(PARIS, "names_sync", servers=[nobody, wanted]))
        assert list(reply.undone) == [UUID] and server.body["name"] == "api"
        world.cloud.trouble("GET compute /servers/srv-1", Unavailable("the site answers 503"))
        reply = await names_sync(world.site, Query(PARIS, "names_sync", servers=[wanted]))
        assert "503" in reply.undone[UUID]

    play(story)


def test_a_vendors_metadata_stays_and_only_what_the_tenant_removed_goes() -> None:
    async def story(world: World) -> None:
        server = add(world)
        server.body["metadata"] |= {"vendor:backup": "daily", "old key": "x", "kept": "y"}
        wanted = ServerNames(UUID, "web", None, None, {"role": "back"}, ["old key", "never there", "role"])
        await names_sync(world.site, Query(PARIS, "names_sync", servers=[wanted]))
        assert server.body["metadata"] == {"role": "back", "vendor:backup": "daily", "kept": "y"}

    play(story)


def test_a_hostname_that_the_site_refuses_keeps_neither_name_nor_metadata_back() -> None:
    async def story(world: World) -> None:
        server = add(world)
        no = Answer(400, {"badRequest": {"message": "Invalid input for field hostname"}})
        wanted = ServerNames(UUID, "api", None, "api", {"role": "back"})
        puts = 0

        async def request(*args: Any, **fields: Any) -> Answer:
            nonlocal puts
            if "hostname" in str(fields.get("json")):
                puts += 1
                return no
            return await real(*args, **fields)

        real, world.cloud.request = world.cloud.request, request  # type: ignore[method-assign]
        reply = await names_sync(world.site, Query(PARIS, "names_sync", servers=[wanted]))
        assert "hostname" in reply.undone[UUID] and puts == 1
        assert (server.body["name"], server.body["metadata"]) == ("api", {"role": "back"})
        wanted = msgspec.structs.replace(wanted, hostname="caf\u00e9")
        assert (await names_sync(world.site, Query(PARIS, "names_sync", servers=[wanted]))).undone == {}

    play(story)


def test_a_server_in_a_cell_that_is_down_keeps_no_other_from_its_name() -> None:
    async def story(world: World) -> None:
        server = add(world)
        body = {"name": "web", "metadata": {}, "networks": "none", "tags": [identity.tag(OTHER)]}
        world.cloud.nova.servers["srv-2"] = other = SiteServer("srv-2", body, 0.0, 0.0, "active", None, 1)
        world.site.memory.know(UUID, "srv-1")
        server.in_down_cell = True
        both = [ServerNames(uuid, "api", None, None, {}) for uuid in (UUID, OTHER)]
        reply = await names_sync(world.site, Query(PARIS, "names_sync", servers=both))
        assert list(reply.undone) == [UUID] and other.body["name"] == "api"

    play(story)


def test_a_query_that_the_site_keeps_waiting_does_not_undo_a_later_one() -> None:
    async def story(world: World) -> None:
        server = add(world)
        first, later = (Query(PARIS, "names_sync", servers=[ServerNames(UUID, n, None, None, {})]) for n in ("a", "b"))
        get, slow = world.site.names.get, True

        async def slowly(server_id: str, uuid: str) -> ServerNames | None:
            nonlocal slow
            here, waits = await get(server_id, uuid), slow
            slow = False
            await asyncio.sleep(40 if waits else 0)
            return here

        world.site.names.get = slowly  # type: ignore[method-assign]
        waiting = asyncio.ensure_future(names_sync(world.site, first))
        await asyncio.sleep(1)
        await asyncio.gather(names_sync(world.site, later), waiting)
        assert server.body["name"] == "b" and world.cloud.count("PUT compute") == 1
        assert world.site.memory.names == {}

    play(story)
