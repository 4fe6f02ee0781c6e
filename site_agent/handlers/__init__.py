"""One async function for each verb of the table; every one may be repeated and says how it knows its earlier try.

A handler returns once the site accepted the command (or had it already) and the agent remembers it; what comes of it
is the observer's to tell. It raises an error of proto.errors otherwise.
"""

from collections.abc import Awaitable, Callable, Mapping

from proto.messages import Command, Query, Reply
from proto.operations import Verb
from site_agent.handlers.console import console_output
from site_agent.handlers.create import create
from site_agent.handlers.delete import delete
from site_agent.handlers.power import start, stop
from site_agent.handlers.reboot import reboot
from site_agent.site import Site

Handler = Callable[[Site, Command, bool], Awaitable[None]]  # (site, command, was it delivered before)
QueryHandler = Callable[[Site, Query], Awaitable[Reply]]

COMMANDS: Mapping[Verb, Handler] = {
    Verb.CREATE: create,
    Verb.DELETE: delete,
    Verb.STOP: stop,
    Verb.START: start,
    Verb.REBOOT: reboot,
}
QUERIES: Mapping[Verb, QueryHandler] = {
    Verb.CONSOLE_OUTPUT: console_output,
}
