"""The stages that every operation goes through: its turn, its event and record above, and what ends it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from bridge.core import planner
from bridge.core.planner import Step
from bridge.core.records import InstanceRecord, SiteSpec
from bridge.core.shelving import follows
from bridge.edge.nova_conductor import NovaConductor
from bridge.flight import End, Flight
from bridge.instances import Instances
from bridge.publisher import Publisher, Superseded
from bridge.window import Place, Window
from proto import streams
from proto.errors import FaultCode
from proto.messages import Fault, Rpc
from proto.operations import Lane, Operation, Verb

DOOR = 32  # commands of one site that it has not begun with; four times the slots that its agent has by default
DOOR_LIMIT = 10.0  # s one of them keeps others from the door; a site that is silent takes as many as the window holds


class Stages:
    """The stages of one site's operations; each may be gone through again after a crash."""

    def __init__(self, spec: SiteSpec, instances: Instances, publisher: Publisher, conductor: NovaConductor) -> None:
        self._spec = spec
        self._instances = instances
        self._publisher = publisher
        self._conductor = conductor
        self._window = Window(streams.SITE_WINDOW)
        self._door = Window(DOOR)

    @contextlib.asynccontextmanager
    async def turn(self, flight: Flight, row: Operation) -> AsyncIterator[None]:
        """Hold a place in the site's window, once it is this project's turn; Superseded if a delete comes first.

        The window bounds what a site is at, the door what it has not begun with: what comes next stands behind the few
        at the door, not behind a whole burst. What is urgent waits for neither.
        """
        if row.lane is Lane.URGENT:
            yield
            return
        await _entered(self._window, flight)
        try:
            await _entered(self._door, flight)
            place = Place(self._door)
            flight.taken = place.leave
            timer = asyncio.get_running_loop().call_later(DOOR_LIMIT, place.leave)
            try:
                yield
            finally:
                timer.cancel()
                place.leave()
        finally:
            self._window.leave()

    async def start_event(self, flight: Flight, step: Step, row: Operation) -> None:
        """Begin the action event once: Nova would show every further begin as an event of its own."""
        if step is Step.PLAN and not flight.started and not follows(flight.rpc):
            await self._conductor.event_start(flight.rpc.context, flight.rpc.uuid, row.event, flight.rpc.host)
            flight.started = True

    def given_up(self, rpc: Rpc) -> Fault | None:
        """Return why the site is not asked for anything any more: an operator forced this host of it down."""
        if rpc.host not in self._spec.given_up:
            return None
        return Fault(FaultCode.SITE_SILENT, f"site {self._spec.site} was given up by an operator")

    async def begin_life(self, rpc: Rpc, row: Operation) -> None:
        """An instance leaves a site, or comes again: a command of its life before, whose ack was lost, must not run."""
        if row.verb in (Verb.SHELVE_OFFLOAD, Verb.UNSHELVE, Verb.EVACUATE):
            await self._publisher.withdraw(rpc.uuid)

    async def begin(self, flight: Flight, step: Step, row: Operation) -> InstanceRecord:
        """Record the RPC's command as pending, or return what an earlier try recorded."""
        known = self._instances.get(flight.rpc.uuid)
        if step is Step.RESUME and known is not None:
            return known
        record = planner.begun(flight.rpc, row, known, time.time())
        await self._instances.put(record)
        return record

    def told(self, flight: Flight, step: Step) -> tuple[End, Fault | None] | None:
        """Return the site's last word if it was heard: by an owner before us, or before something above was away."""
        if flight.ended.done():
            return flight.ended.result()
        record = self._instances.get(flight.rpc.uuid)
        pending = record.pending if record is not None and step is Step.RESUME else None
        if pending is None or not pending.ended:
            return None
        flight.server = pending.server
        return (End.SUCCEEDED if pending.fault is None else End.FAILED), pending.fault

    async def settle(self, flight: Flight) -> None:
        """Record that nothing of this RPC is pending any more."""
        async with self._instances.lock(flight.rpc.uuid):
            record = self._instances.get(flight.rpc.uuid)
            if record is not None and record.pending is not None and record.pending.rpc_id == flight.rpc.rpc_id:
                await self._instances.put(planner.settled(record))

    async def bury(self, uuid: str) -> None:
        """Leave a tombstone: healing drops it once nothing can come of the instance any more."""
        async with self._instances.lock(uuid):
            record = self._instances.get(uuid)
            if record is not None:
                await self._instances.put(planner.tombstone(record, time.time()))


async def _entered(window: Window, flight: Flight) -> None:
    """Return with a place in the project's turn; Superseded if a delete comes first."""
    enter = asyncio.ensure_future(window.enter(str(flight.rpc.context.get("project_id"))))
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
