"""INTAKE -> plan -> record -> publish: one ordered worker per instance, the sequencer of everything a site does."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass, field

from bridge.awaited import AwaitedCalls
from bridge.boot import Boot, Prepared
from bridge.changes import Changes
from bridge.core import planner
from bridge.core.planner import Step
from bridge.core.records import InstanceRecord
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_objects import timestamp
from bridge.flight import End, Flight, Flights
from bridge.instances import Instances
from bridge.network_info import NetworkInfo
from bridge.owner import Ownership
from bridge.publisher import Publisher, Superseded
from bridge.removal import Removal
from bridge.window import Window
from proto import codec, logs, streams, subjects, tracing, waits
from proto.errors import FaultCode, Malformed, Refused, Stale, Unavailable
from proto.jetstream import Delivery, JetStream, Pull
from proto.messages import Fault, Rpc
from proto.operations import BY_METHOD, Finish, Leaves, Operation, Verb

LOG = logging.getLogger(__name__)

FETCH_BATCH = 100
FETCH_WAIT = 5.0  # s
MAX_RETRY_WAIT = 30.0  # s between two tries of one RPC while something above is away
BUG_TRIES = 3
TERMINATE = "terminate_instance"
NOT_DONE = Fault(FaultCode.REJECTED, "something else came before it")


@dataclass(slots=True)
class _Queue:
    """The waiting RPCs of one instance, oldest first; the first one is under way."""

    waiting: deque[tuple[Delivery, Flight]] = field(default_factory=deque)


class Commands:
    """The sequencer of one owned site."""

    def __init__(
        self,
        ownership: Ownership,
        road: JetStream,
        instances: Instances,
        flights: Flights,
        publisher: Publisher,
        conductor: NovaConductor,
        boot: Boot,
        removal: Removal,
        network_info: NetworkInfo,
        changes: Changes,
        awaited: AwaitedCalls,
    ) -> None:
        self._ownership = ownership
        self._road = road
        self._instances = instances
        self._flights = flights
        self._publisher = publisher
        self._conductor = conductor
        self._boot = boot
        self._removal = removal
        self._network_info = network_info
        self._changes = changes
        self._awaited = awaited
        self._queues: dict[str, _Queue] = {}
        self._window = Window(streams.SITE_WINDOW)

    async def run(self, pull: Pull) -> None:
        """Take RPCs from INTAKE until cancelled."""
        async with asyncio.TaskGroup() as workers:
            while True:
                try:
                    deliveries = await pull.fetch(FETCH_BATCH, FETCH_WAIT)
                except Unavailable as error:
                    LOG.debug("site=%s intake: %s", self._ownership.site, error)
                    await asyncio.sleep(error.retry_after)
                    continue
                for delivery in deliveries:
                    await self._enqueue(delivery, workers)

    async def _enqueue(self, delivery: Delivery, workers: asyncio.TaskGroup) -> None:
        try:
            rpc = codec.decode(delivery.data, Rpc)
        except Malformed as error:
            await bury(self._road, self._ownership.site, delivery, str(error))
            return
        queue = self._queues.get(rpc.uuid)
        if queue is None:
            queue = self._queues[rpc.uuid] = _Queue()
            queue.waiting.append((delivery, Flight(rpc)))
            workers.create_task(self._work(rpc.uuid, queue), name=f"instance {rpc.uuid}")
            return
        if await self._repeated(queue, delivery, rpc):
            return
        # No await between the look and the append: the worker removes a queue that is empty.
        cancelled = _supersede(queue) if rpc.method == TERMINATE else []
        queue.waiting.append((delivery, Flight(rpc)))
        for waiting, flight in cancelled:
            LOG.info("instance=%s %s cancelled by its delete", flight.rpc.uuid, flight.rpc.method)
            if flight.rpc.args.get("image_id"):
                workers.create_task(self._cancelled(waiting, flight.rpc), name=f"cancelled {flight.rpc.uuid}")
            else:
                await acknowledge(waiting)

    async def _cancelled(self, delivery: Delivery, rpc: Rpc) -> None:
        """Delete the image above that will never have its content; that it is left behind is no reason to wait."""
        try:
            await self._changes.discard(rpc)
        except (Unavailable, Refused) as error:
            LOG.warning("instance=%s the image of its cancelled %s stays: %s", rpc.uuid, rpc.method, error)
        await acknowledge(delivery)

    async def _repeated(self, queue: _Queue, delivery: Delivery, rpc: Rpc) -> bool:
        """Whether an RPC is in the queue already; a later delivery of the same message takes the place of the first."""
        for number, (known, flight) in enumerate(queue.waiting):
            if flight.rpc.rpc_id != rpc.rpc_id:
                continue
            if known.sequence == delivery.sequence:
                queue.waiting[number] = (delivery, flight)
            else:
                await acknowledge(delivery)  # stored twice: one message is enough
            return True
        return False

    async def _work(self, uuid: str, queue: _Queue) -> None:
        while queue.waiting:
            delivery, flight = queue.waiting[0]
            self._flights.begin(flight)
            try:
                work = logs.Work(self._ownership.site, str(flight.rpc.context.get("request_id") or ""), uuid)
                span = tracing.span("plan", method=flight.rpc.method, instance=uuid)
                with logs.about(work), tracing.continued(delivery.headers), span:
                    await self._until_done(flight, delivery)
                self._awaited.ended(flight.rpc, NOT_DONE)
                await acknowledge(queue.waiting[0][0])
            finally:
                self._flights.finish(flight)
            queue.waiting.popleft()
        del self._queues[uuid]
        self._instances.forget_lock(uuid)

    async def _until_done(self, flight: Flight, delivery: Delivery) -> None:
        """Carry one RPC out, trying again for as long as something above is away; a bug of ours gets BUG_TRIES."""
        wait, bugs = 0.5, 0
        while True:
            try:
                if flight.superseded.is_set() or bugs == BUG_TRIES:
                    await self._give_up(flight, delivery, bugs == BUG_TRIES)
                else:
                    await self._carry_out(flight)
                return
            except Superseded:
                continue
            except (OwnershipLost, Conflict):
                raise  # another bridge has the site: nothing is ours to acknowledge any more
            except Stale as error:
                LOG.info("%s is pointless now: %s", flight.rpc.method, error)
                await self._settle(flight)
                return
            except Unavailable as error:
                LOG.warning("%s waits: %s", flight.rpc.method, error)
                wait = min(MAX_RETRY_WAIT, max(wait * 2, error.retry_after))
            except Exception:
                LOG.exception("%s cannot be carried out", flight.rpc.method)
                bugs = min(bugs + 1, BUG_TRIES)
            await _pause(flight, wait)

    async def _carry_out(self, flight: Flight) -> None:
        rpc = flight.rpc
        step = planner.step(rpc, self._instances.get(rpc.uuid))
        if step is Step.DONE:
            return
        if step is Step.EVENT:
            await self._network_info.refresh(rpc)
            return
        if step is Step.UNSUPPORTED:
            await self._refuse(rpc, None, Fault(FaultCode.UNSUPPORTED, f"{rpc.method} is not supported by this cloud"))
            return
        row = BY_METHOD[rpc.method]
        if row.verb is Verb.DELETE:
            await self._delete(flight, step, row)
        elif row.verb is Verb.CREATE:
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
        if step is Step.PLAN and not flight.started:
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
        except Stale:
            await self._changes.discard(flight.rpc)
            raise
        if ours:  # else the observation ended it above
            self._ownership.check()
            if row.finish is Finish.WORKER:
                fault, result = await self._changes.end(flight, row, fault)
                await self._removal.leave_networks(flight.rpc.uuid, flight.networks_gone)
            elif fault is not None:
                await self._refuse(flight.rpc, row, fault)
            await self._settle(flight)
        self._awaited.ended(flight.rpc, fault, result)

    async def _changed(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        """Have the site carry it out; the end above needs no place in the site's window."""
        if flight.ended.done():  # something above was away while the end was saved
            return flight.ended.result()
        rpc = flight.rpc
        await self._enter(flight)
        try:
            async with self._instances.lock(rpc.uuid):
                if step is Step.PLAN:
                    await self._check_fits(rpc, row)
                await self._start_event(flight, step, row)
                content = await self._changes.begin(rpc, row.verb, again=step is Step.RESUME)
                flight.image_id = content.image.image_id if content is not None and content.image is not None else None
                record = await self._begin(flight, step, row)
                flight.announced.set()
                await self._publisher.publish(flight, record, content, again=step is Step.RESUME)
            return await self._publisher.outcome(flight, content)
        finally:
            self._window.leave()

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
            await self._clean_up(flight, known, again=True)
            return
        await self._enter(flight)
        try:
            end, fault = await self._created(flight, step, row)
        except Refused as error:
            end, fault = End.FAILED, Fault(error.code, error.message)
        finally:
            self._window.leave()
        if end is End.FAILED and fault is not None:
            await self._failed_create(flight, fault)

    async def _created(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        rpc = flight.rpc
        on_its_way = time.time() - rpc.received_at
        with waits.account() as account:
            async with self._instances.lock(rpc.uuid):
                await self._start_event(flight, step, row)
                await self._boot.claim(rpc)
                prepared = await self._boot.prepare(rpc)
                flight.image_id = prepared.server.image.image_id if prepared.server.image else None
                record = await self._begin(flight, step, row)
                await self._publisher.publish(flight, record, prepared.server, again=step is Step.RESUME)
        flight.own = on_its_way + account.own
        await self._announce(flight, prepared)
        return await self._publisher.outcome(flight, prepared.server)

    async def _announce(self, flight: Flight, prepared: Prepared) -> None:
        await self._boot.announce(flight.rpc, prepared)
        flight.announced.set()

    async def _failed_create(self, flight: Flight, fault: Fault) -> None:
        """Nothing may stay in the site before the boot ends above, unless the site is silent and cannot say."""
        rpc = flight.rpc
        record = self._instances.get(rpc.uuid)
        if record is None or record.pending is None or record.pending.rpc_id != rpc.rpc_id:
            await self._boot.fail(rpc, fault)  # refused before anything was published
            return
        if fault.code is FaultCode.EXPIRED:
            await self._boot.keep_in_error(rpc, fault)
            await self._settle(flight)
            return
        async with self._instances.lock(rpc.uuid):
            record = self._instances.get(rpc.uuid) or record
            if record.pending is not None and not record.pending.cleanup:
                await self._publisher.withdraw(rpc.uuid)  # the refusal may have come before its acknowledgement
                record = planner.cleaning(record, fault, time.time())
                await self._instances.put(record)
        await self._clean_up(flight, record, again=False)

    async def _clean_up(self, flight: Flight, record: InstanceRecord, again: bool) -> None:
        pending = record.pending
        assert pending is not None and pending.fault is not None
        flight.next_command()
        await self._publisher.publish(flight, record, None, again=again)
        await self._publisher.outcome(flight, None)
        await self._removal.leave_networks(flight.rpc.uuid, flight.networks_gone)
        self._ownership.check()
        await self._boot.fail(flight.rpc, pending.fault)
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
            await self._settle(flight)
            return
        await self._removal.finish(rpc, timestamp(time.time()))
        await self._removal.leave_networks(rpc.uuid, flight.networks_gone)
        await self._bury(rpc.uuid)

    async def _give_up(self, flight: Flight, delivery: Delivery, bug: bool) -> None:
        """End above what is under way: a delete supersedes it and cleans the site, or we met a bug of ours."""
        rpc = flight.rpc
        await self._publisher.withdraw(rpc.uuid)
        if bug:
            fault = Fault(FaultCode.BUG, "Cascade met a bug of its own: see the bridge's log")
            await self._refuse(rpc, BY_METHOD.get(rpc.method), fault)
            await self._settle(flight)
            await bury(self._road, self._ownership.site, delivery, fault.message)
            return
        row = BY_METHOD.get(rpc.method)
        await self._changes.abandon(rpc)
        if row is not None:
            reason = "the instance was deleted meanwhile"
            await self._conductor.event_finish(rpc.context, rpc.uuid, row.event, rpc.host, error=reason)

    async def _refuse(self, rpc: Rpc, row: Operation | None, fault: Fault) -> None:
        """End an operation above as Nova would: no image left, fault, no task, event with an error."""
        await self._changes.discard(rpc)
        event = row.event if row is not None else f"compute_{rpc.method}"
        changes: dict[str, str | None] = {"task_state": None}
        if row is not None and row.refusal_leaves is Leaves.ERROR:
            changes["vm_state"] = "error"
        try:
            await self._conductor.create_fault(
                rpc.context, rpc.uuid, rpc.host, 500, fault.message[:255], f"{fault.code}: {fault.message}"
            )
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, row.begun if row else None)
        except Stale as error:
            LOG.info("%s is not shown as refused: %s", rpc.method, error)
        if row is None:
            await self._conductor.event_start(rpc.context, rpc.uuid, event, rpc.host)
        await self._conductor.event_finish(rpc.context, rpc.uuid, event, rpc.host, error=fault.message)

    async def _settle(self, flight: Flight) -> None:
        """Nothing of this RPC is pending any more."""
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


