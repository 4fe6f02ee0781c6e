"""Images: known by the hash of their content; what the site lacks is carried down once, in chunks, over the bus."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncGenerator

from proto import codec, subjects
from proto.errors import CascadeError, FaultCode, Refused, Unavailable
from proto.messages import Ask, ImageSpec, Reply
from site_agent.core.matching import carried_properties, matching_image
from site_agent.core.servers import seconds
from site_agent.site import Site

LOG = logging.getLogger(__name__)

CHUNK = 512 * 1024  # bytes
AHEAD = 4  # chunks asked for at a time: 2 MiB of memory, and no wait for the link's round trip between two
ABANDONED = 6 * 3600.0  # s after which an image that is not active is nobody's transfer any more
ASK_TIMEOUT = 30.0  # s
ASK_TRIES = 5
ASK_PAUSE = 2.0  # s between two tries


async def ensure_image(site: Site, spec: ImageSpec) -> str:
    """Return the id of the site's image with this content; may be repeated, and by many at once (one transfer)."""
    return await site.shelf.get(shelf_key(spec), lambda: _ensure(site, spec))


def shelf_key(spec: ImageSpec) -> tuple[str, ...]:
    """Key of the image among the remembered ids."""
    return ("image", spec.image_id, spec.hash_value)


async def _ensure(site: Site, spec: ImageSpec) -> str:
    if spec.hash_algo not in hashlib.algorithms_available or not spec.hash_value:
        raise Refused(FaultCode.IMAGE, f"image {spec.image_id} has no hash to know it by")
    found = matching_image(spec, await site.images.with_hash(spec.hash_value))
    if found:
        return found.image_id
    await _discard_abandoned(site, spec)
    LOG.info("carrying image %s (%d bytes)", spec.image_id, spec.size)
    image_id = await _create(site, spec)
    try:
        async with contextlib.aclosing(chunks(site, spec)) as stream:
            await site.images.upload(image_id, stream)
        made = await site.images.get(image_id)
        if made is None or made.status != "active" or made.hash_value != spec.hash_value:
            raise Unavailable(f"the site's Glance did not keep image {spec.image_id} as it was sent")
    except BaseException:
        await asyncio.shield(_discard(site, image_id))
        raise
    LOG.info("carried image %s, it is %s here", spec.image_id, image_id)
    return image_id


async def _create(site: Site, spec: ImageSpec) -> str:
    properties = carried_properties(spec)
    try:
        return await site.images.create(spec, properties)
    except Refused as error:
        if not properties or error.code is FaultCode.QUOTA:
            raise
        LOG.warning("the site refuses the properties of image %s: %s", spec.image_id, error)
        return await site.images.create(spec, {})


async def _discard_abandoned(site: Site, spec: ImageSpec) -> None:
    """Delete halves that an agent left behind when it died; a younger one may be another agent's transfer."""
    oldest = site.clock.now(time.time()) - ABANDONED
    for image in await site.images.carried(spec.image_id):
        if image.status in ("queued", "saving") and (seconds(image.created) or oldest) < oldest:
            await _discard(site, image.image_id)


async def _discard(site: Site, image_id: str) -> None:
    try:
        await site.images.delete(image_id)
    except CascadeError as error:
        LOG.warning("half an image is left in the site, %s: %s", image_id, error)


async def chunks(site: Site, spec: ImageSpec) -> AsyncGenerator[bytes]:
    """Yield the image from the bus; Refused(IMAGE) before the last chunk if it is not what its hash says."""
    digest = hashlib.new(spec.hash_algo)
    offsets = range(0, spec.size, CHUNK)
    asked = [asyncio.ensure_future(_chunk(site, spec, offset)) for offset in offsets[:AHEAD]]
    try:
        for number, _ in enumerate(offsets):
            data = await asked.pop(0)
            if number + AHEAD < len(offsets):
                asked.append(asyncio.ensure_future(_chunk(site, spec, offsets[number + AHEAD])))
            digest.update(data)
            if number == len(offsets) - 1 and digest.hexdigest() != spec.hash_value:
                raise Refused(FaultCode.IMAGE, f"image {spec.image_id} arrived with another {spec.hash_algo}")
            yield data
    finally:
        for left in asked:
            left.cancel()


async def _chunk(site: Site, spec: ImageSpec, offset: int) -> bytes:
    length = min(CHUNK, spec.size - offset)
    ask = Ask(site.name, "image_chunk", image_id=spec.image_id, offset=offset, length=length)
    for last in (*[False] * (ASK_TRIES - 1), True):
        try:
            data = await _asked(site, ask)
            break
        except Unavailable:
            if last:
                raise
            await asyncio.sleep(ASK_PAUSE)
    if len(data) != length:
        raise Refused(FaultCode.IMAGE, f"image {spec.image_id}: {len(data)} bytes at {offset}, not {length}")
    return data


async def _asked(site: Site, ask: Ask) -> bytes:
    subject = subjects.ask(site.name, ask.verb)
    reply = codec.decode(await site.road.request(subject, codec.encode(ask), ASK_TIMEOUT), Reply)
    if reply.fault is None:
        return reply.data
    if reply.fault.code is FaultCode.SITE_SILENT:  # Glance above does not answer now
        raise Unavailable(f"image {ask.image_id}: {reply.fault.message}")
    raise Refused(FaultCode.IMAGE, f"image {ask.image_id}: {reply.fault.message}")
