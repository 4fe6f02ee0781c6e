"""Verb ``create``."""

import logging

from proto import failpoints
from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Command, NetworkSpec, PortSpec, ServerSecrets, ServerSpec
from site_agent.core.boot import SiteIds, refuse_what_cannot_be_made, request_body
from site_agent.core.servers import Server
from site_agent.resources import flavor, image, keypair, network
from site_agent.resources.port import ensure_port
from site_agent.site import Site

LOG = logging.getLogger(__name__)

AFTER_LOST_ANSWER = 10.0  # s a POST without an answer gets to show its server before it is sent again


async def create(site: Site, command: Command, repeated: bool) -> None:
    """Make the server with all it needs, or adopt the one an earlier try made.

    Knows its earlier try by the tag ``cascade:<uuid>``, which the create call itself sets; a port with the same MAC
    and addresses (409) stops a second server that a look by tag missed. A server in ERROR is adopted too: it failed,
    and the observer tells why. Hints that name something above are dropped (core.boot).
    """
    spec = command.server
    if spec is None:
        raise Refused(FaultCode.REJECTED, "a create without a server")
    if await _adopted(site, command):
        return
    if repeated:
        await site.servers.all_cells_answer()
    site.begin(command)
    secrets = site.key.open(spec.secrets) if spec.secrets else ServerSecrets()
    refuse_what_cannot_be_made(spec, secrets)
    try:
        server_id = await _made(site, command, spec, secrets)
    except (Refused, Unavailable) as error:
        # Without an answer, or with a port already in use, the server may exist after all.
        if await _adopted(site, command):
            return
        if isinstance(error, Unavailable):
            error.retry_after = max(error.retry_after, AFTER_LOST_ANSWER if repeated else 0.0)
        raise
    site.memory.know(command.uuid, server_id)
    site.carried_out(command)
    LOG.info("the site accepted server %s", server_id)
    failpoints.reach(failpoints.CREATED)


async def _adopted(site: Site, command: Command) -> bool:
    found = await site.servers.tagged(command.uuid)
    if not found:
        return False
    server = _keeper(found)
    LOG.info("server %s of create %d is there already", server.server_id, server.generation)
    site.memory.know(command.uuid, server.server_id)
    site.carried_out(command)
    return True


def _keeper(found: list[Server]) -> Server:
    return min(found, key=lambda server: (server.state.vm_state == "error", server.created, server.server_id))


async def _made(site: Site, command: Command, spec: ServerSpec, secrets: ServerSecrets) -> str:
    """POST the server; once more with everything looked at anew if the site does not know what we remembered."""
    try:
        body = request_body(command, spec, secrets, await _ids(site, command, spec))
        site.begin(command)
        return await site.servers.create(body)
    except Refused as error:
        if error.code is not FaultCode.REJECTED:
            raise
        LOG.info("the site refuses the create, looking anew at what it has: %s", error)
    _forget(site, spec)
    return await site.servers.create(request_body(command, spec, secrets, await _ids(site, command, spec)))


async def _ids(site: Site, command: Command, spec: ServerSpec) -> SiteIds:
    assert spec.image is not None  # refuse_what_cannot_be_made
    networks = {described.network_id: described for described in spec.networks}
    return SiteIds(
        flavor=await flavor.ensure_flavor(site, spec.flavor),
        image=await image.ensure_image(site, spec.image),
        keypair=await keypair.ensure_keypair(site, spec.keypair) if spec.keypair else None,
        ports=[await ensure_port(site, command.uuid, port, _network(networks, port)) for port in spec.ports],
    )


def _network(networks: dict[str, NetworkSpec], port: PortSpec) -> NetworkSpec:
    if port.network_id not in networks:
        raise Refused(FaultCode.NETWORK, f"port {port.port_id} is of a network that was not described")
    return networks[port.network_id]


def _forget(site: Site, spec: ServerSpec) -> None:
    site.shelf.drop(flavor.shelf_key(spec.flavor))
    if spec.image:
        site.shelf.drop(image.shelf_key(spec.image))
    if spec.keypair:
        site.shelf.drop(keypair.shelf_key(spec.keypair))
    for described in spec.networks:
        site.shelf.drop(network.shelf_key(described))
