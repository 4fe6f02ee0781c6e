"""Answers ``names_sync``: servers here are called, and carry the metadata, that their tenants gave them above."""

import asyncio
import logging
from typing import Any

from proto.errors import CascadeError
from proto.messages import Query, Reply
from proto.specs import ServerNames
from site_agent.core.boot import hostname_taken
from site_agent.site import Site

LOG = logging.getLogger(__name__)

AT_ONCE = 8


async def names_sync(site: Site, query: Query) -> Reply:
    """Make the query's servers equal, and say of the rest why they are not; may be repeated.

    A server that is not here needs nothing: what makes one brings its names. Tags, by which servers are known, and
    states are not touched, so nothing that goes on with a server is disturbed. Of two queries about a server the later
    one holds, also if the site keeps the earlier one waiting for longer.
    """
    for wanted in query.servers:
        site.memory.names[wanted.uuid] = wanted
    room = asyncio.Semaphore(AT_ONCE)
    troubles = await asyncio.gather(*(_make_equal(site, wanted, room) for wanted in query.servers))
    named = zip(query.servers, troubles, strict=True)
    return Reply(undone={wanted.uuid: trouble for wanted, trouble in named if trouble is not None})


async def _make_equal(site: Site, wanted: ServerNames, room: asyncio.Semaphore) -> str | None:
    """Return why it could not be done; None also if a later query says otherwise by now."""
    async with room, site.memory.alone(f"names of {wanted.uuid}"):
        try:
            for server_id in await _server_ids(site, wanted.uuid):
                here = await site.names.get(server_id, wanted.uuid)
                if here is not None:
                    await _change(site, server_id, here, wanted)
        except CascadeError as error:
            return str(error)
        except Exception as error:  # one odd server must not keep the others from their names
            LOG.exception("names of instance=%s", wanted.uuid)
            return repr(error)
        finally:
            if _holds(site, wanted):
                del site.memory.names[wanted.uuid]
    return None


async def _server_ids(site: Site, uuid: str) -> list[str]:
    if known := site.memory.server_id(uuid):
        return [known]
    return [server.server_id for server in await site.servers.tagged(uuid)]


def _holds(site: Site, wanted: ServerNames) -> bool:
    return site.memory.names.get(wanted.uuid) is wanted


async def _change(site: Site, server_id: str, here: ServerNames, wanted: ServerNames) -> None:
    """What a site is likeliest to refuse comes last: it must not keep the rest from the server."""
    hostname = hostname_taken(wanted.hostname, site.cloud.microversion)
    if (changes := differences(here, wanted)) and _holds(site, wanted):
        await site.names.put(server_id, changes)
    for key in wanted.gone:
        if key in here.metadata and key not in wanted.metadata and _holds(site, wanted):
            await site.names.drop_metadata(server_id, key)
    if (metadata := new_metadata(here, wanted)) and _holds(site, wanted):
        await site.names.add_metadata(server_id, metadata)
    if hostname and hostname != here.hostname and _holds(site, wanted):
        await site.names.put(server_id, {"hostname": hostname})


def differences(here: ServerNames, wanted: ServerNames) -> dict[str, Any]:
    """Return what PUT /servers/ID must say of name and description."""
    changes: dict[str, Any] = {}
    if here.name != wanted.name:
        changes["name"] = wanted.name
    if (here.description or None) != (wanted.description or None):
        changes["description"] = wanted.description
    return changes


def new_metadata(here: ServerNames, wanted: ServerNames) -> dict[str, str]:
    """Return the items that the server lacks or has otherwise; those of its vendor's are not looked at."""
    return {key: value for key, value in wanted.metadata.items() if here.metadata.get(key) != value}
