"""What an operator's `cascade` command asks the bridge that owns a site to do now."""

from collections.abc import Awaitable, Callable, Mapping

from proto import codec
from proto.errors import CascadeError, FaultCode, Malformed, Refused
from proto.messages import Fault, Query, Reply

Order = Callable[[Query], Awaitable[Reply]]


class Orders:
    """The orders of one owned site, by verb."""

    def __init__(self, site: str, table: Mapping[str, Order]) -> None:
        self._site = site
        self._table = table

    async def answer(self, _subject: str, data: bytes) -> bytes:
        """Carry an encoded Query out and return the encoded Reply; what went wrong is a fault in it."""
        try:
            query = codec.decode(data, Query)
            order = self._table.get(query.verb)
            if order is None or query.site != self._site:
                raise Refused(FaultCode.UNSUPPORTED, f"this bridge takes no order {query.verb} for {query.site}")
            return codec.encode(await order(query))
        except Refused as error:
            return codec.encode(Reply(fault=Fault(error.code, error.message)))
        except (CascadeError, Malformed) as error:
            return codec.encode(Reply(fault=Fault(FaultCode.SITE_SILENT, str(error))))
