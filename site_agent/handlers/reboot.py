"""Verb ``reboot``."""

import time

from proto.messages import Command
from proto.operations import REBOOT_TASK_STATES
from site_agent.core.servers import Server
from site_agent.handlers.find import had_already, server_of
from site_agent.site import Site

CLOCK_SLACK = 2.0  # s an action may seem to begin before the command was issued: clocks, and Nova's whole seconds


async def reboot(site: Site, command: Command, repeated: bool) -> None:
    """Reboot the server, softly or hard, once.

    Knows its earlier try by memory; where that does not reach (delivered again, or the agent is new), by the site's
    own instance action ``reboot``, begun by the agent's user after the command was issued. Not looked for otherwise:
    two reboots within CLOCK_SLACK of each other cannot be told apart by time.
    """
    server = await server_of(site, command)
    unsure = repeated or command.uuid not in site.memory.generations
    if site.memory.was_carried_out(command) or (unsure and await _ours_began(site, command, server)):
        if server.state.task_state in REBOOT_TASK_STATES:
            site.carried_out(command)
        else:
            await had_already(site, command, server)
        return
    site.begin(command)
    kind = (command.reboot_type or "SOFT").upper()
    await site.servers.act(server.server_id, {"reboot": {"type": kind}})
    site.carried_out(command)


async def _ours_began(site: Site, command: Command, server: Server) -> bool:
    offset = site.clock.now(time.time()) - time.time()
    earliest = command.issued_at + offset - CLOCK_SLACK
    actions = await site.servers.actions(server.server_id)
    return any(a.name == "reboot" and a.user_id == site.cloud.user_id and a.started_at >= earliest for a in actions)
