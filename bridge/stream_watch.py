"""Sees that NATS has lost what an owned site works with: then the site is taken over anew, which makes it again."""

import asyncio
import itertools
import logging

from proto.errors import Unavailable
from proto.jetstream import JetStream
from proto.streams import Durable

LOG = logging.getLogger(__name__)

TICK = 5.0  # s between two looks, each at one durable


class StreamWatch:
    """The durables of one ownership."""

    def __init__(self, site: str, road: JetStream, durables: list[Durable]) -> None:
        self._site = site
        self._road = road
        self._durables = durables

    async def run(self) -> None:
        """Look until cancelled; Unavailable as soon as one is gone: with its stream all that waited there is lost."""
        for durable in itertools.cycle(self._durables):
            await asyncio.sleep(TICK)
            try:
                there = await self._road.exists(durable)
            except Unavailable as error:
                LOG.debug("site=%s: %s", self._site, error)
                continue
            if not there:
                raise Unavailable(f"site {self._site}: NATS has lost {durable.name} of {durable.stream}")
