"""EVENTS -> reduce -> save -> record: what a site says becomes what tenants see."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection

import msgspec

from bridge.core import planner
from bridge.core.reconciler import ENFORCED
from bridge.core.records import InstanceRecord, Pending
from bridge.core.reducer import PLAIN, Reduction, Verdict, reduce
from bridge.deliveries import acknowledge, bury
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.edge.nova_conductor import NovaConductor, request_context
from bridge.edge.nova_objects import timestamp
from bridge.flight import End, Flight, Flights
from bridge.instances import Instances
from bridge.owner import Ownership
from bridge.publisher import Publisher
from proto import codec, failpoints, logs, subjects, tracing, waits
from proto.errors import Malformed, Stale, Unavailable
from proto.jetstream import Delivery, JetStream, Pull
from proto.messages import Observation
from proto.operations import Finish, Verb

LOG = logging.getLogger(__name__)

FETCH_BATCH = 200
FETCH_WAIT = 5.0  # s
AT_ONCE = 500  # observations being reduced
NOT_YET = 1.0  # s until an observation that came before its RPC is looked at again
ANNOUNCE_WAIT = 20.0  # s
USES = 3  # tries of an observation that meets a bug
FAILED_WAIT = 5.0  # s between two of them
STRANGERS = 10_000  # remembered at a time


class Observations:
    """One owned site."""

    def __init__(
        self,
        ownership: Ownership,
        road: JetStream,
        instances: Instances,
        flights: Flights,
        publisher: Publisher,
        conductor: NovaConductor,
        hosts: Collection[str],
        hurry: Callable[[], None] = lambda: None,
        enforces: bool = False,
    ) -> None:
        """``hosts``: the site's, above. ``hurry`` has healing look soon: at a server that vanished, and at one that its
        vendor started or stopped where that is not copied (``enforces``).
        """
        self._ownership = ownership
        self._site = ownership.site
        self._road = road
        self._instances = instances
        self._flights = flights
        self._publisher = publisher
        self._conductor = conductor
        self._hosts = hosts
        self._hurry = hurry
        self._enforces = enforces
        self._strangers: set[str] = set()
        self._newest: dict[str, float] = {}  # observed_at of the newest look handled, by instance
        self._failures: Counter[int] = Counter()  # by stream sequence

    async def run(self, pull: Pull) -> None:
        """Take observations until cancelled; those of one instance in order, many instances at once."""
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    deliveries = await pull.fetch(FETCH_BATCH, FETCH_WAIT)
                except Unavailable as error:
                    LOG.debug("site=%s events: %s", self._site, error)
                    await asyncio.sleep(error.retry_after)
                    continue
                for delivery in deliveries:
                    await room.acquire()
                    task = tasks.create_task(self._take(delivery), name=f"observe {delivery.subject}")
                    task.add_done_callback(lambda _: room.release())

    async def _take(self, delivery: Delivery) -> None:
        try:
            seen = self._decode(delivery)
        except Malformed as error:
            await bury(self._road, self._site, delivery, str(error))
            return
        if self._instances.get(seen.uuid) is None:
            self._stranger(seen)
            await acknowledge(delivery)
            return
        try:
            with tracing.continued(delivery.headers), tracing.span("observe", instance=seen.uuid):
                async with self._instances.lock(seen.uuid):
                    with logs.about(self._work(seen)):
                        await self._handle(seen)
            await acknowledge(delivery)
            self._failures.pop(delivery.sequence, None)
        except (OwnershipLost, Conflict):
            raise
        except Unavailable as error:
            LOG.debug("instance=%s observation waits: %s", seen.uuid, error)
            await delivery.nak(error.retry_after)
        except Exception as error:
            LOG.exception("instance=%s observation cannot be used", seen.uuid)
            await self._failed_use(delivery, error)

    async def _failed_use(self, delivery: Delivery, error: Exception) -> None:
        """Try an observation that met a bug USES times, then bury it: observations are levels, the next one tells."""
        self._failures[delivery.sequence] += 1
        if self._failures[delivery.sequence] < USES:
            await delivery.nak(FAILED_WAIT)
            return
        del self._failures[delivery.sequence]
        await bury(self._road, self._site, delivery, repr(error))

    def _work(self, seen: Observation) -> logs.Work:
        record = self._instances.get(seen.uuid)
        request_id = record.pending.request_id if record is not None and record.pending is not None else ""
        return logs.Work(self._site, request_id, seen.uuid, seen.generation)

    def _decode(self, delivery: Delivery) -> Observation:
        seen = codec.decode(delivery.data, Observation)
        address = subjects.parse(delivery.subject)
        if (seen.site, seen.uuid) != (address.site, address.uuid):
            raise Malformed(f"an observation of {seen.site} {seen.uuid} on the subject {delivery.subject}")
        return seen

    async def _handle(self, seen: Observation) -> None:
        record = self._instances.get(seen.uuid)
        if record is None:
            return
        if record.pending is None and seen.observed_at < self._newest.get(seen.uuid, 0.0):
            return  # an older look that came back late: what was seen after it is shown already
        self._newest[seen.uuid] = seen.observed_at
        under_way = self._flights.get(seen.uuid)
        if under_way is not None and record.pending is not None and seen.generation >= record.pending.generation:
            under_way.taken()
        waiting = False
        if record.pending is not None and record.pending.verb in PLAIN and seen.generation == 0:
            flight = self._flights.get(seen.uuid)
            if flight is None or not flight.published:
                raise Unavailable("the pending command is not published by this owner yet", NOT_YET)
            waiting = await self._publisher.waiting(seen.uuid)
        reduction = reduce(record, seen, command_waiting=waiting)
        match reduction.verdict:
            case Verdict.IGNORED:
                return
            case Verdict.NOTED:
                await self._note(record, reduction.record)
                if seen.absent and record.pending is None and record.deleted_at is None:
                    self._hurry()
            case Verdict.COPIED:
                await self._copy(reduction, seen)
            case Verdict.SUCCEEDED:
                await self._succeed(reduction, seen)
            case Verdict.FAILED:
                await self._fail(reduction, seen)
            case Verdict.GONE:
                self._newest.pop(seen.uuid, None)
                flight = self._flight(reduction)
                flight.networks_gone = seen.networks_gone
                flight.end(End.GONE)

    def _stranger(self, seen: Observation) -> None:
        """A tagged server without a record is left alone: only healing decides about it."""
        if not seen.absent and seen.uuid not in self._strangers:
            if len(self._strangers) >= STRANGERS:
                self._strangers.clear()  # told again rather than remembered without end
            self._strangers.add(seen.uuid)
            LOG.warning("site=%s instance=%s has no record here: left alone", self._site, seen.uuid)

    async def _note(self, before: InstanceRecord, after: InstanceRecord) -> None:
        if msgspec.structs.replace(after, seen_at=before.seen_at) != before:
            await self._instances.put(after)

    async def _copy(self, reduction: Reduction, seen: Observation) -> None:
        context = request_context(f"req-{seen.uuid}", None, None, is_admin=True)
        row = await self._conductor.get_instance(context, seen.uuid)
        if row is None or row["host"] not in self._hosts:
            LOG.info("not copied: the instance is on %s above", row and row["host"])
            return  # evacuated: what its former server does is nobody's any more
        if self._enforces and row["vm_state"] in ENFORCED and reduction.changes["vm_state"] != "error":
            await self._instances.put(reduction.record)
            self._hurry()
            return
        try:
            self._ownership.check()
            row = await self._conductor.save_instance(
                context, seen.uuid, reduction.changes, reduction.expected_task_state, reduction.expected_vm_state
            )
        except OwnershipLost:
            raise
        except Stale as error:
            LOG.info("changed above meanwhile: %s", error)
            return  # an operation began above, or its tenant has the word: core/vendor.py
        if reduction.fault is not None:
            await self._conductor.create_fault(context, seen.uuid, row["host"] or self._site, reduction.fault)
        LOG.info("copied %s", reduction.changes)
        await self._instances.put(reduction.record)

    async def _hand_over(self, reduction: Reduction, seen: Observation) -> None:
        """The site is done; the instance's worker ends the operation above, if need be that of another bridge."""
        record = planner.ended(reduction.record, reduction.fault, seen.server)
        await self._note(self._instances.get(seen.uuid) or record, record)
        flight = self._flight(reduction)
        flight.server = seen.server
        flight.networks_gone = seen.networks_gone
        flight.end(End.SUCCEEDED if reduction.fault is None else End.FAILED, reduction.fault)

    async def _succeed(self, reduction: Reduction, seen: Observation) -> None:
        record = reduction.record
        pending = record.pending
        assert pending is not None
        if planner.row_of(pending).finish is Finish.WORKER:
            await self._hand_over(reduction, seen)
            return
        flight = self._flight_of(record)
        if pending.verb is Verb.CREATE:
            await self._announced(self._flight(reduction))
        with waits.account() as account:
            await self._settle(reduction, pending)
        own = (flight.own if flight is not None else 0.0) + account.own
        LOG.info("%s settled, own=%.0f ms", pending.verb, own * 1000)
        if flight is not None:
            flight.end(End.SUCCEEDED)

    async def _settle(self, reduction: Reduction, pending: Pending) -> None:
        """Save, record, finish the event: in this order, each of which may be repeated."""
        record = reduction.record
        failpoints.reach(failpoints.OBSERVED)
        changes = dict(reduction.changes)
        if "launched_at" in changes:
            changes["launched_at"] = timestamp(changes["launched_at"] or time.time())
        await self._save(reduction, changes)
        failpoints.reach(failpoints.SETTLED)
        await self._instances.put(planner.settled(record))
        row = planner.row_of(pending)
        context = request_context(pending.request_id, None, None, is_admin=True)
        await self._conductor.event_finish(context, record.uuid, row.event)

    async def _fail(self, reduction: Reduction, seen: Observation) -> None:
        record, fault = reduction.record, reduction.fault
        assert record.pending is not None and fault is not None
        row = planner.row_of(record.pending)
        if row.verb in (Verb.CREATE, Verb.DELETE) or row.finish is Finish.WORKER:
            await self._hand_over(reduction, seen)
            return
        context = request_context(record.pending.request_id, None, None, is_admin=True)
        flight = self._flight_of(record)
        host = flight.rpc.host if flight is not None else self._site
        await self._conductor.create_fault(context, record.uuid, host, fault)
        await self._save(reduction, reduction.changes)
        await self._instances.put(planner.settled(record))
        await self._conductor.event_finish(context, record.uuid, row.event, error=fault.message)
        if flight is not None:
            flight.end(End.FAILED, fault)

    async def _save(self, reduction: Reduction, changes: dict[str, object]) -> None:
        """Save the outcome; when the row is no longer in that operation, its user deleted or reset it: leave it."""
        record = reduction.record
        assert record.pending is not None
        context = request_context(record.pending.request_id, None, None, is_admin=True)
        self._ownership.check()
        try:
            with tracing.span("save", instance=record.uuid):
                await self._conductor.save_instance(
                    context, record.uuid, changes, reduction.expected_task_state or None
                )
        except OwnershipLost:
            raise
        except Stale as error:
            LOG.info("outcome of %s not saved: %s", record.pending.verb, error)

    def _flight(self, reduction: Reduction) -> Flight:
        """Return the RPC under way; Unavailable while INTAKE has not brought it again after a restart."""
        flight = self._flight_of(reduction.record)
        if flight is None:
            raise Unavailable("its RPC is not back from INTAKE yet", NOT_YET)
        return flight

    def _flight_of(self, record: InstanceRecord) -> Flight | None:
        """Return the RPC of the pending command; never a later one, a delete say, that is under way but not planned."""
        flight = self._flights.get(record.uuid)
        ours = flight is not None and record.pending is not None and flight.rpc.rpc_id == record.pending.rpc_id
        return flight if ours else None

    async def _announced(self, flight: Flight) -> None:
        try:
            async with asyncio.timeout(ANNOUNCE_WAIT):
                await flight.announced.wait()
        except TimeoutError as error:
            raise Unavailable("its addresses are not shown above yet", NOT_YET) from error
