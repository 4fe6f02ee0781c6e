"""Asks the bridge for an image's chunks: the agent's end of a transfer down."""

import asyncio
import time

from proto import codec, subjects
from proto.errors import FaultCode, Refused, Stale, Unavailable
from proto.jetstream import JetStream
from proto.messages import Ask, Reply
from proto.queries import QueryName
from proto.specs import ImageSpec

ASK_TIMEOUT = 30.0  # s; more than the bridge ever lets an ask wait for its rate limit
LINK_LOOK = 0.5  # s between two looks whether the link that an answer must come by still stands
UNWANTED = 6.0  # s the bridge may say that nobody wants the image: after a restart it must first read what waits


class CarriedElsewhere(Exception):
    """Another agent of the site is carrying this image."""


class Chunks:
    """The chunks of one image above, for one transfer."""

    def __init__(self, site: str, road: JetStream, spec: ImageSpec, agent: str) -> None:
        """``agent``: the spool's identity, by which the bridge tells the agents of a site apart."""
        self._site = site
        self._road = road
        self._spec = spec
        self._agent = agent
        self._unwanted_since: float | None = None

    async def fetch(self, offset: int, length: int) -> bytes:
        """Return one chunk; Unavailable: ask again.

        Stale: no boot wants the image any more. CarriedElsewhere. Refused(IMAGE): it cannot be had, with the reason.
        """
        ask = Ask(
            self._site,
            QueryName.IMAGE_CHUNK,
            image_id=self._spec.image_id,
            offset=offset,
            length=length,
            agent=self._agent,
        )
        reply = codec.decode(await self._answer(subjects.ask(self._site, ask.verb), codec.encode(ask)), Reply)
        if reply.fault is None:
            self._unwanted_since = None
            return reply.data
        what = f"image {self._spec.image_id}: {reply.fault.message}"
        match reply.fault.code:
            case FaultCode.SITE_SILENT:  # Glance above does not answer now, or it is not our turn
                raise Unavailable(what)
            case FaultCode.CONFLICT:
                raise CarriedElsewhere(what)
            case FaultCode.EXPIRED:
                raise self._unwanted(what)
        raise Refused(FaultCode.IMAGE, what)

    def _unwanted(self, what: str) -> Stale | Unavailable:
        now = time.monotonic()
        self._unwanted_since = self._unwanted_since or now
        return Unavailable(what) if now - self._unwanted_since < UNWANTED else Stale(what)

    async def _answer(self, subject: str, data: bytes) -> bytes:
        """Ask; a link that is cut meanwhile brings no answer any more, so nobody waits for it."""
        if not self._road.connected:  # it would be kept, and answered though nobody waits any more
            raise Unavailable("the link to the bridge is cut", LINK_LOOK)
        asking = asyncio.ensure_future(self._road.request(subject, data, ASK_TIMEOUT))
        try:
            while not asking.done():
                await asyncio.wait({asking}, timeout=LINK_LOOK)
                if not asking.done() and not self._road.connected:
                    raise Unavailable("the link to the bridge was cut", LINK_LOOK)
            return asking.result()
        finally:
            asking.cancel()
