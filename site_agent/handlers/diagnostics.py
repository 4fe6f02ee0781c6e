"""Queries ``diagnostics`` and ``instance_diagnostics``: what the site's hypervisor measures of a server."""

from proto.messages import Query, Reply
from site_agent.handlers.find import server_id_of
from site_agent.site import Site

OF_THE_DRIVER = "2.47"  # microversion: names as the site's hypervisor driver has them
STANDARD = "2.48"  # the same for all drivers


async def diagnostics(site: Site, query: Query) -> Reply:
    """Return them as the site's driver names them. Reads only, so nothing needs recognising."""
    return Reply(diagnostics=await site.servers.diagnostics(await server_id_of(site, query), OF_THE_DRIVER))


async def instance_diagnostics(site: Site, query: Query) -> Reply:
    """Return them in Nova's standard form. Reads only, so nothing needs recognising."""
    return Reply(diagnostics=await site.servers.diagnostics(await server_id_of(site, query), STANDARD))
