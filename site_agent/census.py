"""Query ``census``: what the site says it holds, page by page."""

from proto import codec
from proto.errors import FaultCode, Refused
from proto.messages import CensusEntry, Fault, Query, Reply
from site_agent.core.servers import Server
from site_agent.site import Site

_ROOM = codec.MAX_MESSAGE_BYTES - 10_000  # bytes for the entries of one reply


async def census(site: Site, query: Query) -> Reply:
    """Return tagged servers after ``query.marker``; ask on with the reply's marker until it is empty.

    Unavailable, rather than a list with holes, while a cell of the site does not answer. A marker whose server was
    deleted meanwhile is a fault (conflict): begin again.
    """
    try:
        page = await site.servers.page(query.marker)
    except Refused as error:
        return Reply(fault=Fault(FaultCode.CONFLICT, f"begin the census again: {error.message}"))
    page.must_be_complete()
    entries, marker = fit(page.servers)
    return Reply(servers=entries, marker=marker or page.marker)


def fit(servers: list[Server], room: int = _ROOM) -> tuple[list[CensusEntry], str]:
    """Return the entries of as many servers as fit in ``room`` bytes, and the last id if some did not."""
    entries: list[CensusEntry] = []
    last = ""
    for server in servers:
        if server.uuid and not server.deleted:
            entry = CensusEntry(server.uuid, server.generation, server.state)
            room -= len(codec.encode(entry))
            if room < 0:
                return entries, last
            entries.append(entry)
        last = server.server_id
    return entries, ""
