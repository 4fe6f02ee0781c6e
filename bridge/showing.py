"""What healing shows above of an instance, and how its record follows. Every method may be repeated."""

import logging
import time
from typing import Any

import msgspec

from bridge.core import planner, vendor
from bridge.core.records import InstanceRecord
from bridge.core.situation import Above, Situation
from bridge.edge.nova_conductor import NovaConductor, admin_context, request_context
from bridge.instances import Instances
from bridge.quarantine import Quarantine
from proto.errors import FaultCode, Stale
from proto.messages import CensusEntry, Fault

LOG = logging.getLogger(__name__)

LOST = "the request was lost on its way to the site; the server is shown as it is there"


class Showing:
    """One owned site. What began above since the look that it is about comes first: then nothing is shown."""

    def __init__(self, site: str, instances: Instances, conductor: NovaConductor, quarantine: Quarantine) -> None:
        self._site = site
        self._instances = instances
        self._conductor = conductor
        self._quarantine = quarantine

    async def show_site(self, now: Situation, above: Above) -> None:
        """Show what the site has, and settle the record with it."""
        if above.task_state is not None or above.vm_state in vendor.OVERWRITTEN | {"error"}:
            try:
                await self._save_site(now, above)
            except Stale as error:
                LOG.info("instance=%s changed meanwhile: %s", now.uuid, error)
                return
        await self.settle(now)

    async def _save_site(self, now: Situation, above: Above) -> None:
        server = now.server.server if now.server is not None else None
        shown = vendor.ending(above.task_state, server) if server is not None else None
        changes = {"task_state": None, **(shown.changes if shown is not None else {})}
        context = admin_context()
        row = await self._conductor.save_instance(context, now.uuid, changes, [above.task_state], [above.vm_state])
        if shown is not None and shown.fault is not None:
            await self._conductor.create_fault(context, now.uuid, row["host"] or self._site, shown.fault)
        pending = now.record.pending if now.record is not None else None
        if pending is not None and above.task_state is not None:
            operation = planner.row_of(pending)
            done = server is not None and server.vm_state in operation.settles_in
            context = request_context(pending.request_id, None, None, is_admin=True)
            error = None if done else LOST
            await self._conductor.event_finish(context, now.uuid, operation.event, row["host"], error=error)

    async def show_missing(self, now: Situation, above: Above, why: str) -> None:
        """Show that the server is gone. Its record remembers, so that it is shown again when it is seen again."""
        if not await self._show_error(above, Fault(FaultCode.MISSING, f"missing at site {self._site}: {why}")):
            return
        async with self._instances.lock(now.uuid):
            record = self._instances.get(now.uuid)
            if record == now.record:
                known = record or planner.adopted(now.uuid, 0)
                await self._instances.put(msgspec.structs.replace(known, missing_since=time.time()))

    async def show_restored(self, now: Situation, above: Above, why: str) -> None:
        """Show that only the operator can tell which is right; the tombstone stays as long as the server is there."""
        fault = Fault(FaultCode.CONFLICT, f"{why}; delete it, or have it adopted if it is still wanted")
        if await self._show_error(above, fault) and now.server is not None:
            await self._quarantine.take(now, why)

    async def _show_error(self, above: Above, fault: Fault) -> bool:
        """Show an instance in ERROR; False if something began with it meanwhile."""
        context = admin_context()
        changes: dict[str, Any] = {"vm_state": "error", "task_state": None, "power_state": 0}
        await self._conductor.create_fault(context, above.uuid, above.host or self._site, fault)
        try:
            await self._conductor.save_instance(context, above.uuid, changes, [None], [above.vm_state])
        except Stale as error:
            LOG.info("instance=%s changed meanwhile: %s", above.uuid, error)
            return False
        return True

    async def settle(self, now: Situation) -> None:
        """Settle the record that was seen; what has changed since is left."""
        async with self._instances.lock(now.uuid):
            record, seen = self._instances.get(now.uuid), now.record
            if record is not None and seen is not None and record.pending == seen.pending:
                await self._instances.put(noted(planner.settled(record), now.server))
            elif record is None and now.server is not None:
                await self._instances.put(noted(planner.adopted(now.uuid, now.server.generation), now.server))


def noted(record: InstanceRecord, seen: CensusEntry | None) -> InstanceRecord:
    """Return the record with what a census saw; a server on its way keeps the state that was seen before."""
    if seen is None:
        return record
    server = seen.server
    settled = server.task_state is None
    return msgspec.structs.replace(
        record,
        server_id=server.server_id,
        vm_state=server.vm_state if settled else record.vm_state,
        power_state=server.power_state if settled else record.power_state,
        missing_since=None,
    )
