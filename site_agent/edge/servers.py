"""Servers of the site: look-ups, the five verbs, instance actions, console."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from proto import failpoints
from proto.errors import FaultCode, Refused, Unavailable
from site_agent.core import identity
from site_agent.core.answers import Answer, checked, is_locked, problem
from site_agent.core.servers import Server, iso, read, seconds
from site_agent.edge.cloud import Cloud, Service

PAGE = 500  # servers a page; Nova gives at most osapi_max_limit (1000)
CELL_DOWN = 10.0  # s until a look that missed a cell is repeated


@dataclass(frozen=True, slots=True)
class Page:
    """Some servers, and where the site's list goes on."""

    servers: list[Server]
    marker: str  # empty = the last page
    date: float | None  # the site's clock when it answered, if it says so

    def must_be_complete(self) -> None:
        """Raise Unavailable if servers are hidden by a cell that does not answer."""
        if any(server.partial for server in self.servers):
            raise _cell_down()


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of a server's instance actions."""

    name: str
    user_id: str
    started_at: float  # epoch s, the site's clock


class Servers:
    """Nova's servers, as seen by the agent's own project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def tagged(self, uuid: str) -> list[Server]:
        """Return the servers with an instance's tag: none, one, or two after a race. Deleted ones have no tags."""
        page = await self._page({"tags": identity.tag(uuid)})
        return [server for server in page.servers if server.uuid == uuid]

    async def soft_deleted(self, uuid: str) -> list[Server]:
        """Return the servers with an instance's tag in the site's soft delete: only a look at changes shows them."""
        page = await self._page({"tags": identity.tag(uuid), "changes-since": iso(0.0)})
        return [server for server in page.servers if server.uuid == uuid and server.soft_deleted]

    async def get(self, server_id: str) -> Server | None:
        """Return one server, or None if the site knows no such id; Unavailable if its cell does not answer."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", f"/servers/{server_id}")
        if answer.status == 404:
            return None
        server = read(checked(answer)["server"])
        if server.partial:
            raise _cell_down()
        return server

    async def page(self, marker: str = "") -> Page:
        """Return a page of all servers. In the first one those of a cell that does not answer are ``partial``.

        Nova leaves out a cell that is down without a word as soon as a query filters or pages, so the first page is
        asked for without either (microversion 2.69 then shows what it misses as UNKNOWN).
        """
        return await self._page({"limit": PAGE, "marker": marker} if marker else {})

    async def all_cells_answer(self) -> None:
        """Raise Unavailable if a look by tag may have missed a server because its cell is down."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", "/servers")
        if any(entry.get("status") == "UNKNOWN" for entry in checked(answer)["servers"]):
            raise _cell_down()

    async def changed_since(self, moment: float) -> AsyncIterator[Page]:
        """Yield pages of what changed since a time of the site's clock (epoch s), deleted servers included."""
        marker = ""
        while True:
            query = {"changes-since": iso(moment), "limit": PAGE, **({"marker": marker} if marker else {})}
            page = await self._page(query)
            yield page
            if not (marker := page.marker):
                return

    async def create(self, body: Mapping[str, Any], microversion: str | None = None) -> str:
        """Create a server and return its id. After Unavailable it may exist: look by tag before deciding."""
        answer = await self._cloud.request(Service.COMPUTE, "POST", "/servers", json=body, microversion=microversion)
        return str(checked(answer)["server"]["id"])

    async def delete(self, server_id: str, *, force: bool = False) -> None:
        """Begin to delete a server; a server that is gone is fine. ``force``: out of the site's soft delete too."""
        if force:
            answer = await self._action(server_id, {"forceDelete": None})
        else:
            answer = await self._unlocking(server_id, "DELETE", f"/servers/{server_id}", None)
        if answer.status != 404:
            checked(answer)

    async def untag(self, server_id: str, tag: str) -> None:
        """Take one tag off a server; one that is not there is fine. Refused(CONFLICT) in some of its states."""
        answer = await self._cloud.request(Service.COMPUTE, "DELETE", f"/servers/{server_id}/tags/{tag}")
        if answer.status != 404:
            checked(answer)

    async def act(self, server_id: str, action: Mapping[str, Any], microversion: str | None = None) -> None:
        """Begin an action; Refused(MISSING) if the server is gone, Refused(CONFLICT) if its state forbids it."""
        answer = await self._action(server_id, action, microversion)
        if answer.status == 404:
            raise Refused(FaultCode.MISSING, "the server is not in the site any more")
        await _accepted(answer)

    async def console(self, server_id: str, length: int | None) -> str:
        """Return the last ``length`` lines of the console, all if None."""
        path = f"/servers/{server_id}/action"
        body = {"os-getConsoleOutput": {"length": length}}
        answer = await self._cloud.request(Service.COMPUTE, "POST", path, json=body)
        if answer.status == 404:
            raise Refused(FaultCode.MISSING, answer.message)
        return str(checked(answer)["output"] or "")

    async def diagnostics(self, server_id: str, microversion: str) -> dict[str, Any]:
        """Return what the site measures of a running server; Refused where it does not, or not for us."""
        path = f"/servers/{server_id}/diagnostics"
        answer = await self._cloud.request(Service.COMPUTE, "GET", path, microversion=microversion)
        if answer.status == 404:
            raise Refused(FaultCode.MISSING, answer.message)
        return dict(checked(answer))

    async def ports(self, server_id: str) -> list[str]:
        """Return the ids of the ports plugged into a server; none if it is gone."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", f"/servers/{server_id}/os-interface")
        if answer.status == 404:
            return []
        return [str(card["port_id"]) for card in checked(answer)["interfaceAttachments"]]

    async def attach(self, server_id: str, port_id: str, tag: str | None) -> None:
        """Plug a port in, and return when it is; Refused with the site's reason."""
        body = {"interfaceAttachment": {"port_id": port_id, **({"tag": tag} if tag else {})}}
        path = f"/servers/{server_id}/os-interface"
        await _accepted(await self._cloud.request(Service.COMPUTE, "POST", path, json=body))

    async def detach(self, server_id: str, port_id: str) -> None:
        """Begin to unplug a port; one that is not plugged in is fine."""
        answer = await self._cloud.request(Service.COMPUTE, "DELETE", f"/servers/{server_id}/os-interface/{port_id}")
        if answer.status != 404:
            await _accepted(answer)

    async def vnc_console(self, server_id: str, kind: str) -> str:
        """Return the URL of a new VNC console; Refused if the site has none or the server is not running."""
        path = f"/servers/{server_id}/remote-consoles"
        body = {"remote_console": {"protocol": "vnc", "type": kind or "novnc"}}
        answer = await self._cloud.request(Service.COMPUTE, "POST", path, json=body)
        if answer.status == 404:
            raise Refused(FaultCode.MISSING, answer.message)
        return str(checked(answer)["remote_console"]["url"])

    async def actions(self, server_id: str) -> list[Action]:
        """Return the server's instance actions, newest first; none if the server is gone."""
        answer = await self._cloud.request(Service.COMPUTE, "GET", f"/servers/{server_id}/os-instance-actions")
        if answer.status == 404:
            return []
        found = checked(answer)["instanceActions"]
        return [Action(a["action"], a.get("user_id") or "", seconds(a["start_time"]) or 0.0) for a in found]

    async def _page(self, query: Mapping[str, Any]) -> Page:
        answer = await self._cloud.request(Service.COMPUTE, "GET", "/servers/detail", params=query)
        body = checked(answer)
        servers = [read(document) for document in body["servers"]]
        more = any(link.get("rel") == "next" for link in body.get("servers_links") or [])
        return Page(servers, servers[-1].server_id if more and servers else "", answer.date)

    async def _action(self, server_id: str, action: Mapping[str, Any], microversion: str | None = None) -> Answer:
        return await self._unlocking(server_id, "POST", f"/servers/{server_id}/action", action, microversion)

    async def _unlocking(
        self, server_id: str, method: str, path: str, body: Mapping[str, Any] | None, microversion: str | None = None
    ) -> Answer:
        """Send it, and once more without a vendor's lock: the tenant above can always stop, start and delete."""
        answer = await self._cloud.request(Service.COMPUTE, method, path, json=body, microversion=microversion)
        if not is_locked(answer):
            return answer
        unlock = f"/servers/{server_id}/action"
        unlocked = await self._cloud.request(Service.COMPUTE, "POST", unlock, json={"unlock": None})
        if not unlocked.ok:
            raise problem(unlocked)
        return await self._cloud.request(Service.COMPUTE, method, path, json=body, microversion=microversion)


async def _accepted(answer: Answer) -> None:
    """Raise what a refusal stands for; else the site has begun, and a test may want the agent dead right here."""
    checked(answer)
    if failpoints.reach(failpoints.ACCEPTED):
        await asyncio.Event().wait()


def _cell_down() -> Unavailable:
    return Unavailable("a cell of the site does not answer", CELL_DOWN)
