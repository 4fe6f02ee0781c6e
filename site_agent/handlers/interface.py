"""Verbs ``attach_interface`` and ``detach_interface``."""

import time

from proto.errors import Expired, FaultCode, Refused, Unavailable
from proto.messages import Command
from proto.specs import ChangeSpec, PortSpec
from site_agent.core.servers import Server
from site_agent.handlers.find import had_already, server_of
from site_agent.resources.port import ensure_port, port_of_card, release_port
from site_agent.site import Site

UNPLUGGING = 1.0  # s until a look whether the site has let go of a port
LETTING_GO = 600.0  # s that a guest has to let go of its card


async def attach_interface(site: Site, command: Command, repeated: bool) -> None:
    """Plug one more card into the server, with the MAC and addresses it has above.

    Knows its earlier try by the tag of the port and the server it is on; that counts also when it expired, or when a
    second try is refused because the first one is still plugging.
    """
    change, port = _card(command)
    networks = {network.network_id: network for network in change.networks}
    if port.network_id not in networks:
        raise Refused(FaultCode.NETWORK, f"port {port.port_id} is of a network that was not described")
    server = await server_of(site, command)
    if not await _is_plugged(site, server, port):
        try:
            site.begin(command)
            port_id = await ensure_port(site, command.uuid, port, networks[port.network_id], change.security_groups)
            await site.servers.attach(server.server_id, port_id, port.tag)
        except (Refused, Expired):
            if not await _is_plugged(site, server, port):
                await release_port(site, command.uuid, port.port_id)
                raise
    await had_already(site, command, server)


async def detach_interface(site: Site, command: Command, repeated: bool) -> None:
    """Unplug one card and delete its port; Refused(CONFLICT) if the guest keeps it for longer than LETTING_GO.

    Knows its earlier try by the tag of the port: gone, or on its way.
    """
    _, port = _card(command)
    server = await server_of(site, command)
    found = await port_of_card(site, command.uuid, port.port_id)
    if found is not None and found.id in await site.servers.ports(server.server_id):
        _refuse_endless(site, found.id)
        site.begin(command)
        await site.servers.detach(server.server_id, found.id)
        raise Unavailable("the site is unplugging the card", UNPLUGGING)
    if found is not None:
        site.memory.unplugging.pop(found.id, None)
    gone = await release_port(site, command.uuid, port.port_id)
    site.carried_out(command)
    await site.reports.seen(command.uuid, server.state, command.generation, gone)


async def _is_plugged(site: Site, server: Server, port: PortSpec) -> bool:
    found = await port_of_card(site, server.uuid, port.port_id)
    return found is not None and found.id in await site.servers.ports(server.server_id)


def _refuse_endless(site: Site, port_id: str) -> None:
    """Raise if the site has been unplugging a port for too long; counted from this process's first try.

    Not from the command's issue: it may have waited long for a silent site, and the guest then needs its time too.
    """
    since = site.memory.unplugging.setdefault(port_id, time.monotonic())
    if time.monotonic() - since > LETTING_GO:
        del site.memory.unplugging[port_id]
        raise Refused(FaultCode.CONFLICT, "the guest does not let go of the card")


def _card(command: Command) -> tuple[ChangeSpec, PortSpec]:
    if command.change is None or command.change.port is None:
        raise Refused(FaultCode.REJECTED, f"{command.verb} without a port")
    return command.change, command.change.port
