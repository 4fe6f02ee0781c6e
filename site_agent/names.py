"""Answers ``names_sync``: servers here are called, and carry the metadata, that their tenants gave them above."""

import asyncio
from typing import Any

from proto.errors import CascadeError
from proto.messages import Query, Reply
from proto.specs import ServerNames
from site_agent.core.boot import speaks
from site_agent.site import Site

VERB = "names_sync"
HOSTNAME = (2, 90)  # the microversion that shows and changes it
AT_ONCE = 8


async def names_sync(site: Site, query: Query) -> Reply:
    """Make the query's servers equal, and say of the rest why they are not; may be repeated.

    A server that is not here needs nothing: what makes one brings its names. Tags, by which servers are known, and
    states are not touched, so nothing that goes on with a server is disturbed.
    """
    room = asyncio.Semaphore(AT_ONCE)
    troubles = await asyncio.gather(*(_make_equal(site, wanted, room) for wanted in query.servers))
    named = zip(query.servers, troubles, strict=True)
    return Reply(undone={wanted.uuid: trouble for wanted, trouble in named if trouble is not None})


async def _make_equal(site: Site, wanted: ServerNames, room: asyncio.Semaphore) -> str | None:
    async with room:
        try:
            for server_id in await _server_ids(site, wanted.uuid):
                here = await site.names.get(server_id, wanted.uuid)
                if here is not None:
                    await _change(site, server_id, here, wanted)
        except CascadeError as error:
            return str(error)
    return None


async def _server_ids(site: Site, uuid: str) -> list[str]:
    if known := site.memory.server_id(uuid):
        return [known]
    return [server.server_id for server in await site.servers.tagged(uuid)]


async def _change(site: Site, server_id: str, here: ServerNames, wanted: ServerNames) -> None:
    if changes := differences(here, wanted, speaks(site.cloud.microversion, HOSTNAME)):
        await site.names.put(server_id, changes)
    if here.metadata != wanted.metadata:
        await site.names.put_metadata(server_id, wanted.metadata)


def differences(here: ServerNames, wanted: ServerNames, hostnames: bool) -> dict[str, Any]:
    """Return what PUT /servers/ID must say; ``hostnames``: whether the site can change them."""
    changes: dict[str, Any] = {}
    if here.name != wanted.name:
        changes["name"] = wanted.name
    if (here.description or None) != (wanted.description or None):
        changes["description"] = wanted.description
    if hostnames and wanted.hostname and here.hostname != wanted.hostname:
        changes["hostname"] = wanted.hostname
    return changes
