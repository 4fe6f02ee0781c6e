"""Query ``console_output``."""

from proto.errors import FaultCode
from proto.messages import Fault, Query, Reply
from site_agent.site import Site

LONGEST = 700_000  # bytes of console that go up; a message holds 900 KiB


async def console_output(site: Site, query: Query) -> Reply:
    """Return the end of the server's console. Reads only, so nothing needs recognising."""
    server_id = site.memory.server_id(query.uuid)
    if not server_id:
        found = await site.servers.tagged(query.uuid)
        if not found:
            return Reply(fault=Fault(FaultCode.MISSING, "the instance has no server in the site"))
        server_id = found[0].server_id
    text = await site.servers.console(server_id, query.length)
    return Reply(text=text.encode()[-LONGEST:].decode(errors="ignore"))
