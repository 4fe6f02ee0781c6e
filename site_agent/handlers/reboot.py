"""Verb ``reboot``."""

from proto.messages import Command
from proto.operations import REBOOT_TASK_STATES
from site_agent.handlers.find import had_already, server_of
from site_agent.handlers.once import began_here
from site_agent.site import Site


async def reboot(site: Site, command: Command, repeated: bool) -> None:
    """Reboot the server, softly or hard, once.

    Knows its earlier try by memory, else by the site's own instance action ``reboot`` (handlers.once).
    """
    server = await server_of(site, command)
    if await began_here(site, command, server, "reboot", repeated):
        if server.state.task_state in REBOOT_TASK_STATES:
            site.carried_out(command)
        else:
            await had_already(site, command, server)
        return
    site.begin(command)
    kind = (command.reboot_type or "SOFT").upper()
    await site.servers.act(server.server_id, {"reboot": {"type": kind}})
    site.carried_out(command)
