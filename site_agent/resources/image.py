"""Images: known by the hash of their content; what the site lacks is carried down once, and where it stopped goes on.

What was carried waits in a file of the spool until all of it is there and hashes right; only then does the site's
Glance see its first byte. So a cut link, or the agent's death, costs a few chunks.
"""

import asyncio
import logging
import time
from collections.abc import Iterable

from proto.errors import CascadeError, FaultCode, Refused, Stale, Unavailable
from proto.messages import Direction, TransferState
from proto.specs import ImageSpec
from proto.spool import Part, refuse_unusable_hash
from proto.transfer import Progress, check, pull
from site_agent import slots
from site_agent.core.matching import (
    CARRIER_PROPERTY,
    Image,
    carried_properties,
    holds,
    made_image,
    matching_image,
    was_carried,
)
from site_agent.core.servers import seconds
from site_agent.site import Site
from site_agent.transfers import CarriedElsewhere, Chunks

LOG = logging.getLogger(__name__)

ABANDONED = 6 * 3600.0  # s after which an image that is not active is nobody's transfer any more
PATIENCE = 30.0  # s a command keeps its instance while its image waits for others
LOOK = 3.0  # s between two looks for an image that another agent carries


async def ensure_image(site: Site, spec: ImageSpec) -> str:
    """Return the id of the site's image with this content; may be repeated, and by many at once (one transfer).

    Unavailable after PATIENCE s in which it had to wait for others: whoever asks then lets go of his instance, so that
    a delete of it goes on, and asks again later. An image that nobody asks for again ends where it is.
    """
    key = shelf_key(spec)
    if site.shelf.has(key):
        return await site.shelf.get(key, lambda: _ensure(site, spec))
    async with slots.lent():  # boots of other images go on meanwhile
        while True:
            try:
                async with asyncio.timeout(PATIENCE) as patience:  # ends the waiting, not the transfer
                    return await site.shelf.get(key, lambda: _ensure(site, spec))
            except TimeoutError:
                if not patience.expired():
                    raise
            _refuse_to_queue(site, spec)


def shelf_key(spec: ImageSpec) -> tuple[str, ...]:
    """Key of the image among the remembered ids."""
    return ("image", spec.image_id, spec.hash_value)


def _refuse_to_queue(site: Site, spec: ImageSpec) -> None:
    """Raise Unavailable unless bytes of the image are on their way; one that is not shown is far from its turn."""
    states = {shown.image_id: shown.state for shown in site.transfers.shown()}
    if states.get(spec.image_id, TransferState.WAITING) is TransferState.WAITING:
        raise Unavailable(f"image {spec.image_id} waits for other images, or for another agent that carries it", LOOK)


async def _ensure(site: Site, spec: ImageSpec) -> str:
    refuse_unusable_hash(spec.hash_algo, spec.hash_value)
    if found := await _present(site, spec):
        return found
    part = await site.transfers.spool.open(spec.hash_algo, spec.hash_value, spec.size)
    try:
        image_id = await _carried(site, spec, part)
        await part.remove()
    except Refused:
        await part.remove()
        raise
    except Stale as error:  # it goes on here as soon as somebody wants it again
        raise Unavailable(str(error)) from error
    finally:
        part.release()
    LOG.info("image %s is %s here", spec.image_id, image_id)
    return image_id


async def _carried(site: Site, spec: ImageSpec, part: Part) -> str:
    """Carry it, or see another agent of the site do so; who waits for another one has no place among the transfers."""
    progress = Progress(spec.image_id, spec.name, spec.size, Direction.DOWN)
    patient_until: float | None = None
    while True:
        try:
            async with site.transfers.place(progress):
                return await _carry(site, spec, part, progress)
        except CarriedElsewhere as error:
            progress.waiting(str(error))
            patient_until = patient_until or time.monotonic() + PATIENCE
            if time.monotonic() + LOOK >= patient_until:
                raise Unavailable(str(error), LOOK) from error
        await asyncio.sleep(LOOK)


async def _carry(site: Site, spec: ImageSpec, part: Part, progress: Progress) -> str:
    own = await site.transfers.spool.identity()
    copies = await site.images.carried(spec.image_id)
    if made := made_image(spec, copies):
        return made.image_id
    await _leave_to_others(site, spec, copies, own)
    LOG.info("carrying image %s (%d bytes) from byte %d on", spec.image_id, spec.size, part.offset)
    await pull(part, spec.size, Chunks(site.name, site.road, spec, own).fetch, progress)
    await check(part, spec.hash_value, f"image {spec.image_id}")
    progress.storing()
    return await _store(site, spec, part, own)


async def _present(site: Site, spec: ImageSpec) -> str:
    found = matching_image(spec, await site.images.with_hash(spec.hash_value))
    found = found or made_image(spec, await site.images.carried(spec.image_id))
    return found.image_id if found else ""


async def _store(site: Site, spec: ImageSpec, part: Part, carrier: str) -> str:
    image_id = await _create(site, spec, carrier)
    try:
        await site.images.upload(image_id, part.reader())
        made = await site.images.get(image_id)
        if made is None or made.status != "active" or not holds(spec, made):
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


async def _leave_to_others(site: Site, spec: ImageSpec, copies: Iterable[Image], own: str) -> None:
    """Raise CarriedElsewhere if another agent stores the image now; delete halves that are ours or nobody's."""
    oldest = site.clock.now(time.time()) - ABANDONED
    for image in copies:
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
