"""Unshelving: a boot of the shelved image with the ports that the instance kept, in whatever site was chosen for it."""

import logging
import time
from typing import Any

from bridge.boot import Boot, Prepared
from bridge.cards import Cards
from bridge.core import shelving
from bridge.core.disks import disk_specs
from bridge.edge.nova_conductor import NovaConductor, TaskStateChanged
from bridge.edge.nova_objects import timestamp, unwrap
from bridge.edge.placement import Placement
from bridge.flight import Flight
from bridge.kept_ports import KeptPorts
from bridge.presence import Presence
from bridge.shelving import Shelving
from proto.errors import FaultCode, Refused, Stale
from proto.messages import Fault, Rpc
from proto.operations import BY_VERB, Verb

LOG = logging.getLogger(__name__)

ROW = BY_VERB[Verb.UNSHELVE]
ATTRIBUTES = ("flavor", "info_cache", "keypairs", "metadata", "system_metadata")


class Unshelving:
    """Unshelves in one site; stands beside Boot. Every method may be repeated after a crash."""

    def __init__(
        self,
        conductor: NovaConductor,
        boot: Boot,
        cards: Cards,
        kept_ports: KeptPorts,
        placement: Placement,
        presence: Presence,
        shelving_: Shelving,
    ) -> None:
        self._conductor = conductor
        self._boot = boot
        self._cards = cards
        self._kept_ports = kept_ports
        self._placement = placement
        self._presence = presence
        self._shelving = shelving_

    async def claim(self, rpc: Rpc) -> None:
        """Make the instance ours above; Stale if it is being deleted or somebody else has it."""
        node = self._presence.node_of(rpc.host)
        changes = {
            "task_state": shelving.SPAWNING,
            "host": node.host,
            "node": node.node,
            "launched_on": node.host,
            "compute_id": node.compute_id,
            "availability_zone": _zone(rpc),
        }
        try:
            await self._conductor.save_instance(
                rpc.context, rpc.uuid, changes, (shelving.UNSHELVING,), (shelving.OFFLOADED,)
            )
        except TaskStateChanged:
            if not _is_ours(await self._instance(rpc), rpc):  # a redelivery meets its own claim
                raise

    async def prepare(self, rpc: Rpc) -> Prepared:
        """Bind the instance's ports to our host and gather what the site needs; Refused if it cannot be met."""
        instance = {**await self._instance(rpc), "availability_zone": _zone(rpc)}
        disks = disk_specs(await self._conductor.block_device_mappings(rpc.context, rpc.uuid))
        return await self._boot.gather(rpc, instance, _image(rpc), disks, self._kept_ports.bound)

    async def announce(self, rpc: Rpc, prepared: Prepared) -> None:
        """Show the addresses above."""
        await self._boot.announce(rpc, prepared)

    async def finish(self, flight: Flight) -> None:
        """The server runs: the instance is not kept in its image any more."""
        rpc, server = flight.rpc, flight.server
        assert server is not None
        instance = await self._instance(rpc)
        changes = shelving.unshelved(instance, server, timestamp(server.launched_at or time.time()))
        try:
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, ROW.ends_from)
        except TaskStateChanged as error:
            if error.deleting or instance["vm_state"] == shelving.OFFLOADED:
                raise
            LOG.info("the unshelve is not saved, an earlier try did: %s", error)
        await self._shelving.drop_image(_image(rpc))
        await self._conductor.event_finish(rpc.context, rpc.uuid, ROW.event, rpc.host)

    async def fail(self, rpc: Rpc, fault: Fault) -> None:
        """End an unshelve of which nothing is left in the site: shelved as before, on no host."""
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid)
        if instance is None or not (_is_ours(instance, rpc) or _is_unclaimed(instance)):
            LOG.info("the instance is not ours any more: its failed unshelve is not told")
            return
        await self._cards.unbind(rpc)
        await self._cards.leave_networks(rpc)
        await self._placement.delete_allocations(rpc.uuid)
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
        try:
            changes = {"task_state": None, **shelving.NO_HOST}
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, ROW.begun, (shelving.OFFLOADED,))
        except Stale as error:
            LOG.info("the instance was deleted while its unshelve failed: %s", error)
        await self._conductor.event_finish(rpc.context, rpc.uuid, ROW.event, rpc.host, error=fault.message)

    async def _instance(self, rpc: Rpc) -> dict[str, Any]:
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid, ATTRIBUTES)
        if instance is None:
            raise Stale("the instance is gone")
        return instance


def _is_ours(instance: dict[str, Any], rpc: Rpc) -> bool:
    """Whether this host has claimed it and not ended its unshelve yet."""
    states = (instance["vm_state"], instance["task_state"])
    return bool(instance["host"] == rpc.host) and states == (shelving.OFFLOADED, shelving.SPAWNING)


def _is_unclaimed(instance: dict[str, Any]) -> bool:
    """Whether no host has claimed it yet; the conductor asks one host only."""
    states = (instance["vm_state"], instance["task_state"])
    return instance["host"] is None and states == (shelving.OFFLOADED, shelving.UNSHELVING)


def _zone(rpc: Rpc) -> str | None:
    """Return the zone that the conductor chose; it leaves the saving to the host."""
    zone: str | None = unwrap(rpc.args["instance"]).get("availability_zone")
    return zone


def _image(rpc: Rpc) -> str:
    image_id = (rpc.args.get("image") or {}).get("id")
    if not image_id:
        raise Refused(FaultCode.UNSUPPORTED, "a server without a shelved image: volumes are not supported yet")
    return str(image_id)
