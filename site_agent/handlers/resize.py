"""Verbs ``resize`` (a cold migration where no flavor is named), ``confirm_resize`` and ``revert_resize``."""

from proto.errors import FaultCode, Refused
from proto.messages import Command
from site_agent.core.servers import Server
from site_agent.handlers.find import had_already, server_of
from site_agent.handlers.once import began_here
from site_agent.resources.flavor import ensure_flavor
from site_agent.site import Site

RESIZED = "resized"
WAY = "resize_"  # begins every task_state of a resize, its revert included


async def resize(site: Site, command: Command, repeated: bool) -> None:
    """Give the server another flavor, or another host, once; it then waits to be confirmed or reverted.

    Knows its earlier try by the site's own instance action, else by the flavor that a resized server has. What the
    site's own people resize or migrate is theirs to end: Refused(CONFLICT).
    """
    change = command.change
    if change is None:
        raise Refused(FaultCode.REJECTED, "a resize that does not say to what")
    server = await server_of(site, command)
    action = "resize" if change.flavor else "migrate"
    if await began_here(site, command, server, action, repeated):
        await _adopt(site, command, server)
        return
    flavor = await ensure_flavor(site, change.flavor) if change.flavor else ""
    if server.state.vm_state == RESIZED or _is_on_its_way(server):
        if not flavor or server.flavor != flavor:
            raise Refused(FaultCode.CONFLICT, "the site is resizing it itself")
        await _adopt(site, command, server)
        return
    site.begin(command)
    await site.servers.act(server.server_id, {"resize": {"flavorRef": flavor}} if flavor else {"migrate": None})
    site.carried_out(command)


async def confirm_resize(site: Site, command: Command, repeated: bool) -> None:
    """Give up what the server was before.

    Knows its earlier try by the state: a server that does not wait for it is confirmed, by us or by the site itself.
    While Nova confirms it shows no task_state, and it answers a second try with 400: then by the instance action.
    """
    server = await server_of(site, command)
    if server.state.vm_state != RESIZED and server.state.task_state is None:
        await had_already(site, command, server)
        return
    if not await began_here(site, command, server, "confirmResize", repeated):
        site.begin(command)
        await site.servers.act(server.server_id, {"confirmResize": None})
    site.carried_out(command)


async def revert_resize(site: Site, command: Command, repeated: bool) -> None:
    """Make the server what it was before the resize.

    Knows its earlier try by the state on the way, else by the site's own instance action; without one, a server that
    does not wait any more was confirmed by the site itself: Refused(CONFLICT).
    """
    server = await server_of(site, command)
    if server.state.task_state == "resize_reverting":
        site.carried_out(command)
        return
    if server.state.vm_state != RESIZED and server.state.task_state is None:
        if not await began_here(site, command, server, "revertResize", repeated=True):
            raise Refused(FaultCode.CONFLICT, "the site has confirmed the resize by itself: it cannot be reverted")
        await had_already(site, command, server)
        return
    site.begin(command)
    await site.servers.act(server.server_id, {"revertResize": None})
    site.carried_out(command)


async def _adopt(site: Site, command: Command, server: Server) -> None:
    if _is_on_its_way(server):
        site.carried_out(command)
    else:
        await had_already(site, command, server)


def _is_on_its_way(server: Server) -> bool:
    return (server.state.task_state or "").startswith(WAY)
