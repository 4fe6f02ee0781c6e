"""What a site's agent asks the bridge: chunks of an image's content, and whether a command is still wanted."""

from bridge.edge.glance import Glance
from bridge.flight import Flights
from bridge.instances import Instances
from proto import codec
from proto.errors import FaultCode, Malformed, Refused, Unavailable
from proto.messages import Ask, Fault, Reply

MAX_CHUNK = 512 * 1024  # bytes


class Asks:
    """The asks of one owned site."""

    def __init__(self, site: str, glance: Glance, instances: Instances, flights: Flights) -> None:
        self._site = site
        self._glance = glance
        self._instances = instances
        self._flights = flights

    async def answer(self, _subject: str, data: bytes) -> bytes:
        """Return the encoded Reply to an encoded Ask; a fault for anything that cannot be answered."""
        try:
            return codec.encode(await self._reply(codec.decode(data, Ask)))
        except Refused as error:
            return _fault(error.code, error.message)
        except (Malformed, Unavailable) as error:
            return _fault(FaultCode.SITE_SILENT if isinstance(error, Unavailable) else FaultCode.REJECTED, str(error))

    async def _reply(self, ask: Ask) -> Reply:
        if ask.site != self._site:
            raise Refused(FaultCode.REJECTED, f"an ask of {ask.site} on the subject of {self._site}")
        if ask.verb == "image_chunk":
            if not 0 < ask.length <= MAX_CHUNK:
                raise Refused(FaultCode.REJECTED, f"a chunk has 1 to {MAX_CHUNK} bytes, not {ask.length}")
            if not self._flights.wants_image(ask.image_id):  # or not yet again, after a take-over
                raise Unavailable(f"no boot of image {ask.image_id} is under way in {self._site}")
            return Reply(data=await self._glance.chunk(ask.image_id, ask.offset, ask.length))
        if ask.verb == "command_pending":
            return Reply(text="yes" if self._wanted(ask) else "")
        raise Refused(FaultCode.UNSUPPORTED, f"nobody here answers {ask.verb}")

    def _wanted(self, ask: Ask) -> bool:
        """Whether what a command made is still wanted: only a tombstone or a newer command says that it is not."""
        record = self._instances.get(ask.uuid)
        return record is None or (record.deleted_at is None and record.generation <= ask.generation)


def _fault(code: FaultCode, message: str) -> bytes:
    return codec.encode(Reply(fault=Fault(code, message)))
