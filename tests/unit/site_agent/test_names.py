"""The site's servers are called what their tenants call them."""

from typing import Any

import msgspec
import pytest

from proto.errors import Unavailable
from proto.messages import Query
from proto.specs import ServerNames
from site_agent.core import identity
from site_agent.names import differences, names_sync
from tests.fakes.cloud_nova import SiteServer
from tests.unit.site_agent.world import PARIS, UUID, World, play

HERE = ServerNames(UUID, "web", None, "web", {"role": "front"})


@pytest.mark.parametrize(
    ("wanted", "hostnames", "changes"),
    [
        ({}, True, {}),
        ({"description": ""}, True, {}),
        ({"hostname": None}, True, {}),
        ({"metadata": {}}, True, {}),
        ({"name": "api"}, True, {"name": "api"}),
        ({"description": "mine"}, True, {"description": "mine"}),
        ({"hostname": "api"}, True, {"hostname": "api"}),
        ({"hostname": "api"}, False, {}),
    ],
)
def test_only_what_differs_is_changed(wanted: dict[str, Any], hostnames: bool, changes: dict[str, Any]) -> None:
    assert differences(HERE, msgspec.structs.replace(HERE, **wanted), hostnames) == changes


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
        before = world.cloud.count("PUT compute")
        await names_sync(world.site, query)
        assert world.cloud.count("PUT compute") == before == 2

    play(story)


def test_one_that_cannot_be_changed_is_told_and_the_others_are() -> None:
    async def story(world: World) -> None:
        server = add(world)
        server.vm_state = "rescued"  # Nova takes no metadata then
        nobody = msgspec.structs.replace(HERE, uuid="u2")
        wanted = msgspec.structs.replace(HERE, name="api", metadata={})
        reply = await names_sync(world.site, Query(PARIS, "names_sync", servers=[nobody, wanted]))
        assert list(reply.undone) == [UUID] and server.body["name"] == "api"
        world.cloud.trouble("GET compute /servers/srv-1", Unavailable("the site answers 503"))
        reply = await names_sync(world.site, Query(PARIS, "names_sync", servers=[wanted]))
        assert "503" in reply.undone[UUID]

    play(story)
