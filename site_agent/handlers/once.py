"""Verbs that repeat badly: has the site begun one for this command already?"""

import time
from collections.abc import Collection

from proto.messages import Command
from site_agent.core.servers import Server
from site_agent.handlers.find import had_already
from site_agent.site import Site

CLOCK_SLACK = 2.0  # s an action may seem to begin before the command was issued: clocks, and Nova's whole seconds


async def began_here(site: Site, command: Command, server: Server, action: str, repeated: bool) -> bool:
    """Return whether an earlier delivery of the command already began ``action`` (a name among instance actions).

    By memory; where that does not reach (delivered again, or the agent is new), by the site's own instance action,
    begun by the agent's user after the command was issued. Not looked for otherwise: two actions within CLOCK_SLACK of
    each other cannot be told apart by time.
    """
    if site.memory.was_carried_out(command):
        return True
    unsure = repeated or command.uuid not in site.memory.generations
    return unsure and await _ours_began(site, command, server, action)


async def carried_out_before(
    site: Site, command: Command, server: Server, action: str, under_way: Collection[str | None], repeated: bool
) -> bool:
    """Return whether an earlier delivery began ``action``; then it is seen to its end, and there is nothing left to do.

    ``under_way``: the task_states in which the site has not ended it yet.
    """
    if not await began_here(site, command, server, action, repeated):
        return False
    if server.state.task_state in under_way:
        site.carried_out(command)
    else:
        await had_already(site, command, server)
    return True


async def _ours_began(site: Site, command: Command, server: Server, action: str) -> bool:
    offset = site.clock.now(time.time()) - time.time()
    earliest = command.issued_at + offset - CLOCK_SLACK
    actions = await site.servers.actions(server.server_id)
    return any(a.name == action and a.user_id == site.cloud.user_id and a.started_at >= earliest for a in actions)
