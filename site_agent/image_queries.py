"""Queries about images: what this site holds for us, and what the bridge needs to carry a snapshot up."""

import contextlib

from proto.errors import FaultCode, Refused
from proto.messages import Query, Reply, SiteImage
from proto.transfer import CHUNK
from site_agent.core.matching import IMAGE_PROPERTY, Image, is_snapshot, was_carried
from site_agent.core.servers import seconds
from site_agent.site import Site

LOOKED_AT = 1000  # images of the project, the newest
TOLD = 200


async def images(site: Site, query: Query) -> Reply:
    """Return the newest images that stand for one above."""
    found = [image for image in await site.images.newest(LOOKED_AT) if was_carried(image) or is_snapshot(image)]
    return Reply(images=[told(image) for image in found[:TOLD]])


async def snapshot_image(site: Site, query: Query) -> Reply:
    """Return the image that was taken here for ``query.image_id`` above; none if there is none (any more)."""
    return Reply(images=[told(image) for image in await taken(site, query.image_id)][:1])


async def snapshot_discard(site: Site, query: Query) -> Reply:
    """Delete what was taken here for ``query.image_id`` above. May be repeated."""
    for image in await taken(site, query.image_id):
        await site.images.delete(image.image_id)
    return Reply()


async def image_chunk(site: Site, query: Query) -> Reply:
    """Return bytes of an image of this site that stands for one above."""
    length = query.length or 0
    if not 0 < length <= CHUNK or query.offset < 0:
        raise Refused(FaultCode.REJECTED, f"a chunk has 1 to {CHUNK} bytes, not {length}")
    return Reply(data=await site.images.chunk(query.image_id, query.offset, length))


async def taken(site: Site, image_id: str) -> list[Image]:
    """Return the images that the site's Nova took on our command for an image above."""
    return [image for image in await site.images.snapshots(image_id) if is_snapshot(image)]


def told(image: Image) -> SiteImage:
    """Return an image as it goes up."""
    created = 0.0
    with contextlib.suppress(ValueError):
        created = seconds(image.created) or 0.0
    return SiteImage(
        image_id=image.image_id,
        above=image.properties.get(IMAGE_PROPERTY, ""),
        name=image.name,
        status=image.status,
        size=image.size,
        hash_algo=image.hash_algo,
        hash_value=image.hash_value,
        disk_format=image.disk_format,
        container_format=image.container_format,
        created_at=created,
        snapshot=is_snapshot(image),
    )
