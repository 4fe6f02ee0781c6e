"""Snapshots on their way up: from a site's Glance through a file here into the image that nova-api made above."""

import logging
from typing import Any

from bridge.edge.glance import Glance
from bridge.pace import Pace
from proto import codec, subjects
from proto.errors import FaultCode, Malformed, Refused, Unavailable
from proto.jetstream import JetStream
from proto.messages import Direction, ImageTransfer, Query, Reply, SiteImage
from proto.queries import QueryName
from proto.spool import Part, Spool
from proto.transfer import Progress, Transfers, check, pull

LOG = logging.getLogger(__name__)

PARALLEL = 2  # snapshots of one site at a time
QUERY_TIMEOUT = 30.0  # s
LONGEST_WAIT = 10.0  # s a chunk waits for the site's rate limit before it is asked for again
NOT_YET = 3.0  # s until an image that its site has not finished is looked at again
DISCARD_TIMEOUT = 5.0  # s a site gets to delete what it took for nothing
FINISHED = ("active", "deactivated")
FAILED = ("killed", "deleted", "pending_delete")


class ImageUploads:
    """Those of one owned site; every method may be repeated, after a crash too."""

    def __init__(self, site: str, road: JetStream, glance: Glance, spool: Spool, pace: Pace) -> None:
        """``pace``: of the site's link, shared with what goes down."""
        self._site = site
        self._road = road
        self._glance = glance
        self._pace = pace
        self._transfers = Transfers(spool, PARALLEL)

    def shown(self) -> list[ImageTransfer]:
        """Return what is under way."""
        return self._transfers.shown()

    async def finished(self, image_id: str) -> bool:
        """Whether the image above has its content; Refused if it is gone."""
        return bool((await self._above(image_id))["status"] in FINISHED)

    async def carry(self, image_id: str) -> "Carried":
        """Carry what the site took for an image above to this machine's disk, going on where it stopped.

        Refused if the site has no such image or it cannot be read; Unavailable while it is not finished there.
        """
        taken = await self._taken(image_id)
        name = (await self._above(image_id)).get("name") or ""
        progress = Progress(image_id, name, taken.size, Direction.UP)
        async with self._transfers.place(progress):
            part = await self._transfers.spool.open(taken.hash_algo, taken.hash_value, taken.size)
            try:
                await pull(part, taken.size, lambda offset, length: self._chunk(taken, offset, length), progress)
                await check(part, taken.hash_value, f"image {image_id}")
            except Refused:
                await part.remove()
                part.release()
                raise
            except BaseException:
                part.release()
                raise
        return Carried(taken, part)

    async def store(self, image_id: str, owner: str, carried: "Carried") -> None:
        """Put the content into the image above, with what nova-compute says of a snapshot; Refused with the reason."""
        taken, part = carried.taken, carried.part
        try:
            wanted = {
                "disk_format": taken.disk_format,
                "container_format": taken.container_format,
                "image_location": "snapshot",
                "image_state": "available",
                "owner_id": owner,
            }
            await self._glance.describe(await self._above(image_id), wanted)
            await self._glance.upload(image_id, part.reader())
            made = await self._above(image_id)
            same = made.get("os_hash_algo") != taken.hash_algo or made.get("os_hash_value") == taken.hash_value
            if made["status"] != "active" or made.get("size") != taken.size or not same:
                raise Refused(FaultCode.IMAGE, f"the cascading Glance did not keep image {image_id} as it was sent")
            await part.remove()
        except Refused:
            await part.remove()
            raise

    async def rotate(self, uuid: str, backup_type: str, rotation: int) -> None:
        """Delete the oldest backups of an instance beyond ``rotation`` (Nova 34, compute/manager.py)."""
        for image in (await self._glance.backups(uuid, backup_type))[rotation:]:
            LOG.info("backup %s is the oldest of more than %d: deleted", image["id"], rotation)
            await self._glance.delete(str(image["id"]))

    async def discard(self, image_id: str) -> None:
        """Delete an image above that will never have its content, as Nova does, and what its site took for it."""
        above = await self._glance.show(image_id)
        if above is not None and above["status"] not in FINISHED:
            LOG.info("deleting image %s: its snapshot failed", image_id)
            await self._glance.delete(image_id)
        try:
            await self._ask(Query(self._site, QueryName.SNAPSHOT_DISCARD, image_id=image_id), DISCARD_TIMEOUT)
        except (Unavailable, Refused) as error:
            LOG.warning("site=%s may keep what it took for image %s: %s", self._site, image_id, error)

    async def _above(self, image_id: str) -> dict[str, Any]:
        image = await self._glance.show(image_id)
        if image is None:
            raise Refused(FaultCode.IMAGE, f"image {image_id} was deleted above")
        return image

    async def _taken(self, image_id: str) -> SiteImage:
        reply = await self._ask(Query(self._site, QueryName.SNAPSHOT_IMAGE, image_id=image_id), QUERY_TIMEOUT)
        if not reply.images or reply.images[0].status in FAILED:
            raise Refused(FaultCode.SITE_FAULT, "the site's snapshot failed: it left no image")
        if reply.images[0].status != "active":
            raise Unavailable(f"the site's image is {reply.images[0].status}", NOT_YET)
        return reply.images[0]

    async def _chunk(self, taken: SiteImage, offset: int, length: int) -> bytes:
        await self._pace.wait(length)
        query = Query(self._site, QueryName.IMAGE_CHUNK, image_id=taken.image_id, offset=offset, length=length)
        return (await self._ask(query, QUERY_TIMEOUT)).data

    async def _ask(self, query: Query, timeout: float) -> Reply:
        try:
            data = await self._road.request(subjects.query(self._site, query.verb), codec.encode(query), timeout)
            reply = codec.decode(data, Reply)
        except Malformed as error:
            raise Refused(FaultCode.REJECTED, f"the site's answer to {query.verb}: {error}") from error
        if reply.fault is None:
            return reply
        if reply.fault.code is FaultCode.SITE_SILENT:
            raise Unavailable(f"site {self._site}: {reply.fault.message}")
        raise Refused(reply.fault.code, reply.fault.message)


class Carried:
    """A snapshot on this machine's disk, whole; ``release`` it in the end."""

    def __init__(self, taken: SiteImage, part: Part) -> None:
        self.taken = taken
        self.part = part

    def release(self) -> None:
        """Let others have the file; if it was not stored, it stays for the next try."""
        self.part.release()


async def _check(taken: SiteImage, part: Part) -> None:
    if part.digest() == taken.hash_value:
        return
    if part.resumed:  # perhaps this disk lost what an earlier process wrote
        await part.remove()
        raise Unavailable("a snapshot is damaged after it was resumed: it is carried anew")
    raise Refused(FaultCode.IMAGE, f"the snapshot arrived with another {taken.hash_algo}")
