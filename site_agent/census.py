"""Queries of a census: what the site says it holds, by digests of one listing, server by server, or page by page."""

import asyncio

from proto import codec
from proto.census import BUCKETS, PARTS
from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import CensusEntry, Fault, Query, Reply
from site_agent.core.servers import Server
from site_agent.listings import entry_of
from site_agent.site import Site

_ROOM = codec.MAX_MESSAGE_BYTES - 10_000  # bytes for the entries of one reply
LOOKS = 100  # servers looked at for one query
LOOKS_AT_ONCE = 4


async def digest(site: Site, query: Query) -> Reply | None:
    """List the site's servers, or go on with ``query.snapshot``; return digests of its buckets, or of parts of some.

    A reply without digests says that the listing goes on: ask again with its name. None: it is another agent's.
    """
    name = query.snapshot or site.listings.begin(site.servers)
    if not site.listings.ours(name):
        return None
    if not all(0 <= bucket < BUCKETS for bucket in query.buckets):
        raise Refused(FaultCode.REJECTED, f"there are {BUCKETS} buckets")
    listed = await site.listings.parts(name)
    if listed is None:
        return Reply(snapshot=name)
    if not query.buckets:
        return Reply(snapshot=name, digests=listed.bucket_digests())
    return Reply(snapshot=name, digests=b"".join(map(listed.part_digests, query.buckets)))


async def parts(site: Site, query: Query) -> Reply | None:
    """Return the servers of as many parts of a listing as fit; the marker counts them: ask on with the others."""
    if not site.listings.ours(query.snapshot):
        return None
    listed = await site.listings.parts(query.snapshot)
    if listed is None:
        raise Unavailable("the site is still being listed")
    entries: list[CensusEntry] = []
    room, answered = _ROOM, 0
    for part in query.buckets[: BUCKETS * PARTS]:
        found = listed.entries(part)
        room -= sum(len(codec.encode(entry)) for entry in found)
        if room < 0:
            break
        entries += found
        answered += 1
    return Reply(snapshot=query.snapshot, servers=entries, marker=str(answered))


async def look(site: Site, query: Query) -> Reply:
    """Look at some instances one by one; Unavailable while a cell of the site may hide those that are not found."""
    if len(query.sought) > LOOKS:
        raise Refused(FaultCode.REJECTED, f"at most {LOOKS} servers are looked at for one query")
    room = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def one(uuid: str, server_id: str) -> list[CensusEntry]:
        async with room:
            return await _servers_of(site, uuid, server_id)

    found = await asyncio.gather(*(one(uuid, server_id) for uuid, server_id in query.sought.items()))
    if not all(found):
        await site.servers.all_cells_answer()
    return Reply(servers=[entry for entries in found for entry in entries])


async def _servers_of(site: Site, uuid: str, server_id: str) -> list[CensusEntry]:
    """Return an instance's servers by tag, else the one the bridge knows or we do: a vendor may have taken the tag."""
    found = await site.servers.tagged(uuid)
    if found:
        return [entry_of(server) for server in found]
    known = server_id or site.memory.server_id(uuid)
    server = await site.servers.get(known) if known else None
    if server is None or server.deleted or server.uuid not in ("", uuid):
        return []
    return [entry_of(server, uuid)]


async def census(site: Site, query: Query) -> Reply:
    """Return tagged servers after ``query.marker``; ask on with the reply's marker until it is empty.

    What bridges ask that know no digests. Unavailable, rather than a list with holes, while a cell of the site does
    not answer. A marker whose server was deleted meanwhile is a fault (conflict): begin again.
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
            entry = entry_of(server)
            room -= len(codec.encode(entry))
            if room < 0:
                return entries, last
            entries.append(entry)
        last = server.server_id
    return entries, ""
