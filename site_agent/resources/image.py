"""Images: known by the hash of their content; what the site lacks is carried down once, and where it stopped goes on.

What was carried waits in a file of the spool until all of it is there and hashes right; only then does the site's
Glance see its first byte. So a cut link, or the agent's death, costs a few chunks.
"""

import asyncio
import contextlib
import logging
import time

from proto.errors import CascadeError, FaultCode, Refused, Stale, Unavailable
from proto.messages import Direction, ImageSpec
from proto.spool import Part, refuse_unusable_hash
from proto.transfer import Progress, check, pull
from site_agent import slots
from site_agent.core.matching import CARRIER_PROPERTY, carried_properties, matching_image, was_carried
from site_agent.core.servers import seconds
from site_agent.site import Site
from site_agent.transfers import CarriedElsewhere, Chunks

LOG = logging.getLogger(__name__)

ABANDONED = 6 * 3600.0  # s after which an image that is not active is nobody's transfer any more
LOOK = 3.0  # s between two looks for an image that another agent carries


async def ensure_image(site: Site, spec: ImageSpec) -> str:
    """Return the id of the site's image with this content; may be repeated, and by many at once (one transfer)."""
    key = shelf_key(spec)
    waits = contextlib.nullcontext() if site.shelf.has(key) else slots.lent()  # boots of other images go on meanwhile
    async with waits:
        return await site.shelf.get(key, lambda: _ensure(site, spec))


def shelf_key(spec: ImageSpec) -> tuple[str, ...]:
    """Key of the image among the remembered ids."""
    return ("image", spec.image_id, spec.hash_value)


async def _ensure(site: Site, spec: ImageSpec) -> str:
    refuse_unusable_hash(spec.hash_algo, spec.hash_value)
    found = await _present(site, spec)
    if found:
        return found
    progress = Progress(spec.image_id, spec.name, spec.size, Direction.DOWN)
    async with site.transfers.place(progress):
        part = await site.transfers.spool.open(spec.hash_algo, spec.hash_value, spec.size)
        LOG.info("carrying image %s (%d bytes) from byte %d on", spec.image_id, spec.size, part.offset)
        try:
            image_id = await _carried(site, spec, part, progress)
            await part.remove()
        except Refused:
            await part.remove()
            raise
        except Stale as error:  # it goes on here as soon as somebody wants it again
            raise Unavailable(str(error)) from error
        finally:
            part.release()
    LOG.info("carried image %s, it is %s here", spec.image_id, image_id)
    return image_id


async def _carried(site: Site, spec: ImageSpec, part: Part, progress: Progress) -> str:
    own = await site.transfers.spool.identity()
    chunks = Chunks(site.name, site.road, spec, own)
    while True:
        try:
            if found := await _present(site, spec):
                return found
            await _leave_to_others(site, spec, own)
            await pull(part, spec.size, chunks.fetch, progress)
            break
        except CarriedElsewhere as error:
            progress.waiting(str(error))
            await asyncio.sleep(LOOK)
    await check(part, spec.hash_value, f"image {spec.image_id}")
    progress.storing()
    return await _store(site, spec, part, own)


async def _present(site: Site, spec: ImageSpec) -> str:
    found = matching_image(spec, await site.images.with_hash(spec.hash_value))
    return found.image_id if found else ""


async def _check(spec: ImageSpec, part: Part) -> None:
    if part.digest() == spec.hash_value:
        return
    if part.resumed:  # perhaps this disk lost what an earlier process wrote
        await part.remove()
        raise Unavailable(f"image {spec.image_id} is damaged after it was resumed: it is carried anew")
    raise Refused(FaultCode.IMAGE, f"image {spec.image_id} arrived with another {spec.hash_algo}")


async def _store(site: Site, spec: ImageSpec, part: Part, carrier: str) -> str:
    image_id = await _create(site, spec, carrier)
    try:
        await site.images.upload(image_id, part.reader())
        made = await site.images.get(image_id)
        if made is None or made.status != "active" or made.hash_value != spec.hash_value:
            raise Unavailable(f"the site's Glance did not keep image {spec.image_id} as it was sent")
    except BaseException:
        await asyncio.shield(_discard(site, image_id))
        raise
    return image_id


async def _create(site: Site, spec: ImageSpec, carrier: str) -> str:
    properties = carried_properties(spec)
    try:
        return await site.images.create(spec, properties, carrier)
    except Refused as error:
        if not properties or error.code is FaultCode.QUOTA:
            raise
        LOG.warning("the site refuses the properties of image %s: %s", spec.image_id, error)
        return await site.images.create(spec, {}, carrier)


async def _leave_to_others(site: Site, spec: ImageSpec, own: str) -> None:
    """Raise CarriedElsewhere if another agent stores the image now; delete halves that are ours or nobody's."""
    oldest = site.clock.now(time.time()) - ABANDONED
    for image in await site.images.carried(spec.image_id):
        if not (image.half and was_carried(image)):
            continue
        if image.properties.get(CARRIER_PROPERTY) != own and (seconds(image.created) or oldest) >= oldest:
            raise CarriedElsewhere(f"another agent of the site is storing image {spec.image_id}")
        await _discard(site, image.image_id)


async def _discard(site: Site, image_id: str) -> None:
    try:
        await site.images.delete(image_id)
    except CascadeError as error:
        LOG.warning("half an image is left in the site, %s: %s", image_id, error)
