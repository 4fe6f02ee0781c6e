"""Queries ``console_output`` and ``vnc_console``."""

from proto.errors import FaultCode, Refused
from proto.messages import Query, Reply
from site_agent.site import Site

LONGEST = 700_000  # bytes of console that go up; a message holds 900 KiB


async def console_output(site: Site, query: Query) -> Reply:
    """Return the end of the server's console. Reads only, so nothing needs recognising."""
    text = await site.servers.console(await _server_id(site, query), query.length)
    return Reply(text=text.encode()[-LONGEST:].decode(errors="ignore"))


async def vnc_console(site: Site, query: Query) -> Reply:
    """Return a URL of the site's own console proxy, which tenants must reach.

    Each call makes a token of its own, so nothing needs recognising.
    """
    return Reply(text=await site.servers.vnc_console(await _server_id(site, query), query.console_type))


async def _server_id(site: Site, query: Query) -> str:
    if known := site.memory.server_id(query.uuid):
        return known
    found = await site.servers.tagged(query.uuid)
    if not found:
        raise Refused(FaultCode.MISSING, "the instance has no server in the site")
    return found[0].server_id
