"""Verb ``shelve``."""

from proto.errors import Unavailable
from proto.messages import Command
from site_agent.handlers.find import server_of
from site_agent.handlers.snapshot import snapshot
from site_agent.image_queries import taken
from site_agent.site import Site

STOPPING = 1.0  # s until a look whether the guest has shut down


async def shelve(site: Site, command: Command, repeated: bool) -> None:
    """Shut the guest down, then have the site's Nova take its image; the server stays until it is offloaded.

    Knows its earlier try by the state on the way, and by the image as ``snapshot`` does. A guest that is paused or
    suspended does not run: the site would refuse to stop it, and need not. How long a guest may take to shut down, the
    site's own shutdown timeout says.
    """
    server = await server_of(site, command)
    begun = site.memory.was_carried_out(command) or await taken(site, command.image_id or "")
    if server.state.vm_state == "active" and not begun:
        if server.state.task_state != "powering-off":
            site.begin(command)
            await site.servers.act(server.server_id, {"os-stop": None})
        raise Unavailable("the guest is shutting down", STOPPING)
    await snapshot(site, command, repeated)
