"""Verb ``reboot``."""

from proto.messages import Command
from proto.operations import REBOOT_TASK_STATES
from site_agent.handlers.find import server_of
from site_agent.handlers.once import carried_out_before
from site_agent.site import Site


async def reboot(site: Site, command: Command, repeated: bool) -> None:
    """Reboot the server, softly or hard, once.

    Knows its earlier try by memory, else by the site's own instance action ``reboot`` (handlers.once).
    """
    server = await server_of(site, command)
    if await carried_out_before(site, command, server, "reboot", REBOOT_TASK_STATES, repeated):
        return
    site.begin(command)
    kind = (command.reboot_type or "SOFT").upper()
    await site.servers.act(server.server_id, {"reboot": {"type": kind}})
    site.carried_out(command)