def _supersede(queue: _Queue) -> list[tuple[Delivery, Flight]]:
    """A delete came: give up what is under way, unless it is a delete too, and return what waited and is cancelled."""
    under_way, *cancelled = queue.waiting
    queue.waiting = deque([under_way])
    if under_way[1].rpc.method != TERMINATE:
        under_way[1].superseded.set()
    return cancelled


async def _pause(flight: Flight, wait: float) -> None:
    """Wait before the next try; a delete that comes meanwhile ends the wait."""
    if flight.superseded.is_set():
        await asyncio.sleep(wait)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait):
            await flight.superseded.wait()


async def acknowledge(delivery: Delivery) -> None:
    """The outcome is recorded, so an acknowledgement that does not get through only costs a redelivery."""
    try:
        await delivery.ack()
    except Unavailable as error:
        LOG.warning("%s", error)


async def bury(road: JetStream, site: str, delivery: Delivery, reason: str) -> None:
    """Copy a message nobody can carry out to DEAD, then take it out of its stream."""
    LOG.error("site=%s dead letter from %s: %s", site, delivery.subject, reason)
    headers = {subjects.HEADER_DEAD_REASON: reason[:500], subjects.HEADER_DEAD_SUBJECT: delivery.subject}
    await road.publish(subjects.dead(site), delivery.data, headers=headers)
    await delivery.term()
