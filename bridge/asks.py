"""What a site's agent asks the bridge: chunks of an image's content, and whether a command is still wanted."""

from bridge.edge.glance import Glance
from bridge.publisher import Publisher
from proto import codec
from proto.errors import FaultCode, Malformed, Refused, Unavailable
from proto.messages import Ask, Fault, Reply

MAX_CHUNK = 512 * 1024  # bytes


class Asks:
    """The asks of one owned site."""

    def __init__(self, site: str, glance: Glance, publisher: Publisher) -> None:
        self._site = site
        self._glance = glance
        self._publisher = publisher

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
            return Reply(data=await self._glance.chunk(ask.image_id, ask.offset, ask.length))
        if ask.verb == "command_pending":
            return Reply(text="yes" if await self._publisher.waiting(ask.uuid) else "")
        raise Refused(FaultCode.UNSUPPORTED, f"nobody here answers {ask.verb}")


def _fault(code: FaultCode, message: str) -> bytes:
    return codec.encode(Reply(fault=Fault(code, message)))
