"""The end of an instance above, once its server is gone from the site."""

import logging
from collections.abc import Iterable
from typing import Any

from bridge.addresses import Addresses
from bridge.edge.neutron import Neutron
from bridge.edge.nova_conductor import InstanceGone, NovaConductor
from bridge.edge.placement import Placement
from bridge.networks import Networks
from proto.messages import Rpc
from proto.operations import BY_METHOD

LOG = logging.getLogger(__name__)

EVENT = BY_METHOD["terminate_instance"].event
POWER_NOSTATE = 0


class Removal:
    """May be repeated: each step finds its work done."""

    def __init__(
        self,
        conductor: NovaConductor,
        neutron: Neutron,
        addresses: Addresses,
        networks: Networks,
        placement: Placement,
    ) -> None:
        self._conductor = conductor
        self._neutron = neutron
        self._addresses = addresses
        self._networks = networks
        self._placement = placement

    async def finish(self, rpc: Rpc, terminated_at: str) -> None:
        """Give back ports, allocations and the row, as Nova's own host does (Nova 34, compute/manager.py)."""
        await self._neutron.release(await self._neutron.ports_of(rpc.uuid))
        self._networks.changed(rpc.uuid, [])
        await self._placement.delete_allocations(rpc.uuid)
        try:
            await self._destroy(rpc, terminated_at)
        except InstanceGone:
            LOG.debug("instance=%s is already deleted above", rpc.uuid)
        await self._conductor.event_finish(rpc.context, rpc.uuid, EVENT, rpc.host)

    async def leave_networks(self, uuid: str, network_ids: Iterable[str]) -> None:
        """Give back the addresses kept above for networks that the site dropped with this instance's last server."""
        for network_id in network_ids:
            await self._addresses.unreserve(network_id, leaving=uuid)

    async def _destroy(self, rpc: Rpc, terminated_at: str) -> None:
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid)
        if instance is None:
            return
        await self._conductor.delete_vifs(rpc.context, rpc.uuid)
        changes: dict[str, Any] = {
            "vm_state": "deleted",
            "task_state": None,
            "power_state": POWER_NOSTATE,
            "terminated_at": terminated_at,
        }
        await self._conductor.save_instance(rpc.context, rpc.uuid, changes)
        await self._conductor.destroy_instance(rpc.context, instance["id"], rpc.uuid, instance["host"])
