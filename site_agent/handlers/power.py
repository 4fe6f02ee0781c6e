"""Verbs that seek one state of a server: stop, start, pause, unpause, suspend, resume, unrescue, soft_delete, restore.

A server that is soft-deleted above is kept here, powered off: a delete in the site might be one for ever.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Command
from proto.operations import Verb
from site_agent.core.servers import Server
from site_agent.core.ways import SILENT, first_step
from site_agent.handlers.find import had_already, server_of
from site_agent.handlers.once import began_here
from site_agent.site import Site

LEAVING = 1.0  # s until a look whether the server has left the state that its vendor brought it to


@dataclass(frozen=True, slots=True)
class Sought:
    """The state a verb leads to, the task_state on the way there, and the site's word for it."""

    vm_state: str
    task_state: str
    action: str
    as_good: tuple[str, ...] = ()  # vm_states that are as good as the sought one


SOUGHT: Mapping[Verb, Sought] = {
    Verb.STOP: Sought("stopped", "powering-off", "os-stop"),
    Verb.START: Sought("active", "powering-on", "os-start"),
    Verb.PAUSE: Sought("paused", "pausing", "pause"),
    Verb.UNPAUSE: Sought("active", "unpausing", "unpause"),
    Verb.SUSPEND: Sought("suspended", "suspending", "suspend"),
    Verb.RESUME: Sought("active", "resuming", "resume"),
    Verb.UNRESCUE: Sought("active", "unrescuing", "unrescue"),
    # A server that its vendor shelved does not run: it is not started to be stopped.
    Verb.SOFT_DELETE: Sought("stopped", "powering-off", "os-stop", ("shelved", "shelved_offloaded")),
    Verb.RESTORE: Sought("active", "powering-on", "os-start"),
}


async def power(site: Site, command: Command, repeated: bool) -> None:
    """Bring the server to the state that the verb seeks, out of whatever its vendor did to it before.

    Knows its earlier try by the state: it is reached, or on the way. From a state that the verb does not start from
    the site refuses (Refused, CONFLICT). Nova's API has no word for ``clean_shutdown=False``; the site's own shutdown
    timeout holds.
    """
    sought = SOUGHT[command.verb]
    server = await server_of(site, command)
    if server.state.vm_state in (sought.vm_state, *sought.as_good) and server.state.task_state is None:
        await had_already(site, command, server)
        return
    if server.state.task_state != sought.task_state:
        if step := first_step(server.state.vm_state, sought.action):
            await _take_step(site, command, server, step, repeated)
        site.begin(command)
        await site.servers.act(server.server_id, {sought.action: None})
    site.carried_out(command)


async def _take_step(site: Site, command: Command, server: Server, step: str, repeated: bool) -> None:
    """Have the server leave its state, once for each command: Unavailable meanwhile, Refused if it stays in it.

    Knows its earlier try by the site's own instance action.
    """
    if not await began_here(site, command, server, step, repeated):
        await _begin_step(site, command, server, step)
    elif server.state.task_state is None and step != SILENT:
        raise Refused(FaultCode.SITE_FAULT, f"it is {server.state.vm_state} in the site, which could not {step} it")
    else:
        site.begin(command)  # a step that never ends is waited for as long as the command may begin
    raise Unavailable(f"it is {server.state.vm_state} in the site, which must {step} it first", LEAVING)


async def _begin_step(site: Site, command: Command, server: Server, step: str) -> None:
    """Refused with the site's reason, unless the vendor has had the server leave that state meanwhile."""
    site.begin(command)
    try:
        await site.servers.act(server.server_id, {step: None})
    except Refused:
        await asyncio.sleep(LEAVING)
        now = await server_of(site, command)
        if (now.state.vm_state, now.state.task_state) == (server.state.vm_state, server.state.task_state):
            raise
