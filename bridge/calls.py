"""Nova's CALLs: answered at once, by the bridge alone or by one query to the site, or refused with Nova's own error."""

import logging
import time
from dataclasses import dataclass
from typing import Any

from bridge import intake
from bridge.awaited import AwaitedCalls
from bridge.core import inventory
from bridge.edge.nova_diagnostics import diagnostics
from bridge.edge.nova_objects import unwrap
from bridge.edge.nova_rpc import IncomingRpc, nova_error
from bridge.presence import Presence
from bridge.resizing import Resizing
from proto import codec, subjects
from proto.errors import FaultCode, Malformed, Unavailable
from proto.jetstream import JetStream
from proto.messages import Fault, Query, Reply
from proto.operations import BY_METHOD, CALL_REFUSALS, Mode, Operation, Verb

LOG = logging.getLogger(__name__)

NOT_IMPLEMENTED = "NotImplementedError"


@dataclass(frozen=True, slots=True)
class Refusals:
    """What nova-api turns into a clean HTTP error when a query has no answer (Nova 34, api/openstack/compute)."""

    silent: str  # the site does not answer
    missing: str  # it has no server
    not_now: str  # the server's state forbids it
    never: str  # the site has no such thing, or not for us

    def of(self, fault: Fault) -> Exception:
        """Return what the caller sees of a fault."""
        names = {
            FaultCode.SITE_SILENT: self.silent,
            FaultCode.MISSING: self.missing,
            FaultCode.CONFLICT: self.not_now,
        }
        name = names.get(fault.code, self.never)
        return NotImplementedError() if name == NOT_IMPLEMENTED else nova_error(name, fault.message)


REFUSALS = {
    Verb.CONSOLE_OUTPUT: Refusals(
        "ConsoleNotAvailable", "InstanceNotFound", "InstanceNotReady", "ConsoleNotAvailable"
    ),  # 404, 404, 409, 404
    Verb.VNC_CONSOLE: Refusals(
        "InstanceNotReady", "InstanceNotFound", "InstanceNotReady", "ConsoleTypeUnavailable"
    ),  # 409, 404, 409, 400
    **dict.fromkeys(
        (Verb.DIAGNOSTICS, Verb.INSTANCE_DIAGNOSTICS),
        Refusals("InstanceNotReady", "InstanceNotReady", "InstanceInvalidState", NOT_IMPLEMENTED),  # 409 thrice, 501
    ),
}


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
            return inventory.uptime(self._site)
        if call.method == "cache_images":  # a site gets an image with the first boot from it
            return dict.fromkeys(call.args.get("image_ids") or [], "unsupported")
        row = BY_METHOD.get(call.method)
        if row is not None and row.mode is Mode.QUERY:
            return await self._read(call, row)
        if row is not None and row.mode is Mode.AWAITED:
            return await self._awaited.answer(call, row)
        if row is not None and row.verb is Verb.CONFIRM_RESIZE:
            # A delete waits for it: nova-api has saved ``deleting``, and the site's server goes in any case.
            return await self._resizing.confirm(intake.about_instance(call, time.time()), None)
        refusal = CALL_REFUSALS.get(call.method)
        if refusal is not None:
            raise nova_error(refusal, f"{call.method} is not available for servers of this availability zone")
        raise NotImplementedError(call.method)

    async def _read(self, call: IncomingRpc, row: Operation) -> Any:
        refusals = REFUSALS[row.verb]
        try:
            reply = await self._ask(call, row)
            if reply.fault is None:
                return _result(row.verb, reply)
            fault = reply.fault
        except Unavailable as error:
            LOG.info("%s: %s", call.method, error)
            fault = Fault(FaultCode.SITE_SILENT, f"site {self._site} does not answer now")
        except Malformed as error:
            LOG.warning("%s: %s", call.method, error)
            fault = Fault(FaultCode.REJECTED, f"site {self._site} gives no sensible answer")
        raise refusals.of(fault)

    async def _ask(self, call: IncomingRpc, row: Operation) -> Reply:
        """Return the site's word; Unavailable if it has none, Malformed if it is none."""
        length = call.args.get("tail_length")
        query = Query(
            site=self._site,
            verb=row.verb,
            uuid=str(unwrap(call.args["instance"])["uuid"]),
            request_id=str(call.context.get("request_id") or ""),
            length=int(length) if length is not None else None,
            console_type=str(call.args.get("console_type") or ""),
        )
        subject = subjects.query(self._site, query.verb)
        return codec.decode(await self._road.request(subject, codec.encode(query), timeout=row.deadline), Reply)


def _result(verb: Verb, reply: Reply) -> Any:
    match verb:
        case Verb.VNC_CONSOLE:
            return {"access_url": reply.text}
        case Verb.DIAGNOSTICS:
            return reply.diagnostics
        case Verb.INSTANCE_DIAGNOSTICS:
            return diagnostics(reply.diagnostics)
    return reply.text
