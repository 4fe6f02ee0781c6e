"""Finding the server that stands for an instance."""

from proto.errors import FaultCode, Refused
from proto.messages import Command, Query
from site_agent.core.servers import Server
from site_agent.site import Site


async def server_of(site: Site, command: Command) -> Server:
    """Return the instance's server: by the id the agent remembers, else by tag. Refused(MISSING) if there is none."""
    server_id = site.memory.server_id(command.uuid)
    server = await site.servers.get(server_id) if server_id else None
    if server is None or server.deleted:
        found = await site.servers.tagged(command.uuid) or await site.servers.soft_deleted(command.uuid)
        if not found:
            await site.servers.all_cells_answer()
            raise Refused(FaultCode.MISSING, "the instance has no server in the site")
        server = found[0]
    site.memory.know(command.uuid, server.server_id)
    return server


async def server_id_of(site: Site, query: Query) -> str:
    """Return the id of the server that a query is about. Refused(MISSING) if there is none."""
    if known := site.memory.server_id(query.uuid):
        return known
    found = await site.servers.tagged(query.uuid)
    if not found:
        raise Refused(FaultCode.MISSING, "the instance has no server in the site")
    return found[0].server_id


async def had_already(site: Site, command: Command, server: Server) -> None:
    """The server already is as the command wants it: remember the command and tell what the server looks like."""
    site.carried_out(command)
    await site.reports.seen(command.uuid, server.state, command.generation)
