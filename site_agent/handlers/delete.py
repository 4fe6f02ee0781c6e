"""Verb ``delete``."""

import logging

from proto.errors import Stale
from proto.messages import Command
from site_agent.core.servers import Server
from site_agent.resources.port import release_ports
from site_agent.site import Site

LOG = logging.getLogger(__name__)


async def delete(site: Site, command: Command, repeated: bool) -> None:
    """Begin to delete the instance's servers; what follows (ports, the absent observation) the observer finishes.

    Knows its earlier try by the state: no server with the tag, and none under the remembered id, means it is done,
    and then the ports go and the absence is told right here. A server in the site's soft delete is deleted for good.
    Stale if a later create has made a server here: the ports are that one's by now.
    """
    servers = await _servers(site, command)
    if not servers:
        await site.servers.all_cells_answer()
        site.carried_out(command)
        await finish(site, command.uuid)
        return
    for server in servers:
        site.memory.know(command.uuid, server.server_id)
        await site.servers.delete(server.server_id, force=server.soft_deleted)
    site.memory.deleting.add(command.uuid)
    site.carried_out(command)
    LOG.info("the site accepted the delete of %s", ", ".join(server.server_id for server in servers))


async def finish(site: Site, uuid: str) -> None:
    """The servers of an instance are gone: release its ports, then tell so. May be repeated."""
    networks_gone = await release_ports(site, uuid)
    await site.reports.absent(uuid, networks_gone)


async def _servers(site: Site, command: Command) -> list[Server]:
    found = await site.servers.tagged(command.uuid)
    server_id = site.memory.server_id(command.uuid)
    if not found and server_id:
        remembered = await site.servers.get(server_id)
        found = [remembered] if remembered else []
    found = found or await site.servers.soft_deleted(command.uuid)
    if any(server.generation > command.generation for server in found):
        raise Stale("a later create has made a server of the instance")
    return [server for server in found if not server.deleted]
