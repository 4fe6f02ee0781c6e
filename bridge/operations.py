"""What each kind of operation does above, from its plan to its end; the sequencer calls it for one RPC at a time."""

import logging
import time

from bridge.awaited import AwaitedCalls
from bridge.changes import Changes
from bridge.core import planner
from bridge.core.planner import Step
from bridge.core.shelving import event_of
from bridge.creation import Creation
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_objects import timestamp
from bridge.flight import End, Flight
from bridge.instances import Instances
from bridge.network_info import NetworkInfo
from bridge.owner import Ownership
from bridge.publisher import Publisher
from bridge.removal import Removal
from bridge.stages import Stages
from proto.errors import FaultCode, Refused, Stale, Unavailable
from proto.messages import Fault, Rpc
from proto.operations import BY_METHOD, MAKING, Finish, Leaves, Mode, Operation, Repeat, Verb
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
        stages: Stages,
        creation: Creation,
        removal: Removal,
        network_info: NetworkInfo,
        changes: Changes,
        awaited: AwaitedCalls,
    ) -> None:
        self._ownership = ownership
        self._instances = instances
        self._publisher = publisher
        self._conductor = conductor
        self._stages = stages
        self._creation = creation
        self._removal = removal
        self._network_info = network_info
        self._changes = changes
        self._awaited = awaited

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
        elif row.verb in MAKING:
            await self._creation.carry_out(flight, step, row)
        else:
            await self._change(flight, step, row)

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
            if step is Step.RESUME:  # what an earlier try published must not run after this
                await self._publisher.withdraw(flight.rpc.uuid)
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
                await self._stages.bury(flight.rpc.uuid)
            await self._stages.settle(flight)
        self._awaited.ended(flight.rpc, fault, result)

    async def _changed(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        """Have the site carry it out; the end above needs no place in the site's window."""
        rpc = flight.rpc
        told, given_up = self._stages.told(flight, step), self._stages.given_up(rpc)
        if told is not None and not (given_up and row.repeat is Repeat.IMAGE):  # its image cannot come up any more
            return told
        if given_up is not None:
            await self._stages.start_event(flight, step, row)
            raise Refused(given_up.code, given_up.message)
        if step is Step.PLAN and row.mode is Mode.AWAITED and time.time() > rpc.received_at + (row.expiry or 0):
            raise Refused(FaultCode.EXPIRED, "its caller has given it up")
        async with self._stages.turn(flight, row):
            async with self._instances.lock(rpc.uuid):
                if step is Step.PLAN:
                    await self._check_fits(rpc, row)
                    await self._stages.begin_life(rpc, row)
                await self._stages.start_event(flight, step, row)
                content, refusal = await self._content(rpc, step, row)
                flight.image_id = content.image.image_id if content is not None and content.image is not None else None
                record = await self._stages.begin(flight, step, row)
                flight.announced.set()
                flight.published = True
                if refusal is None:
                    await self._publisher.publish(flight, record, content, again=step is Step.RESUME)
            return await self._publisher.outcome(flight, content, refusal)

    async def _content(self, rpc: Rpc, step: Step, row: Operation) -> tuple[ChangeSpec | None, Fault | None]:
        """Return what the command carries; what cannot be gathered again says nothing of a command that is out."""
        try:
            return await self._changes.begin(rpc, row.verb, again=step is Step.RESUME), None
        except Refused as error:
            if step is not Step.RESUME:
                raise
            return None, Fault(error.code, error.message)

    async def _check_fits(self, rpc: Rpc, row: Operation) -> None:
        """A message that RabbitMQ delivers twice may be long done: it must still fit the instance's task_state."""
        if not rpc.redelivered:
            return
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid)
        if instance is None or instance["task_state"] not in row.begun:
            raise Stale(f"task_state is {instance and instance['task_state']!r}")

    async def _delete(self, flight: Flight, step: Step, row: Operation) -> None:
        rpc = flight.rpc
        end, fault = await self._deleted(flight, step, row)
        if end is End.FAILED and fault is not None:
            await self._refuse(rpc, row, fault)
            await self._stages.settle(flight)
            return
        await self._removal.finish(rpc, timestamp(time.time()))
        await self._removal.leave_networks(rpc.uuid, flight.networks_gone)
        await self._stages.bury(rpc.uuid)

    async def _deleted(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        """Have the site delete the server; of one that was given up, its tombstone does when the site is back."""
        async with self._instances.lock(flight.rpc.uuid):
            if step is Step.PLAN:
                await self._publisher.withdraw(flight.rpc.uuid)
            await self._stages.start_event(flight, step, row)
            record = await self._stages.begin(flight, step, row)
            if self._stages.given_up(flight.rpc) is not None:
                return End.GONE, None
            await self._publisher.publish(flight, record, None, again=step is Step.RESUME)
        return await self._publisher.outcome(flight, None)

    async def give_up(self, flight: Flight, bug: bool) -> None:
        """End above what is under way: a delete supersedes it and cleans the site, or we met a bug of ours."""
        rpc = flight.rpc
        await self._publisher.withdraw(rpc.uuid)
        if bug:
            await self._end_by_bug(flight, BY_METHOD.get(rpc.method), BUG)
            await self._stages.settle(flight)
            return
        row = BY_METHOD.get(rpc.method)
        await self._changes.abandon(rpc)
        if row is not None:
            reason = "the instance was deleted meanwhile"
            await self._conductor.event_finish(rpc.context, rpc.uuid, event_of(rpc), rpc.host, error=reason)

    async def _end_by_bug(self, flight: Flight, row: Operation | None, fault: Fault) -> None:
        """End it above as far as that goes: whatever is met here must not keep the instance's queue for ever."""
        try:
            if row is not None and row.verb in MAKING - {Verb.CREATE} and self._runs(flight.rpc):
                await self._conductor.create_fault(flight.rpc.context, flight.rpc.uuid, flight.rpc.host, fault)
            elif row is not None and row.verb in MAKING - {Verb.CREATE}:
                await self._creation.fail(flight, row, fault)
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
