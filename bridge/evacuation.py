"""Evacuation: a boot of an instance whose site was given up, with the ports it has, in the site chosen for it."""

import logging
import time
from typing import Any

from bridge.boot import Boot, Prepared
from bridge.cards import Cards
from bridge.core import evacuating
from bridge.core.disks import disk_specs
from bridge.edge.nova_conductor import NovaConductor, TaskStateChanged
from bridge.edge.nova_objects import timestamp, unwrap
from bridge.edge.placement import Placement
from bridge.flight import Flight
from bridge.kept_ports import KeptPorts
from bridge.presence import Presence
from proto import codec, subjects
from proto.errors import Stale
from proto.jetstream import JetStream
from proto.messages import Fault, Rpc
from proto.operations import BY_VERB, Verb

LOG = logging.getLogger(__name__)

ROW = BY_VERB[Verb.EVACUATE]
ATTRIBUTES = ("flavor", "info_cache", "keypairs", "metadata", "system_metadata")


class Evacuation:
    """Evacuations to one site; stands beside Boot. Every method may be repeated after a crash.

    The instance is ours from the claim on, where Nova's host takes it at the end only: so a delete that comes meanwhile
    goes the way of every other one, and no two sites can take the instance for their own.
    """

    def __init__(
        self,
        site: str,
        road: JetStream,
        conductor: NovaConductor,
        boot: Boot,
        cards: Cards,
        kept_ports: KeptPorts,
        placement: Placement,
        presence: Presence,
    ) -> None:
        self._site = site
        self._road = road
        self._conductor = conductor
        self._boot = boot
        self._cards = cards
        self._kept_ports = kept_ports
        self._placement = placement
        self._presence = presence

    async def claim(self, rpc: Rpc) -> None:
        """Make the instance ours above; Stale if it is being deleted or its evacuation is over."""
        node = self._presence.node_of(rpc.host)
        there = {"dest_compute": node.host, "dest_node": node.node, "dest_compute_id": node.compute_id}
        claimed = {"host": node.host, "node": node.node, "compute_id": node.compute_id}
        try:
            changes = {**claimed, "task_state": evacuating.SPAWNING}
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, (evacuating.BEGUN,))
        except TaskStateChanged:
            if not evacuating.is_claimed(await self._instance(rpc), rpc.host):  # a redelivery meets its own claim
                raise
        await self._migration(rpc, {**there, "dest_host": node.host, "status": "pre-migrating"})

    async def prepare(self, rpc: Rpc) -> Prepared:
        """Bind the instance's ports to our host and gather what the site needs; Refused if it cannot be met."""
        instance = {**await self._instance(rpc), "availability_zone": _asked(rpc).get("availability_zone")}
        disks = disk_specs(await self._conductor.block_device_mappings(rpc.context, rpc.uuid))
        return await self._boot.gather(rpc, instance, instance["image_ref"] or None, disks, self._kept_ports.bound)

    async def finish(self, flight: Flight) -> None:
        """The server runs; one that was stopped before is stopped again."""
        rpc, server = flight.rpc, flight.server
        assert server is not None
        stopping = evacuating.stops(_asked(rpc), rpc.args.get("target_state"))
        changes = evacuating.evacuated(_asked(rpc), server, timestamp(server.launched_at or time.time()), stopping)
        try:
            row = await self._conductor.save_instance(rpc.context, rpc.uuid, changes, ROW.ends_from)
        except TaskStateChanged as error:
            row = await self._instance(rpc)
            if error.deleting or row["host"] != rpc.host:
                raise
            LOG.info("the evacuation is not saved, an earlier try did: %s", error)
        await self._migration(rpc, {"status": "done"})
        if stopping and row["task_state"] == evacuating.POWERING_OFF:
            await self._ask_stop(evacuating.following(rpc, time.time()))
        await self._conductor.event_finish(rpc.context, rpc.uuid, ROW.event, rpc.host)

    async def fail(self, rpc: Rpc, fault: Fault) -> None:
        """End an evacuation of which nothing is left in the site: in ERROR on its old host, as Nova leaves it."""
        asked, row = _asked(rpc), await self._conductor.get_instance(rpc.context, rpc.uuid)
        if row is None or not (evacuating.is_claimed(row, rpc.host) or evacuating.is_waiting(row, asked)):
            LOG.info("the instance is not ours any more: its failed evacuation is not told")
            return
        if asked["host"] != rpc.host:  # else healing makes a missing server again
            await self._cards.bind(rpc, asked["host"])
            await self._cards.leave_networks(rpc)
            await self._placement.remove_allocation(rpc.uuid, self._presence.node_of(rpc.host).provider)
        await self._migration(rpc, {"status": "failed"})
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
        try:
            changes = evacuating.failed(asked)
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, ROW.begun)
        except Stale as error:
            LOG.info("the instance was deleted while its evacuation failed: %s", error)
        await self._conductor.event_finish(rpc.context, rpc.uuid, ROW.event, rpc.host, error=fault.message)

    async def _ask_stop(self, rpc: Rpc) -> None:
        """Put a stop into INTAKE: it goes the way of every other RPC."""
        subject = subjects.intake(self._site, rpc.uuid)
        await self._road.publish(subject, codec.encode(rpc), message_id=f"{rpc.rpc_id}:{rpc.uuid}")

    async def _migration(self, rpc: Rpc, changes: dict[str, Any]) -> None:
        migration = unwrap(rpc.args.get("migration"))
        if migration is not None:
            await self._conductor.save_migration(rpc.context, migration["id"], changes)

    async def _instance(self, rpc: Rpc) -> dict[str, Any]:
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid, ATTRIBUTES)
        if instance is None:
            raise Stale("the instance is gone")
        return instance


def _asked(rpc: Rpc) -> dict[str, Any]:
    """Return the instance as nova-api sent it: on its old host, and with the zone that the conductor chose."""
    asked: dict[str, Any] = unwrap(rpc.args["instance"])
    return asked
