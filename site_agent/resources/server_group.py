"""Server groups: one in the site for each above, under its identity as name, so that the site keeps its policy."""

import logging

from proto.errors import Unavailable
from proto.specs import ServerGroupSpec
from site_agent.core import identity
from site_agent.edge.server_groups import ServerGroup
from site_agent.site import Site

LOG = logging.getLogger(__name__)


async def ensure_server_group(site: Site, spec: ServerGroupSpec) -> str:
    """Return the id of the site's group for one above; may be repeated, and by many at once.

    Policy and rules never change above, so what is there is what is wanted. An empty one is collected later.
    """
    return await site.shelf.get(shelf_key(spec), lambda: _ensure(site, spec))


def shelf_key(spec: ServerGroupSpec) -> tuple[str, ...]:
    """Key of the group among the remembered ids."""
    return ("server_group", spec.group_id)


async def _ensure(site: Site, spec: ServerGroupSpec) -> str:
    name = identity.tag(spec.group_id)
    if found := await _named(site, name):
        return found[0].group_id
    await site.groups.create(name, spec)
    found = await _named(site, name)
    if not found:
        raise Unavailable(f"server group {name} was deleted right after it was made")
    LOG.info("made server group %s (%s)", found[0].group_id, spec.policy)
    return found[0].group_id


async def _named(site: Site, name: str) -> list[ServerGroup]:
    """Return the groups of a name, best first: of two that two agents made at once the one that is in use."""
    alike = [group for group in await site.groups.list() if group.name == name]
    return sorted(alike, key=lambda group: -group.members)
