"""Verbs ``attach_interface`` and ``detach_interface``."""

from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import ChangeSpec, Command, PortSpec
from site_agent.handlers.find import had_already, server_of
from site_agent.resources.port import ensure_port, port_of_card, release_port
from site_agent.site import Site

UNPLUGGING = 1.0  # s until a look whether the site has let go of a port


async def attach_interface(site: Site, command: Command, repeated: bool) -> None:
    """Plug one more card into the server, with the MAC and addresses it has above.

    Knows its earlier try by the tag of the port and the server it is on.
    """
    change, port = _card(command)
    networks = {network.network_id: network for network in change.networks}
    if port.network_id not in networks:
        raise Refused(FaultCode.NETWORK, f"port {port.port_id} is of a network that was not described")
    server = await server_of(site, command)
    port_id = await ensure_port(site, command.uuid, port, networks[port.network_id], change.security_groups)
    if port_id not in await site.servers.ports(server.server_id):
        site.begin(command)
        try:
            await site.servers.attach(server.server_id, port_id, port.tag)
        except Refused:
            await release_port(site, command.uuid, port.port_id)
            raise
    await had_already(site, command, server)


async def detach_interface(site: Site, command: Command, repeated: bool) -> None:
    """Unplug one card and delete its port. Knows its earlier try by the tag of the port: gone, or on its way."""
    _, port = _card(command)
    server = await server_of(site, command)
    found = await port_of_card(site, command.uuid, port.port_id)
    if found is not None and found.id in await site.servers.ports(server.server_id):
        site.begin(command)
        await site.servers.detach(server.server_id, found.id)
        raise Unavailable("the site is unplugging the card", UNPLUGGING)
    gone = await release_port(site, command.uuid, port.port_id)
    site.carried_out(command)
    await site.reports.seen(command.uuid, server.state, command.generation, gone)


def _card(command: Command) -> tuple[ChangeSpec, PortSpec]:
    if command.change is None or command.change.port is None:
        raise Refused(FaultCode.REJECTED, f"{command.verb} without a port")
    return command.change, command.change.port
