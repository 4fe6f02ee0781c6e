"""INTAKE -> plan -> record -> publish: one ordered worker per instance, the sequencer of everything a site does."""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field

from bridge.awaited import AwaitedCalls
from bridge.changes import Changes
from bridge.deliveries import acknowledge, bury
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.flight import Flight, Flights
from bridge.instances import Instances
from bridge.operations import BUG, Operations
from bridge.owner import Ownership
from bridge.publisher import Superseded
from bridge.stages import Stages
from proto import codec, logs, tracing
from proto.errors import CascadeError, FaultCode, Malformed, Stale, Unavailable
from proto.jetstream import Delivery, JetStream, Pull
from proto.messages import Fault, Rpc

LOG = logging.getLogger(__name__)

FETCH_BATCH = 100
FETCH_WAIT = 5.0  # s
MAX_RETRY_WAIT = 30.0  # s between two tries of one RPC while something above is away
BUG_TRIES = 3
TERMINATE = "terminate_instance"
SOFT_DELETE = "soft_delete_instance"
IMAGING = frozenset({"snapshot_instance", "backup_instance"})  # may take hours, and a soft delete waits for all else
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
        stages: Stages,
        operations: Operations,
        changes: Changes,
        awaited: AwaitedCalls,
    ) -> None:
        self._ownership = ownership
        self._road = road
        self._instances = instances
        self._flights = flights
        self._stages = stages
        self._operations = operations
        self._changes = changes
        self._awaited = awaited
        self._queues: dict[str, _Queue] = {}

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
        under_way = queue.waiting[0][1]
        if rpc.method == SOFT_DELETE and under_way.rpc.method in IMAGING:
            under_way.superseded.set()
        queue.waiting.append((delivery, Flight(rpc)))
        for waiting, flight in cancelled:
            LOG.info("instance=%s %s cancelled by its delete", flight.rpc.uuid, flight.rpc.method)
            self._awaited.ended(flight.rpc, NOT_DONE)
            workers.create_task(self._cancelled(waiting, flight.rpc), name=f"cancelled {flight.rpc.uuid}")

    async def _cancelled(self, delivery: Delivery, rpc: Rpc) -> None:
        """Clean up above behind an RPC that a delete made pointless; what is left behind is no reason to wait."""
        try:
            await self._changes.abandon(rpc)
        except (CascadeError, OwnershipLost) as error:
            LOG.warning("instance=%s what its cancelled %s left above stays: %s", rpc.uuid, rpc.method, error)
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
                if bugs == BUG_TRIES:
                    await self._operations.give_up(flight, bug=True)
                    await bury(self._road, self._ownership.site, delivery, BUG.message)
                elif flight.superseded.is_set():
                    await self._operations.give_up(flight, bug=False)
                else:
                    await self._operations.carry_out(flight)
                return
            except Superseded:
                continue
            except (OwnershipLost, Conflict):
                raise  # another bridge has the site: nothing is ours to acknowledge any more
            except Stale as error:
                LOG.info("%s is pointless now: %s", flight.rpc.method, error)
                await self._stages.settle(flight)
                return
            except Unavailable as error:
                LOG.warning("%s waits: %s", flight.rpc.method, error)
                wait = min(MAX_RETRY_WAIT, max(wait * 2, error.retry_after))
            except Exception:
                LOG.exception("%s cannot be carried out", flight.rpc.method)
                bugs = min(bugs + 1, BUG_TRIES)
            await _pause(flight, wait)


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
