"""Listings of the site's servers for a census by digest: kept for a while, as all its questions are about the same."""

import asyncio
import itertools
import secrets

from proto.census import Parts
from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import CensusEntry
from site_agent.core.servers import Server
from site_agent.edge.servers import Servers

HOLD = 25.0  # s an answer is held back while the site is listed; a bridge waits longer for it
LIFE = 120.0  # s a listing is kept
AT_ONCE = 2  # listings under way
TRIES = 3  # of one listing, when the server at which a page ended was deleted


class Listings:
    """Those of one agent: their names tell them from those of other agents of the site."""

    def __init__(self) -> None:
        self._agent = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._tasks: dict[str, asyncio.Task[Parts]] = {}

    def ours(self, name: str) -> bool:
        """Whether this agent made the listing, be it forgotten by now."""
        return name.startswith(f"{self._agent}.")

    def begin(self, servers: Servers) -> str:
        """Begin to list the site's servers, and return the name of the listing."""
        if sum(not task.done() for task in self._tasks.values()) >= AT_ONCE:
            raise Unavailable("the site is being listed for others")
        name = f"{self._agent}.{next(self._numbers)}"
        task = self._tasks[name] = asyncio.create_task(_listed(servers), name=f"listing {name}")
        task.add_done_callback(lambda done: self._keep(name, done))
        return name

    def _keep(self, name: str, task: asyncio.Task[Parts]) -> None:
        if not task.cancelled():
            task.exception()  # whoever asks is told; nobody may ask
        task.get_loop().call_later(LIFE, self._tasks.pop, name, None)

    async def parts(self, name: str) -> Parts | None:
        """Return what was listed, None if that takes longer than HOLD s; Refused (conflict) once it is forgotten."""
        task = self._tasks.get(name)
        if task is None:
            raise Refused(FaultCode.CONFLICT, "that listing is kept no more: begin the census again")
        await asyncio.wait({task}, timeout=HOLD)
        return task.result() if task.done() else None


def entry_of(server: Server, uuid: str = "") -> CensusEntry:
    """Return a server as a census tells it, as that of ``uuid`` if its tag is gone."""
    return CensusEntry(server.uuid or uuid, server.generation, server.state)


async def _listed(servers: Servers) -> Parts:
    """List every tagged server; Unavailable, rather than a list with holes, while a cell does not answer."""
    for number in range(1, TRIES + 1):
        try:
            return Parts(await _all(servers))
        except Refused as error:
            if number == TRIES:
                raise Unavailable(f"the site cannot be listed: {error.message}") from error
    raise AssertionError("unreachable")


async def _all(servers: Servers) -> list[CensusEntry]:
    found: list[CensusEntry] = []
    marker, more = "", True
    while more:
        page = await servers.page(marker)
        page.must_be_complete()
        found += [entry_of(server) for server in page.servers if server.uuid and not server.deleted]
        marker, more = page.marker, bool(page.marker)
    return found
