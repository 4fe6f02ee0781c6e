"""Nova's CALLs: answered at once, by the bridge alone or by one query to the site, or refused with Nova's own error."""

import logging
import time
from typing import Any

from bridge import intake
from bridge.awaited import AwaitedCalls
from bridge.edge.nova_objects import unwrap
from bridge.edge.nova_rpc import IncomingRpc, nova_error
from bridge.presence import Presence
from bridge.resizing import Resizing
from proto import codec, subjects
from proto.errors import FaultCode, Malformed, Unavailable
from proto.jetstream import JetStream
from proto.messages import Query, Reply
from proto.operations import BY_METHOD, CALL_REFUSALS, Mode, Operation, Verb

LOG = logging.getLogger(__name__)

# What nova-api turns into a clean HTTP error: for a site that does not answer, and for one that has no such console
# (Nova 34, api/openstack/compute: console_output 404, remote_consoles 409 and 400).
NOT_NOW = {Verb.CONSOLE_OUTPUT: "ConsoleNotAvailable", Verb.VNC_CONSOLE: "InstanceNotReady"}
NO_CONSOLE = {Verb.CONSOLE_OUTPUT: "ConsoleNotAvailable", Verb.VNC_CONSOLE: "ConsoleTypeUnavailable"}


class Calls:
    """The CALLs to the hosts of one owned site."""

    def __init__(
        self, site: str, road: JetStream, presence: Presence, awaited: AwaitedCalls, resizing: Resizing
    ) -> None:
        self._site = site
        self._road = road
        self._presence = presence
        self._awaited = awaited
        self._resizing = resizing

    async def answer(self, call: IncomingRpc) -> Any:
        """Return the CALL's result or raise what nova-api shall see."""
        if call.method == "set_host_enabled":
            return await self._presence.set_host_enabled(call.host, bool(call.args.get("enabled")))
        if call.method == "get_host_uptime":
            return f"site {self._site}"
        row = BY_METHOD.get(call.method)
        if row is not None and row.mode is Mode.QUERY:
            text = await self._ask(call, row)
            return {"access_url": text} if row.verb is Verb.VNC_CONSOLE else text
        if row is not None and row.mode is Mode.AWAITED:
            return await self._awaited.answer(call, row)
        if row is not None and row.verb is Verb.CONFIRM_RESIZE:
            # A delete waits for it: nova-api has saved ``deleting``, and the site's server goes in any case.
            return await self._resizing.confirm(intake.about_instance(call, time.time()), None)
        refusal = CALL_REFUSALS.get(call.method)
        if refusal is not None:
            raise nova_error(refusal, f"{call.method} is not available for servers of this availability zone")
        raise NotImplementedError(call.method)

    async def _ask(self, call: IncomingRpc, row: Operation) -> str:
        uuid = str(unwrap(call.args["instance"])["uuid"])
        length = call.args.get("tail_length")
        query = Query(
            site=self._site,
            verb=row.verb,
            uuid=uuid,
            request_id=str(call.context.get("request_id") or ""),
            length=int(length) if length is not None else None,
            console_type=str(call.args.get("console_type") or ""),
        )
        try:
            data = await self._road.request(
                subjects.query(self._site, query.verb), codec.encode(query), timeout=row.deadline
            )
            reply = codec.decode(data, Reply)
        except (Unavailable, Malformed) as error:
            LOG.info("%s of instance=%s: %s", row.verb, uuid, error)
            raise nova_error(NOT_NOW[row.verb], f"site {self._site} does not answer now") from error
        if reply.fault is None:
            return reply.text
        known = {FaultCode.MISSING: "InstanceNotFound", FaultCode.CONFLICT: "InstanceNotReady"}
        raise nova_error(known.get(reply.fault.code, NO_CONSOLE[row.verb]), reply.fault.message)
