"""Queries ``console_output`` and ``vnc_console``."""

from proto.messages import Query, Reply
from site_agent.handlers.find import server_id_of
from site_agent.site import Site

LONGEST = 700_000  # bytes of console that go up; a message holds 900 KiB


async def console_output(site: Site, query: Query) -> Reply:
    """Return the end of the server's console. Reads only, so nothing needs recognising."""
    text = await site.servers.console(await server_id_of(site, query), query.length)
    return Reply(text=text.encode()[-LONGEST:].decode(errors="ignore"))


async def vnc_console(site: Site, query: Query) -> Reply:
    """Return a URL of the site's own console proxy, which tenants must reach.

    Each call makes a token of its own, so nothing needs recognising.
    """
    return Reply(text=await site.servers.vnc_console(await server_id_of(site, query), query.console_type))
