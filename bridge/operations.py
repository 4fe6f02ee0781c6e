"""What each kind of operation does above, from its plan to its end; the sequencer calls it for one RPC at a time."""

import asyncio
import logging
import time

from bridge.awaited import AwaitedCalls
from bridge.boot import Boot, Prepared
from bridge.changes import Changes
from bridge.core import planner
from bridge.core.planner import Step
from bridge.core.records import InstanceRecord
from bridge.core.shelving import event_of, follows
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_objects import timestamp
from bridge.flight import End, Flight
from bridge.instances import Instances
from bridge.network_info import NetworkInfo
from bridge.owner import Ownership
from bridge.publisher import Publisher, Superseded
from bridge.removal import Removal
from bridge.unshelving import Unshelving
from bridge.window import Window
from proto import streams, waits
from proto.errors import FaultCode, Refused, Stale, Unavailable
from proto.messages import Fault, Rpc
from proto.operations import BY_METHOD, Finish, Leaves, Mode, Operation, Verb
from proto.specs import ChangeSpec

LOG = logging.getLogger(__name__)

BUG = Fault(FaultCode.BUG, "Cascade met a bug of its own: see the bridge's log")


class Operations:
    """The operations on instances of one owned site. Each may be begun again after a crash, by another bridge too."""

    def __init__(
        self,
        ownership: Ownership,
        instances: Instances,
        publisher: Publisher,
        conductor: NovaConductor,
        boot: Boot,
        unshelving: Unshelving,
        removal: Removal,
        network_info: NetworkInfo,
        changes: Changes,
        awaited: AwaitedCalls,
    ) -> None:
        self._ownership = ownership
        self._instances = instances
        self._publisher = publisher
        self._conductor = conductor
        self._boot = boot
        self._unshelving = unshelving
        self._removal = removal
        self._network_info = network_info
        self._changes = changes
        self._awaited = awaited
        self._window = Window(streams.SITE_WINDOW)

    async def carry_out(self, flight: Flight) -> None:
        """Do what an RPC asks, and return once its outcome is recorded above.

        Raises Superseded when a delete comes meanwhile, Stale when it is pointless, Unavailable to be tried again.
        """
        rpc = flight.rpc
        step = planner.step(rpc, self._instances.get(rpc.uuid))
        if step is Step.DONE:
            return
        if step is Step.ADDRESSES:
            await self._network_info.carry_out(rpc)
            return
        if step is Step.UNSUPPORTED:
            await self._refuse(rpc, None, Fault(FaultCode.UNSUPPORTED, f"{rpc.method} is not supported by this cloud"))
            return
        row = BY_METHOD[rpc.method]
        if row.verb is Verb.DELETE:
            await self._delete(flight, step, row)
        elif row.verb in (Verb.CREATE, Verb.UNSHELVE):
            await self._create(flight, step, row)
        else:
            await self._change(flight, step, row)

    async def _begin(self, flight: Flight, step: Step, row: Operation) -> InstanceRecord:
        """Record the RPC's command as pending, or return what an earlier try recorded."""
        known = self._instances.get(flight.rpc.uuid)
        if step is Step.RESUME and known is not None:
            return known
        record = planner.begun(flight.rpc, row, known, time.time())
        await self._instances.put(record)
        return record

    async def _enter(self, flight: Flight) -> None:
        """Wait for a place in the site's window; Superseded if a delete comes first."""
        enter = asyncio.ensure_future(self._window.enter(str(flight.rpc.context.get("project_id"))))
        superseded = asyncio.ensure_future(flight.superseded.wait())
        try:
            await asyncio.wait({enter, superseded}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            superseded.cancel()
            if not enter.done():
                enter.cancel()
                await asyncio.wait({enter})
        if enter.cancelled():
            raise Superseded

    async def _start_event(self, flight: Flight, step: Step, row: Operation) -> None:
        """Begin the action event once: Nova would show every further begin as an event of its own."""
        if step is Step.PLAN and not flight.started and not follows(flight.rpc):
            await self._conductor.event_start(flight.rpc.context, flight.rpc.uuid, row.event, flight.rpc.host)
            flight.started = True

    async def _change(self, flight: Flight, step: Step, row: Operation) -> None:
        fault: Fault | None
        result = None
        try:
            _, fault = await self._changed(flight, step, row)
            ours = row.finish is Finish.WORKER or (fault is not None and fault.code is FaultCode.EXPIRED)
        except Refused as error:
            fault, ours = Fault(error.code, error.message), True
        except (OwnershipLost, Conflict):
            raise  # another bridge's to clean up
        except Stale:
            await self._changes.abandon(flight.rpc)
            raise
        if row.verb is Verb.START and fault is None:
            await self._changes.started(flight.rpc)
        if ours:  # else the observation ended it above
            self._ownership.check()
            if row.finish is Finish.WORKER:
                fault, result = await self._changes.end(flight, row, fault)
                await self._removal.leave_networks(flight.rpc.uuid, flight.networks_gone)
            elif fault is not None:
                await self._refuse(flight.rpc, row, fault)
            if row.verb is Verb.SHELVE_OFFLOAD and fault is None:
                await self._bury(flight.rpc.uuid)
            await self.settle(flight)
        self._awaited.ended(flight.rpc, fault, result)

    async def _changed(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        """Have the site carry it out; the end above needs no place in the site's window."""
        rpc = flight.rpc
        if (told := self._told(flight, step)) is not None:
            return told
        if step is Step.PLAN and row.mode is Mode.AWAITED and time.time() > rpc.received_at + (row.expiry or 0):
            raise Refused(FaultCode.EXPIRED, "its caller has given it up")
        await self._enter(flight)
        try:
            async with self._instances.lock(rpc.uuid):
                if step is Step.PLAN:
                    await self._check_fits(rpc, row)
                    await self._begin_life(rpc, row)
                await self._start_event(flight, step, row)
                content, refusal = await self._content(rpc, step, row)
                flight.image_id = content.image.image_id if content is not None and content.image is not None else None
                record = await self._begin(flight, step, row)
                flight.announced.set()
                flight.published = True
                if refusal is None:
                    await self._publisher.publish(flight, record, content, again=step is Step.RESUME)
            return await self._publisher.outcome(flight, content, refusal)
        finally:
            self._window.leave()

    async def _begin_life(self, rpc: Rpc, row: Operation) -> None:
        """An instance leaves a site, or comes again: a command of its life before, whose ack was lost, must not run."""
        if row.verb in (Verb.SHELVE_OFFLOAD, Verb.UNSHELVE):
            await self._publisher.withdraw(rpc.uuid)

    async def _content(self, rpc: Rpc, step: Step, row: Operation) -> tuple[ChangeSpec | None, Fault | None]:
        """Return what the command carries; what cannot be gathered again says nothing of a command that is out."""
        try:
            return await self._changes.begin(rpc, row.verb, again=step is Step.RESUME), None
        except Refused as error:
            if step is not Step.RESUME:
                raise
            return None, Fault(error.code, error.message)

    def _told(self, flight: Flight, step: Step) -> tuple[End, Fault | None] | None:
        """Return the site's last word if it was heard: by an owner before us, or before something above was away."""
        if flight.ended.done():
            return flight.ended.result()
        record = self._instances.get(flight.rpc.uuid)
        pending = record.pending if record is not None and step is Step.RESUME else None
        if pending is None or not pending.ended:
            return None
        flight.server = pending.server
        return (End.SUCCEEDED if pending.fault is None else End.FAILED), pending.fault

    async def _check_fits(self, rpc: Rpc, row: Operation) -> None:
        """A message that RabbitMQ delivers twice may be long done: it must still fit the instance's task_state."""
        if not rpc.redelivered:
            return
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid)
        if instance is None or instance["task_state"] not in row.begun:
            raise Stale(f"task_state is {instance and instance['task_state']!r}")

    async def _create(self, flight: Flight, step: Step, row: Operation) -> None:
        rpc = flight.rpc
        known = self._instances.get(rpc.uuid)
        if step is Step.RESUME and known is not None and known.pending is not None and known.pending.cleanup:
            await self._clean_up(flight, known, row, again=True)
            return
        if row.finish is Finish.OBSERVATION or (told := self._told(flight, step)) is None:
            told = await self._entered(flight, step, row)
        end, fault = told
        if end is End.FAILED and fault is not None:
            await self._failed_create(flight, row, fault)
        elif row.verb is Verb.UNSHELVE:
            self._ownership.check()
            await self._unshelving.finish(flight)
            await self.settle(flight)

    async def _entered(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        """Have the site make the server, in its turn."""
        await self._enter(flight)
        try:
            return await self._created(flight, step, row)
        except Refused as error:
            return End.FAILED, Fault(error.code, error.message)
        finally:
            self._window.leave()

    def _boot_of(self, row: Operation) -> Boot | Unshelving:
        return self._unshelving if row.verb is Verb.UNSHELVE else self._boot

    async def _created(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        rpc, refusal = flight.rpc, None
        on_its_way = time.time() - rpc.received_at
        with waits.account() as account:
            async with self._instances.lock(rpc.uuid):
                await self._start_event(flight, step, row)
                if step is Step.PLAN:
                    await self._begin_life(rpc, row)
                await self._boot_of(row).claim(rpc)
                try:
                    prepared = await self._boot_of(row).prepare(rpc)
                except Refused as error:
                    if step is not Step.RESUME:
                        raise
                    refusal = Fault(error.code, error.message)
                else:
                    flight.image_id = prepared.server.image.image_id if prepared.server.image else None
                    record = await self._begin(flight, step, row)
                    await self._publisher.publish(flight, record, prepared.server, again=step is Step.RESUME)
        if refusal is not None:  # the site may have made it all the same
            flight.published = True
            flight.announced.set()
            return await self._publisher.outcome(flight, None, refusal)
        flight.own = on_its_way + account.own
        await self._announce(flight, prepared)
        return await self._publisher.outcome(flight, prepared.server)

    async def _announce(self, flight: Flight, prepared: Prepared) -> None:
        await self._boot.announce(flight.rpc, prepared)
        flight.announced.set()

    async def fail_lost(self, rpc: Rpc, fault: Fault) -> None:
        """End above a boot or an unshelve that was lost, and of which nothing is in the site."""
        await self._publisher.withdraw(rpc.uuid)  # INTAKE may be lost alone: nothing may come of it later
        await self._boot_of(BY_METHOD[rpc.method]).fail(rpc, fault)

    async def _failed_create(self, flight: Flight, row: Operation, fault: Fault) -> None:
        """Nothing may stay in the site before the boot ends above, unless the site is silent and cannot say."""
        rpc = flight.rpc
        record = self._instances.get(rpc.uuid)
        if record is None or record.pending is None or record.pending.rpc_id != rpc.rpc_id:
            await self._boot_of(row).fail(rpc, fault)  # refused before anything was published
            return
        if fault.code is FaultCode.EXPIRED and row.verb is Verb.CREATE:
            await self._boot.keep_in_error(rpc, fault)
            await self.settle(flight)
            return
        async with self._instances.lock(rpc.uuid):
            record = self._instances.get(rpc.uuid) or record
            if record.pending is not None and not record.pending.cleanup:
                await self._publisher.withdraw(rpc.uuid)  # the refusal may have come before its acknowledgement
                record = planner.cleaning(record, fault, time.time())
                await self._instances.put(record)
        await self._clean_up(flight, record, row, again=False)

    async def _clean_up(self, flight: Flight, record: InstanceRecord, row: Operation, again: bool) -> None:
        pending = record.pending
        assert pending is not None and pending.fault is not None
        flight.next_command()
        await self._publisher.publish(flight, record, None, again=again)
        await self._publisher.outcome(flight, None)
        await self._removal.leave_networks(flight.rpc.uuid, flight.networks_gone)
        self._ownership.check()
        await self._boot_of(row).fail(flight.rpc, pending.fault)
        await self._bury(flight.rpc.uuid)  # it remembers the RPC until INTAKE no longer has it

    async def _delete(self, flight: Flight, step: Step, row: Operation) -> None:
        rpc = flight.rpc
        async with self._instances.lock(rpc.uuid):
            if step is Step.PLAN:
                await self._publisher.withdraw(rpc.uuid)
            await self._start_event(flight, step, row)
            record = await self._begin(flight, step, row)
            await self._publisher.publish(flight, record, None, again=step is Step.RESUME)
        end, fault = await self._publisher.outcome(flight, None)
        if end is End.FAILED and fault is not None:
            await self._refuse(rpc, row, fault)
            await self.settle(flight)
            return
        await self._removal.finish(rpc, timestamp(time.time()))
        await self._removal.leave_networks(rpc.uuid, flight.networks_gone)
        await self._bury(rpc.uuid)

    async def give_up(self, flight: Flight, bug: bool) -> None:
        """End above what is under way: a delete supersedes it and cleans the site, or we met a bug of ours."""
        rpc = flight.rpc
        await self._publisher.withdraw(rpc.uuid)
        if bug:
            await self._end_by_bug(flight, BY_METHOD.get(rpc.method), BUG)
            await self.settle(flight)
            return
        row = BY_METHOD.get(rpc.method)
        await self._changes.abandon(rpc)
        if row is not None:
            reason = "the instance was deleted meanwhile"
            await self._conductor.event_finish(rpc.context, rpc.uuid, event_of(rpc), rpc.host, error=reason)

    async def _end_by_bug(self, flight: Flight, row: Operation | None, fault: Fault) -> None:
        """End it above as far as that goes: whatever is met here must not keep the instance's queue for ever."""
        try:
            if row is not None and row.verb is Verb.UNSHELVE and self._runs(flight.rpc):
                await self._conductor.create_fault(flight.rpc.context, flight.rpc.uuid, flight.rpc.host, fault)
            elif row is not None and row.verb is Verb.UNSHELVE:
                await self._failed_create(flight, row, fault)
            elif row is not None and row.finish is Finish.WORKER:
                await self._changes.end(flight, row, fault)
            else:
                await self._refuse(flight.rpc, row, fault)
        except (OwnershipLost, Conflict, Unavailable):
            raise
        except Exception:
            LOG.exception("%s cannot even be ended", flight.rpc.method)

    def _runs(self, rpc: Rpc) -> bool:
        """Whether the site has made the server: it is not deleted for what goes wrong above; healing shows it."""
        record = self._instances.get(rpc.uuid)
        pending = record.pending if record is not None else None
        return pending is not None and pending.rpc_id == rpc.rpc_id and pending.ended and pending.fault is None

    async def _refuse(self, rpc: Rpc, row: Operation | None, fault: Fault) -> None:
        """End an operation above as Nova would: no image left, fault, no task, event with an error."""
        await self._changes.discard(rpc)
        event = row.event if row is not None else f"compute_{rpc.method}"
        changes: dict[str, str | None] = {"task_state": None}
        if row is not None and row.refusal_leaves is Leaves.ERROR:
            changes["vm_state"] = "error"
        try:
            await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, row.begun if row else None)
        except Stale as error:
            LOG.info("%s is not shown as refused: %s", rpc.method, error)
        if row is None:
            await self._conductor.event_start(rpc.context, rpc.uuid, event, rpc.host)
        await self._conductor.event_finish(rpc.context, rpc.uuid, event, rpc.host, error=fault.message)

    async def settle(self, flight: Flight) -> None:
        """Record that nothing of this RPC is pending any more."""
        async with self._instances.lock(flight.rpc.uuid):
            record = self._instances.get(flight.rpc.uuid)
            if record is not None and record.pending is not None and record.pending.rpc_id == flight.rpc.rpc_id:
                await self._instances.put(planner.settled(record))

    async def _bury(self, uuid: str) -> None:
        """Leave a tombstone: healing drops it once nothing can come of the instance any more."""
        async with self._instances.lock(uuid):
            record = self._instances.get(uuid)
            if record is not None:
                await self._instances.put(planner.tombstone(record, time.time()))
