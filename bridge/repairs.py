"""Carries out what the reconciler decided for one instance. Every repair may be repeated."""

import logging
from collections.abc import Awaitable, Callable

import msgspec

from bridge.core import planner
from bridge.core.policies import Policies
from bridge.core.records import InstanceRecord
from bridge.core.shelving import OFFLOADED
from bridge.core.situation import Above, Action, Situation, Step
from bridge.flight import Flights
from bridge.instances import Instances
from bridge.lost_resizes import LostResizes
from bridge.quarantine import Quarantine
from bridge.requests import Requests, rpc
from bridge.showing import Showing, noted
from proto import streams, subjects
from proto.errors import FaultCode, Refused
from proto.jetstream import JetStream
from proto.messages import Fault, Rpc
from proto.operations import Verb
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

HEALING = "healing"  # who asked, where an operator would be named
QUIET = frozenset({Action.QUARANTINE, Action.FORGET, Action.RECORD})  # nothing that a tenant sees
FailBuild = Callable[[Rpc, Fault], Awaitable[None]]


class Repairs:
    """One owned site. ``fail_build`` ends a lost build or unshelve above."""

    def __init__(
        self,
        site: str,
        host: str,
        road: JetStream,
        instances: Instances,
        flights: Flights,
        quarantine: Quarantine,
        requests: Requests,
        showing: Showing,
        lost_resizes: LostResizes,
        policies: Policies,
        fail_build: FailBuild,
    ) -> None:
        """``host``: one of the site's, for what is on none of them."""
        self._site = site
        self._host = host
        self._road = road
        self._instances = instances
        self._flights = flights
        self._quarantine = quarantine
        self._requests = requests
        self._showing = showing
        self._lost_resizes = lost_resizes
        self._policies = policies
        self._fail_build = fail_build

    async def busy(self, uuid: str) -> bool:
        """Whether an RPC of the instance is under way or waits in INTAKE."""
        if self._flights.get(uuid) is not None:
            return True
        return await self._road.count(streams.intake(self._site).name, subjects.intake(self._site, uuid)) > 0

    async def carry_out(self, now: Situation, step: Step) -> None:
        """Do one step, unless something is under way for the instance by now."""
        if step.action in (Action.NOTHING, Action.WAIT) or await self.busy(now.uuid):
            return
        level = logging.INFO if step.action in QUIET else logging.WARNING
        LOG.log(level, "site=%s instance=%s %s: %s", self._site, now.uuid, step.action, step.why)
        host = now.above.host if now.above is not None and now.above.ours and now.above.host else self._host
        match step.action:
            case Action.DELETE | Action.DELETE_LEFT:
                await self._requests.delete(host, now.uuid)
            case Action.RECLAIM:
                await self._requests.reclaim(host, now.uuid)
            case Action.OFFLOAD:
                await self._requests.offload(host, now.uuid)
            case Action.FORGET:
                await self.drop_if(now.uuid, lambda record: record == now.record)
            case Action.RECORD:
                await self._record(now)
            case Action.FAULT_BUILD:
                await self._fault_build(now, host)
            case Action.QUARANTINE:
                await self._isolate(now, step.why)
            case Action.DELETE_COPY:
                await self._delete_copy(now)
            case _ if now.above is not None:
                await self._mend_above(now, now.above, step)

    async def _mend_above(self, now: Situation, above: Above, step: Step) -> None:
        match step.action:
            case Action.ASK_AGAIN:
                if not await self._requests.again(now):
                    await self._showing.show_site(now, above)
            case Action.SHOW_SITE:
                await self._showing.show_site(now, above)
            case Action.END_RESIZE:
                await self._lost_resizes.end(now, above)
            case Action.ENFORCE:
                await self._requests.enforce(above)
            case Action.REBUILD:
                await self._requests.rebuild(above)
            case Action.MISSING:
                await self._showing.show_missing(now, above, step.why)
            case Action.RESTORED:
                await self._showing.show_restored(now, above, step.why)

    async def drop_if(self, uuid: str, condition: Callable[[InstanceRecord], bool]) -> None:
        """Drop a record if the condition holds and no RPC can come back for it."""
        if await self.busy(uuid):
            return
        async with self._instances.lock(uuid):
            record = self._instances.get(uuid)
            if record is not None and condition(record):
                await self._instances.drop(uuid)
        self._instances.forget_lock(uuid)

    # -- records ---------------------------------------------------------------------------------------------------

    async def _record(self, now: Situation) -> None:
        """Have the record say what the site has, unless something changed it meanwhile."""
        assert now.server is not None
        async with self._instances.lock(now.uuid):
            record = self._instances.get(now.uuid)
            if record == now.record:
                known = record if record is not None and record.deleted_at is None else planner.adopted(now.uuid, 0)
                generation = max(now.server.generation, record.generation if record is not None else 0)
                known = msgspec.structs.replace(known, generation=generation, created=now.server.generation)
                await self._instances.put(noted(known, now.server))

    async def _fault_build(self, now: Situation, host: str) -> None:
        fault = Fault(FaultCode.SITE_FAULT, "the build was interrupted and nothing of it is in the site")
        unshelve = now.above is not None and now.above.vm_state == OFFLOADED
        await self._fail_build(rpc(host, now.uuid, Verb.UNSHELVE if unshelve else Verb.CREATE), fault)
        await self.drop_if(now.uuid, lambda record: record == now.record)

    # -- what nobody above has -------------------------------------------------------------------------------------

    async def _isolate(self, now: Situation, why: str) -> None:
        """Keep a server for the operator; its record goes with it, so that nothing it does is shown above."""
        entry = await self._quarantine.take(now, why)
        if now.above is None or not now.above.ours:
            await self.drop_if(now.uuid, lambda record: record == now.record)
            if self._policies.orphans == "stop" and not entry.stopped:
                await self._stop(now.uuid, entry.server.server_id)
                await self._quarantine.put(msgspec.structs.replace(entry, stopped=True))

    async def _stop(self, uuid: str, server_id: str) -> None:
        try:
            await self._quarantine.act(QueryName.SERVER_STOP, uuid, server_id, HEALING)
        except Refused as error:
            LOG.warning("site=%s server=%s in quarantine is not stopped: %s", self._site, server_id, error)

    async def _delete_copy(self, now: Situation) -> None:
        """Delete the former server of an instance that is elsewhere by policy; nothing above is touched."""
        assert now.server is not None
        await self.drop_if(now.uuid, lambda record: record == now.record)
        await self._quarantine.act(QueryName.SERVER_PURGE, now.uuid, now.server.server.server_id, HEALING)
