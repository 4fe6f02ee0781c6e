"""Verb ``create``."""

import logging
from typing import Any

from proto import codec, failpoints, subjects
from proto.errors import CascadeError, FaultCode, Refused, Unavailable
from proto.messages import Ask, Command, Reply
from proto.operations import Verb
from proto.specs import ServerSecrets, ServerSpec
from site_agent.core.boot import SiteIds, refuse_what_cannot_be_made, request_body, spoken
from site_agent.resources import flavor, image, keypair, network, server_group
from site_agent.resources.port import ensure_ports
from site_agent.site import Site

LOG = logging.getLogger(__name__)

ASK_TIMEOUT = 10.0  # s
AFTER_LOST_ANSWER = 10.0  # s a POST without an answer gets to show its server before it is sent again


async def create(site: Site, command: Command, repeated: bool) -> None:
    """Make the server with all it needs, or adopt the one an earlier try made.

    Knows its earlier try by the tag ``cascade:<uuid>``, which the create call itself sets; a port with the same MAC
    and addresses (409) stops a second server that a look by tag missed. A server in ERROR is adopted too: it failed,
    and the observer tells why. Where several agents share the site, a delete may have overtaken this create in another
    one: then the command is withdrawn, and what this very call made is deleted again. Hints that name something above
    are dropped (core.boot).
    """
    spec = command.server
    if spec is None:
        raise Refused(FaultCode.REJECTED, "a create without a server")
    if await _adopted(site, command):
        return
    if repeated:
        await site.servers.all_cells_answer()
    site.begin(command)
    secrets = site.opened(spec.secrets)
    refuse_what_cannot_be_made(spec)
    server_id, ours = await _made(site, command, spec, secrets)
    site.memory.know(command.uuid, server_id)
    site.carried_out(command)
    LOG.info("the site accepted server %s", server_id)
    failpoints.reach(failpoints.CREATED)
    if ours and site.shared and not await _wanted(site, command):
        LOG.warning("the command was withdrawn meanwhile, deleting server %s", server_id)
        await site.servers.delete(server_id)
        site.memory.deleting.add(command.uuid)


async def _adopted(site: Site, command: Command) -> bool:
    server_id = await _existing(site, command)
    if not server_id:
        return False
    LOG.info("server %s is there already", server_id)
    site.memory.know(command.uuid, server_id)
    site.carried_out(command)
    return True


async def _existing(site: Site, command: Command) -> str:
    found = await site.servers.tagged(command.uuid)
    staying = [server for server in found if not (server.soft_deleted or server.state.task_state == "deleting")]
    if found and not staying:
        raise Unavailable("the instance's former server is still being deleted here")
    if command.verb is not Verb.CREATE and any(0 < server.generation < command.generation for server in staying):
        # Its guest is older than the image that is to be unshelved, or than the evacuation, and would pass for it.
        ours = any(server.generation == command.generation for server in staying)
        code = FaultCode.CONFLICT if ours else FaultCode.OCCUPIED
        raise Refused(code, "a server of an earlier life of the instance is still in the site")
    best = min(staying, key=lambda s: (s.state.vm_state == "error", s.created, s.server_id), default=None)
    return best.server_id if best else ""


async def _made(site: Site, command: Command, spec: ServerSpec, secrets: ServerSecrets) -> tuple[str, bool]:
    """POST the server; once more with everything looked at anew if the site does not know what we remembered.

    Returns its id, and whether this very call made it.
    """
    microversion = spoken(site.cloud.microversion, secrets)
    try:
        body = request_body(command, spec, secrets, await _ids(site, command, spec), microversion)
        return await _posted(site, command, body, microversion)
    except Refused as error:
        if error.code is not FaultCode.REJECTED:
            raise
        LOG.info("the site refuses the create, looking anew at what it has: %s", error)
    _forget(site, spec)
    body = request_body(command, spec, secrets, await _ids(site, command, spec), microversion)
    return await _posted(site, command, body, microversion)


async def _posted(site: Site, command: Command, body: dict[str, Any], microversion: str) -> tuple[str, bool]:
    """POST it; without an answer, or with a port in use, the server may exist after all: look before deciding."""
    site.begin(command)
    try:
        return await site.servers.create(body, microversion), True
    except Unavailable as error:
        error.retry_after = max(error.retry_after, AFTER_LOST_ANSWER)
        problem: CascadeError = error
    except Refused as error:
        if error.code is not FaultCode.CONFLICT:
            raise
        problem = error
    server_id = await _existing(site, command)
    if not server_id:
        raise problem
    return server_id, False


async def _wanted(site: Site, command: Command) -> bool:
    """Whether what the command makes is still wanted; if not, another agent carried out its delete before us."""
    ask = Ask(site.name, "command_pending", uuid=command.uuid, generation=command.generation)
    try:
        data = await site.road.request(subjects.ask(site.name, ask.verb), codec.encode(ask), ASK_TIMEOUT)
        reply = codec.decode(data, Reply)
    except Unavailable:
        return True
    return reply.fault is not None or bool(reply.text)


async def _ids(site: Site, command: Command, spec: ServerSpec) -> SiteIds:
    assert spec.image is not None  # refuse_what_cannot_be_made
    return SiteIds(
        flavor=await flavor.ensure_flavor(site, spec.flavor),
        image=await image.ensure_image(site, spec.image),
        keypair=await keypair.ensure_keypair(site, spec.keypair) if spec.keypair else None,
        ports=await ensure_ports(site, command.uuid, spec),
        group=await server_group.ensure_server_group(site, spec.group) if spec.group else None,
    )


def _forget(site: Site, spec: ServerSpec) -> None:
    site.shelf.drop(flavor.shelf_key(spec.flavor))
    if spec.image:
        site.shelf.drop(image.shelf_key(spec.image))
    if spec.keypair:
        site.shelf.drop(keypair.shelf_key(spec.keypair))
    if spec.group:
        site.shelf.drop(server_group.shelf_key(spec.group))
    for described in spec.networks:
        network.forget(site, described)
