"""Queries ``server_stop``, ``server_return`` and ``server_purge``: one tagged server that an operator decides about.

Each names instance and server, and touches nothing unless that server carries that instance's tag.
"""

import logging

from proto.errors import FaultCode, Refused
from proto.messages import Query, Reply
from site_agent.core import identity
from site_agent.core.servers import Server
from site_agent.site import Site

LOG = logging.getLogger(__name__)

GONE = "the server is not in the site any more"


async def server_stop(site: Site, query: Query) -> Reply:
    """Power the server off if it runs; Refused with the site's reason. May be repeated: it is stopped by then."""
    server = await _tagged(site, query)
    if server is None:
        return Reply(text=GONE)
    if server.state.vm_state == "active" and server.state.task_state is None:
        await site.servers.act(server.server_id, {"os-stop": None})
    return Reply(text=f"server {server.server_id} is being stopped")


async def server_return(site: Site, query: Query) -> Reply:
    """Take our marks off the server and its ports: neither is ours any more. May be repeated until the tag is gone.

    The tag that makes it ours goes last. Refused where the site lets no tags be changed (Nova 34: only while active,
    paused, suspended or stopped).
    """
    async with site.memory.alone(query.uuid):
        server = await _tagged(site, query)
        if server is None:
            return Reply(text=GONE)
        for port in await site.networks.find("ports", description=identity.tag(query.uuid)):
            if port.fields.get("device_id") in ("", server.server_id):
                await site.networks.update("ports", port.id, {"description": ""})
        await site.servers.untag(server.server_id, identity.generation_tag(server.generation))
        await site.servers.untag(server.server_id, identity.tag(query.uuid))
        site.memory.forget(query.uuid)
    LOG.warning("audit: server %s is returned to the site, asked by %s", server.server_id, query.asked_by)
    return Reply(text=f"server {server.server_id} is the site's own now")


async def server_purge(site: Site, query: Query) -> Reply:
    """Delete the server; its ports go when the observer has seen it vanish. May be repeated: it is gone by then."""
    async with site.memory.alone(query.uuid):
        server = await _tagged(site, query)
        if server is None:
            return Reply(text=GONE)
        LOG.warning("audit: server %s of %s is purged, asked by %s", server.server_id, query.uuid, query.asked_by)
        site.memory.know(query.uuid, server.server_id)
        await site.servers.delete(server.server_id, force=server.soft_deleted)
        site.memory.deleting.add(query.uuid)
        site.memory.unseen[query.uuid] = 0.0
        site.memory.busy.set()
    return Reply(text=f"server {server.server_id} is being deleted")


async def _tagged(site: Site, query: Query) -> Server | None:
    """Return the server that a query is about, None if it is gone; Refused if it does not carry the instance's tag."""
    server = await site.servers.get(query.server_id)
    if server is None or server.deleted:
        return None
    if not query.uuid or server.uuid != query.uuid:
        raise Refused(FaultCode.REJECTED, f"server {query.server_id} is not tagged {identity.tag(query.uuid)}")
    return server
