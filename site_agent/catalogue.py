"""Queries about what the site has of flavors, images, keypairs and server groups: list what we made, drop it, and
make a flavor ahead."""

import logging
import time

from proto.errors import CascadeError, FaultCode, Refused
from proto.messages import Holding, HoldingKind, Query, Reply
from site_agent.core import identity
from site_agent.core.matching import IMAGE_PROPERTY, is_snapshot, was_carried
from site_agent.edge.uses import Uses
from site_agent.resources import flavor
from site_agent.site import Site

LOG = logging.getLogger(__name__)

PAGE = 2000  # holdings of one reply: far below the size of a message
MOST_IMAGES = 1000  # the newest of the project that are looked at


async def flavor_ensure(site: Site, query: Query) -> Reply:
    """Make one version of a flavor exist before anybody boots it; may be repeated. The reply's text is its id here."""
    if query.flavor is None:
        raise Refused(FaultCode.REJECTED, "a flavor_ensure without a flavor")
    return Reply(text=await flavor.ensure_flavor(site, query.flavor))


async def holdings(site: Site, query: Query) -> Reply:
    """Return what the agent made in the site after ``query.marker``; ask on with the reply's until it is empty."""
    found = sorted(await _held(site), key=_mark)
    page = [holding for holding in found if _mark(holding) > query.marker]
    return Reply(holdings=page[:PAGE], marker=_mark(page[PAGE - 1]) if len(page) > PAGE else "")


async def drop(site: Site, query: Query) -> Reply:
    """Delete what the bridge no longer needs; returns what is gone now. May be repeated.

    Each is looked at again before: it must still be one we made, no server may use it and no boot have asked for it
    since the bridge was told of it. A boot that asks for it in the very moment makes it anew: its create is refused
    and looks again at all it needs.
    """
    wanted = {(one.kind, one.site_id): one for one in query.holdings}
    gone = []
    for holding in await _held(site):
        told = wanted.get((holding.kind, holding.site_id))
        if told is None or holding.used or site.shelf.asked_at(holding.site_id) > told.unused_since:
            continue
        try:
            await _delete(site, holding)
        except CascadeError as error:
            LOG.warning("%s %s is unused but stays: %s", holding.kind, holding.site_id, error)
            continue
        LOG.info("deleted %s %s, which nothing needs", holding.kind, holding.site_id)
        site.stock.lost(holding)
        gone.append(holding)
    if gone:
        site.shelf.clear()
    return Reply(holdings=gone)


async def _held(site: Site) -> list[Holding]:
    uses = await site.uses.count()
    found = [*await _flavors(site, uses), *await _images(site, uses), *await _keypairs(site, uses)]
    found += await _server_groups(site)
    return site.stock.dated(found, time.time(), site.shelf.asked_at)


async def _flavors(site: Site, uses: Uses) -> list[Holding]:
    return [
        Holding(HoldingKind.FLAVOR, made.flavor_id, made.source, made.version, used=uses.flavors[made.flavor_id])
        for made in await site.flavors.made()
    ]


async def _images(site: Site, uses: Uses) -> list[Holding]:
    """Only finished ones: halves are their transfer's to clean up. A vendor's may bear our marks, but not our name."""
    return [
        Holding(HoldingKind.IMAGE, image.image_id, image.properties[IMAGE_PROPERTY], used=uses.images[image.image_id])
        for image in await site.images.newest(MOST_IMAGES)
        if image.status == "active" and (was_carried(image) or is_snapshot(image))
    ]


async def _keypairs(site: Site, uses: Uses) -> list[Holding]:
    return [
        Holding(HoldingKind.KEYPAIR, pair.name, pair.fingerprint, used=uses.keypairs[pair.name])
        for pair in await site.keypairs.list()
        if pair.name == identity.keypair_named(pair.fingerprint, pair.kind, pair.public_key)
    ]


async def _server_groups(site: Site) -> list[Holding]:
    """None where the site's policy lets the agent see no groups: then it could not make any either."""
    try:
        groups = await site.groups.list()
    except Refused:
        return []
    return [
        Holding(HoldingKind.SERVER_GROUP, group.group_id, identity.uuid_of([group.name]), used=group.members)
        for group in groups
        if identity.is_ours(group.name)
    ]


async def _delete(site: Site, holding: Holding) -> None:
    match holding.kind:
        case HoldingKind.FLAVOR:
            await site.flavors.delete(holding.site_id)
        case HoldingKind.IMAGE:
            await site.images.delete(holding.site_id)
        case HoldingKind.KEYPAIR:
            await site.keypairs.delete(holding.site_id)
        case HoldingKind.SERVER_GROUP:
            await _delete_group(site, holding.site_id)


async def _delete_group(site: Site, group_id: str) -> None:
    """A site deletes a group in use too, and its servers lose their policy: so look right before."""
    group = await site.groups.get(group_id)
    if group is not None and group.members:
        raise Refused(FaultCode.CONFLICT, "a server has joined it meanwhile")
    await site.groups.delete(group_id)


def _mark(holding: Holding) -> str:
    return f"{holding.kind}/{holding.site_id}"
