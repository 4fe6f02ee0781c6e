"""One async function for each verb of the table; every one may be repeated and says how it knows its earlier try.

A handler returns once the site accepted the command (or had it already) and the agent remembers it; what comes of it
is the observer's to tell. It raises an error of proto.errors otherwise.
"""

from collections.abc import Awaitable, Callable, Mapping

from proto.messages import Command, Query, Reply
from proto.operations import Verb
from site_agent.handlers.console import console_output, vnc_console
from site_agent.handlers.create import create
from site_agent.handlers.delete import delete
from site_agent.handlers.diagnostics import diagnostics, instance_diagnostics
from site_agent.handlers.interface import attach_interface, detach_interface
from site_agent.handlers.power import SOUGHT, power
from site_agent.handlers.reboot import reboot
from site_agent.handlers.rebuild import rebuild, rescue, set_admin_password
from site_agent.handlers.resize import confirm_resize, resize, revert_resize
from site_agent.handlers.shelve import shelve
from site_agent.handlers.snapshot import snapshot
from site_agent.site import Site

Handler = Callable[[Site, Command, bool], Awaitable[None]]  # (site, command, was it delivered before)
QueryHandler = Callable[[Site, Query], Awaitable[Reply]]

COMMANDS: Mapping[Verb, Handler] = {
    Verb.CREATE: create,
    Verb.DELETE: delete,
    **dict.fromkeys(SOUGHT, power),
    Verb.REBOOT: reboot,
    Verb.REBUILD: rebuild,
    Verb.RESCUE: rescue,
    Verb.SET_ADMIN_PASSWORD: set_admin_password,
    Verb.ATTACH_INTERFACE: attach_interface,
    Verb.DETACH_INTERFACE: detach_interface,
    Verb.RESIZE: resize,
    Verb.CONFIRM_RESIZE: confirm_resize,
    Verb.REVERT_RESIZE: revert_resize,
    Verb.SNAPSHOT: snapshot,
    Verb.BACKUP: snapshot,
    Verb.SHELVE: shelve,
    Verb.SHELVE_OFFLOAD: delete,
    Verb.UNSHELVE: create,
    Verb.EVACUATE: create,
}
QUERIES: Mapping[Verb, QueryHandler] = {
    Verb.CONSOLE_OUTPUT: console_output,
    Verb.VNC_CONSOLE: vnc_console,
    Verb.DIAGNOSTICS: diagnostics,
    Verb.INSTANCE_DIAGNOSTICS: instance_diagnostics,
}
