"""What a site's agent asks the bridge: the epoch, chunks of an image, and whether a command is still wanted."""

import asyncio
import time

from bridge.core import planner
from bridge.edge.glance import Glance
from bridge.flight import Flights
from bridge.instances import Instances
from bridge.pace import Pace
from proto import codec
from proto.errors import CascadeError, FaultCode, Malformed, Refused, Stale
from proto.messages import Ask, Fault, Reply
from proto.queries import QueryName

MAX_CHUNK = 512 * 1024  # bytes
AT_ONCE = 8  # chunks of one site in memory
LONGEST_WAIT = 10.0  # s an ask waits for its rate limit; the agent gives up asking after 30 s
HOLDING = 15.0  # s after its last chunk that an agent still carries an image, and its site's other agents do not


class Asks:
    """The asks of one owned site."""

    def __init__(
        self, site: str, epoch: int, glance: Glance, instances: Instances, flights: Flights, pace: Pace
    ) -> None:
        self._site = site
        self._epoch = epoch
        self._glance = glance
        self._instances = instances
        self._flights = flights
        self._pace = pace
        self._room = asyncio.Semaphore(AT_ONCE)
        self._carriers: dict[str, tuple[str, float]] = {}  # by image: agent, monotonic s of its last ask

    async def answer(self, _subject: str, data: bytes) -> bytes:
        """Return the encoded Reply to an encoded Ask; a fault for anything that cannot be answered.

        For a chunk SITE_SILENT means ask again, EXPIRED that no boot wants the image (or not yet again, after a
        take-over), CONFLICT that another agent of the site is carrying it; anything else that it cannot be had.
        """
        try:
            return codec.encode(await self._reply(codec.decode(data, Ask)))
        except CascadeError as error:
            return codec.encode(Reply(fault=_fault(error)))

    async def _reply(self, ask: Ask) -> Reply:
        if ask.site != self._site:
            raise Refused(FaultCode.REJECTED, f"an ask of {ask.site} on the subject of {self._site}")
        if ask.verb == QueryName.IMAGE_CHUNK:
            return Reply(data=await self._chunk(ask))
        if ask.verb == QueryName.EPOCH:
            return Reply(epoch=self._epoch)
        if ask.verb == "command_pending":
            return Reply(text="" if planner.withdrawn(self._instances.get(ask.uuid), ask.generation) else "yes")
        raise Refused(FaultCode.UNSUPPORTED, f"nobody here answers {ask.verb}")

    async def _chunk(self, ask: Ask) -> bytes:
        if not 0 < ask.length <= MAX_CHUNK or ask.offset < 0:
            raise Refused(FaultCode.REJECTED, f"a chunk has 1 to {MAX_CHUNK} bytes, not {ask.length}")
        if not self._flights.wants_image(ask.image_id):
            raise Stale(f"no boot of it is under way in {self._site}")
        self._refuse_second_carrier(ask)
        async with self._room:
            await self._pace.wait(ask.length)
            return await self._glance.chunk(ask.image_id, ask.offset, ask.length)

    def _refuse_second_carrier(self, ask: Ask) -> None:
        now = time.monotonic()
        self._carriers = {image: held for image, held in self._carriers.items() if now - held[1] < HOLDING}
        agent, _ = self._carriers.get(ask.image_id, (ask.agent, now))
        if agent != ask.agent:
            raise Refused(FaultCode.CONFLICT, "another agent of the site is carrying it")
        self._carriers[ask.image_id] = (ask.agent, now)


def _fault(error: CascadeError) -> Fault:
    match error:
        case Refused():
            return Fault(error.code, error.message)
        case Stale():
            return Fault(FaultCode.EXPIRED, str(error))
        case Malformed():
            return Fault(FaultCode.REJECTED, str(error))
        case _:
            return Fault(FaultCode.SITE_SILENT, str(error))
