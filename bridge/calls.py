"""Nova's CALLs: answered at once, by the bridge alone or by one query to the site, or refused with Nova's own error."""

import logging
from typing import Any

from bridge.edge.nova_objects import unwrap
from bridge.edge.nova_rpc import IncomingRpc, nova_error
from bridge.presence import Presence
from proto import codec, subjects
from proto.errors import FaultCode, Malformed, Unavailable
from proto.jetstream import JetStream
from proto.messages import Query, Reply
from proto.operations import BY_METHOD, CALL_REFUSALS, Mode

LOG = logging.getLogger(__name__)


class Calls:
    """The CALLs to the hosts of one owned site."""

    def __init__(self, site: str, road: JetStream, presence: Presence) -> None:
        self._site = site
        self._road = road
        self._presence = presence

    async def answer(self, call: IncomingRpc) -> Any:
        """Return the CALL's result or raise what nova-api shall see."""
        if call.method == "set_host_enabled":
            return await self._presence.set_host_enabled(call.host, bool(call.args.get("enabled")))
        if call.method == "get_host_uptime":
            return f"site {self._site}"
        row = BY_METHOD.get(call.method)
        if row is not None and row.mode is Mode.QUERY:
            return await self._console_output(call, row.deadline)
        refusal = CALL_REFUSALS.get(call.method)
        if refusal is not None:
            raise nova_error(refusal, f"{call.method} is not available for servers of this availability zone")
        raise NotImplementedError(call.method)

    async def _console_output(self, call: IncomingRpc, deadline: float) -> str:
        uuid = str(unwrap(call.args["instance"])["uuid"])
        length = call.args.get("tail_length")
        query = Query(
            site=self._site,
            verb="console_output",
            uuid=uuid,
            request_id=str(call.context.get("request_id") or ""),
            length=int(length) if length is not None else None,
        )
        try:
            data = await self._road.request(
                subjects.query(self._site, query.verb), codec.encode(query), timeout=deadline
            )
            reply = codec.decode(data, Reply)
        except (Unavailable, Malformed) as error:
            LOG.info("console of instance=%s: %s", uuid, error)
            raise nova_error("ConsoleNotAvailable", f"site {self._site} does not answer now") from error
        if reply.fault is None:
            return reply.text
        known = "InstanceNotFound" if reply.fault.code is FaultCode.MISSING else "ConsoleNotAvailable"
        raise nova_error(known, reply.fault.message)
