"""Verbs that seek one state of a server: stop, start, pause, unpause, suspend, resume, unrescue."""

from collections.abc import Mapping
from dataclasses import dataclass

from proto.messages import Command
from proto.operations import Verb
from site_agent.handlers.find import had_already, server_of
from site_agent.site import Site


@dataclass(frozen=True, slots=True)
class Sought:
    """The state a verb leads to, the task_state on the way there, and the site's word for it."""

    vm_state: str
    task_state: str
    action: str


SOUGHT: Mapping[Verb, Sought] = {
    Verb.STOP: Sought("stopped", "powering-off", "os-stop"),
    Verb.START: Sought("active", "powering-on", "os-start"),
    Verb.PAUSE: Sought("paused", "pausing", "pause"),
    Verb.UNPAUSE: Sought("active", "unpausing", "unpause"),
    Verb.SUSPEND: Sought("suspended", "suspending", "suspend"),
    Verb.RESUME: Sought("active", "resuming", "resume"),
    Verb.UNRESCUE: Sought("active", "unrescuing", "unrescue"),
}


async def power(site: Site, command: Command, repeated: bool) -> None:
    """Bring the server to the state that the verb seeks.

    Knows its earlier try by the state: it is reached, or on the way. From a state that the verb does not start from
    the site refuses (Refused, CONFLICT). Nova's API has no word for ``clean_shutdown=False``; the site's own shutdown
    timeout holds.
    """
    sought = SOUGHT[command.verb]
    server = await server_of(site, command)
    if server.state.vm_state == sought.vm_state and server.state.task_state is None:
        await had_already(site, command, server)
        return
    if server.state.task_state != sought.task_state:
        site.begin(command)
        await site.servers.act(server.server_id, {sought.action: None})
    site.carried_out(command)
