"""Keeps Nova's network info cache above as Neutron above has it: the only addresses tenants see."""

import logging

from bridge.core import translate
from bridge.edge.neutron import Neutron
from bridge.edge.nova_conductor import NovaConductor
from proto.messages import Rpc

LOG = logging.getLogger(__name__)


class NetworkInfo:
    """Answers Neutron's external instance events."""

    def __init__(self, conductor: NovaConductor, neutron: Neutron) -> None:
        self._conductor = conductor
        self._neutron = neutron

    async def refresh(self, rpc: Rpc) -> None:
        """Save the ports as they are now, in the order shown so far; may be repeated, an instance gone is fine."""
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid, ["info_cache"])
        if instance is None or instance["host"] != rpc.host or instance["task_state"] in ("deleting", "spawning"):
            return  # a boot saves them itself
        shown = [vif["id"] for vif in translate.network_info(instance)]
        ports = {port["id"]: port for port in await self._neutron.ports_of(rpc.uuid)}
        order = [port_id for port_id in shown if port_id in ports] + [p for p in ports if p not in shown]
        vifs = []
        for port_id in order:
            network, subnets = await self._neutron.network(ports[port_id]["network_id"])
            vifs.append(translate.vif(ports[port_id], network, subnets))
        await self._conductor.save_info_cache(rpc.context, rpc.uuid, vifs)
