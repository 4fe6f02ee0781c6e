"""Verbs ``rebuild``, ``rescue`` and ``set_admin_password``."""

from proto.errors import FaultCode, Refused
from proto.messages import Command
from proto.specs import ChangeSpec
from site_agent.core.boot import spoken
from site_agent.core.changes import rebuild_body, rescue_body
from site_agent.handlers.find import had_already, server_of
from site_agent.handlers.once import carried_out_before
from site_agent.resources.image import ensure_image
from site_agent.resources.keypair import ensure_keypair
from site_agent.site import Site

REBUILDING = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")
RESCUING = ("rescuing",)


async def rebuild(site: Site, command: Command, repeated: bool) -> None:
    """Make the server anew from an image, once; a stopped one is stopped afterwards by the site's Nova.

    Knows its earlier try by memory, else by the site's own instance action ``rebuild`` (handlers.once).
    """
    change = _change(command)
    server = await server_of(site, command)
    if await carried_out_before(site, command, server, "rebuild", REBUILDING, repeated):
        return
    if change.image is None:
        raise Refused(FaultCode.REJECTED, "a rebuild without an image")
    image = await ensure_image(site, change.image)
    keypair = await ensure_keypair(site, change.keypair) if change.keypair else None
    site.begin(command)
    secrets = site.opened(change.secrets)
    microversion = spoken(site.cloud.microversion, secrets)
    body = rebuild_body(change, secrets, image, keypair, microversion)
    await site.servers.act(server.server_id, body, microversion)
    site.carried_out(command)


async def rescue(site: Site, command: Command, repeated: bool) -> None:
    """Boot the server from a rescue image. Knows its earlier try by the state: rescued, or on the way there."""
    change = _change(command)
    server = await server_of(site, command)
    if server.state.vm_state == "rescued" and server.state.task_state is None:
        await had_already(site, command, server)
        return
    if server.state.task_state not in RESCUING:
        image = await ensure_image(site, change.image) if change.image else None
        site.begin(command)
        await site.servers.act(server.server_id, rescue_body(site.opened(change.secrets), image))
    site.carried_out(command)


async def set_admin_password(site: Site, command: Command, repeated: bool) -> None:
    """Give the guest's administrator a password.

    Knows its earlier try by the state: setting the same one again changes nothing.
    """
    change = _change(command)
    server = await server_of(site, command)
    site.begin(command)
    body = {"changePassword": {"adminPass": site.opened(change.secrets).admin_password or ""}}
    await site.servers.act(server.server_id, body)
    await had_already(site, command, await server_of(site, command))


def _change(command: Command) -> ChangeSpec:
    if command.change is None:
        raise Refused(FaultCode.REJECTED, f"a {command.verb} that does not say what to make")
    return command.change
