"""Operations that make a server in the site, from the plan to their end above: boots, unshelves, evacuations."""

import time

from bridge.boot import Boot
from bridge.core import planner
from bridge.core.planner import Step
from bridge.core.records import InstanceRecord
from bridge.evacuation import Evacuation
from bridge.flight import End, Flight
from bridge.instances import Instances
from bridge.owner import Ownership
from bridge.publisher import Publisher
from bridge.removal import Removal
from bridge.stages import Stages
from bridge.unshelving import Unshelving
from proto import waits
from proto.errors import FaultCode, Refused
from proto.messages import Fault, Rpc
from proto.operations import BY_METHOD, Finish, Operation, Verb


class Creation:
    """What makes servers in one owned site. Each may be begun again after a crash, by another bridge too."""

    def __init__(
        self,
        ownership: Ownership,
        instances: Instances,
        publisher: Publisher,
        stages: Stages,
        boot: Boot,
        unshelving: Unshelving,
        evacuation: Evacuation,
        removal: Removal,
    ) -> None:
        self._ownership = ownership
        self._instances = instances
        self._publisher = publisher
        self._stages = stages
        self._boot = boot
        self._ends: dict[Verb, Unshelving | Evacuation] = {Verb.UNSHELVE: unshelving, Verb.EVACUATE: evacuation}
        self._removal = removal

    async def carry_out(self, flight: Flight, step: Step, row: Operation) -> None:
        """Have the site make the server, and end above what is not ended by its observation.

        Raises Superseded when a delete comes meanwhile, Stale when it is pointless, Unavailable to be tried again.
        """
        rpc = flight.rpc
        known = self._instances.get(rpc.uuid)
        if step is Step.RESUME and known is not None and known.pending is not None and known.pending.cleanup:
            await self._clean_up(flight, known, row, again=True)
            return
        told = self._stages.told(flight, step) if row.finish is Finish.WORKER else None
        if told is None and (given_up := self._stages.given_up(rpc)) is not None:
            await self._stages.start_event(flight, step, row)
            told = End.FAILED, given_up
        elif told is None:
            told = await self._entered(flight, step, row)
        end, fault = told
        if end is End.FAILED and fault is not None:
            await self.fail(flight, row, fault)
        elif row.finish is Finish.WORKER:
            self._ownership.check()
            await self._ends[row.verb].finish(flight)
            await self._stages.settle(flight)

    async def _entered(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        """Have the site make the server, in its turn."""
        async with self._stages.turn(flight, row):
            try:
                return await self._created(flight, step, row)
            except Refused as error:
                return End.FAILED, Fault(error.code, error.message)

    def _boot_of(self, row: Operation) -> Boot | Unshelving | Evacuation:
        return self._ends.get(row.verb, self._boot)

    async def _created(self, flight: Flight, step: Step, row: Operation) -> tuple[End, Fault | None]:
        rpc, refusal = flight.rpc, None
        on_its_way = time.time() - rpc.received_at
        with waits.account() as account:
            async with self._instances.lock(rpc.uuid):
                await self._stages.start_event(flight, step, row)
                if step is Step.PLAN:
                    await self._stages.begin_life(rpc, row)
                await self._boot_of(row).claim(rpc)
                try:
                    prepared = await self._boot_of(row).prepare(rpc)
                except Refused as error:
                    if step is not Step.RESUME:
                        raise
                    refusal = Fault(error.code, error.message)
                else:
                    flight.image_id = prepared.server.image.image_id if prepared.server.image else None
                    record = await self._stages.begin(flight, step, row)
                    await self._publisher.publish(flight, record, prepared.server, again=step is Step.RESUME)
        if refusal is not None:  # the site may have made it all the same
            flight.published = True
            flight.announced.set()
            return await self._publisher.outcome(flight, None, refusal)
        flight.own = on_its_way + account.own
        await self._boot.announce(rpc, prepared)
        flight.announced.set()
        return await self._publisher.outcome(flight, prepared.server)

    async def fail_lost(self, rpc: Rpc, fault: Fault) -> None:
        """End above what was lost on its way, and of which nothing is in the site."""
        await self._publisher.withdraw(rpc.uuid)  # INTAKE may be lost alone: nothing may come of it later
        await self._boot_of(BY_METHOD[rpc.method]).fail(rpc, fault)

    async def fail(self, flight: Flight, row: Operation, fault: Fault) -> None:
        """Nothing may stay in the site before the boot ends above, unless the site is silent and cannot say."""
        rpc = flight.rpc
        record = self._instances.get(rpc.uuid)
        if record is None or record.pending is None or record.pending.rpc_id != rpc.rpc_id:
            await self._boot_of(row).fail(rpc, fault)  # refused before anything was published
            return
        if fault.code is FaultCode.OCCUPIED:  # what is there is not of this try, and nobody asked to delete it
            await self._publisher.withdraw(rpc.uuid)
            await self._boot_of(row).fail(rpc, fault)
            await self._stages.settle(flight)
            return
        begun = fault.code is FaultCode.EXPIRED or self._stages.given_up(rpc) is not None
        if begun and row.verb is Verb.CREATE:
            await self._boot.keep_in_error(rpc, fault)
            await self._stages.settle(flight)
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
        if self._stages.given_up(flight.rpc) is None:  # else its tombstone has it deleted when the site is back
            flight.next_command()
            await self._publisher.publish(flight, record, None, again=again)
            await self._publisher.outcome(flight, None)
        await self._removal.leave_networks(flight.rpc.uuid, flight.networks_gone)
        self._ownership.check()
        await self._boot_of(row).fail(flight.rpc, pending.fault)
        await self._stages.bury(flight.rpc.uuid)  # it remembers the RPC until INTAKE no longer has it
