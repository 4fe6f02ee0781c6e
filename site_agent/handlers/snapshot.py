"""Verb ``snapshot``."""

import logging

from proto.errors import FaultCode, Refused
from proto.messages import Command
from site_agent.core.matching import IMAGE_PROPERTY, SNAPSHOT_PROPERTY, SNAPSHOT_SERVER_PROPERTY, snapshot_name
from site_agent.core.servers import settled
from site_agent.handlers.find import had_already, server_of
from site_agent.image_queries import taken
from site_agent.site import Site

LOG = logging.getLogger(__name__)


async def snapshot(site: Site, command: Command, repeated: bool) -> None:
    """Have the site's Nova take an image of the server for one above; the bridge asks for it once the server settles.

    Knows its earlier try by the image: Nova makes it, with what ties it to the one above, before it answers. If this
    process had the command carried out and there is no image, Nova failed and deleted it: that is for the bridge to
    find. The image stays in the site as its copy of the one above.
    """
    if not command.image_id:
        raise Refused(FaultCode.REJECTED, "a snapshot for no image")
    server = await server_of(site, command)
    if await taken(site, command.image_id) or site.memory.was_carried_out(command):
        if settled(server.state):
            await had_already(site, command, server)
        else:
            site.carried_out(command)
        return
    site.begin(command)
    metadata = {
        SNAPSHOT_PROPERTY: command.image_id,
        IMAGE_PROPERTY: command.image_id,
        SNAPSHOT_SERVER_PROPERTY: server.server_id,
    }
    body = {"createImage": {"name": snapshot_name(command.image_id), "metadata": metadata}}
    await site.servers.act(server.server_id, body)
    site.carried_out(command)
    LOG.info("the site takes a snapshot of server %s for image %s", server.server_id, command.image_id)
