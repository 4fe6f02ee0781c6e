"""Verbs ``stop`` and ``start``."""

from proto.messages import Command
from site_agent.handlers.find import had_already, server_of
from site_agent.site import Site


async def stop(site: Site, command: Command, repeated: bool) -> None:
    """Shut the server down.

    Knows its earlier try by the state: stopped, or on the way there. Nova's API has no word for
    ``clean_shutdown=False``; the site's own shutdown timeout holds.
    """
    await _switch(site, command, "stopped", "powering-off", "os-stop")


async def start(site: Site, command: Command, repeated: bool) -> None:
    """Power the server on.

    Knows its earlier try by the state: active, or on the way there. From paused, suspended, shelved and the like the
    site refuses (Refused, CONFLICT).
    """
    await _switch(site, command, "active", "powering-on", "os-start")


async def _switch(site: Site, command: Command, wanted: str, on_the_way: str, action: str) -> None:
    server = await server_of(site, command)
    if server.state.vm_state == wanted and server.state.task_state is None:
        await had_already(site, command, server)
        return
    if server.state.task_state != on_the_way:
        site.begin(command)
        await site.servers.act(server.server_id, {action: None})
    site.carried_out(command)
