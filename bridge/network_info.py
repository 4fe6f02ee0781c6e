"""Keeps Nova's network info cache above as Neutron above has it: the only addresses tenants see."""

import logging
from typing import Any

from bridge.core import translate
from bridge.edge.neutron import Neutron
from bridge.edge.nova_conductor import NovaConductor
from bridge.networks import Networks
from proto.messages import Rpc

LOG = logging.getLogger(__name__)


class NetworkInfo:
    """Answers Neutron's external instance events."""

    def __init__(self, conductor: NovaConductor, neutron: Neutron, networks: Networks) -> None:
        self._conductor = conductor
        self._neutron = neutron
        self._networks = networks

    async def refresh(self, rpc: Rpc) -> list[dict[str, Any]]:
        """Save the ports as they are now, in the order shown so far, and return what is shown; may be repeated.

        Nothing is saved, and nothing returned, for an instance that is gone, being deleted or being booted.
        """
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid, ["info_cache"])
        if instance is None or instance["host"] != rpc.host or instance["task_state"] == "deleting":
            return []
        ports = {port["id"]: port for port in await self._neutron.ports_of(rpc.uuid)}
        self._networks.changed(rpc.uuid, ports.values())
        if instance["task_state"] == "spawning":
            return []  # the boot saves them itself
        shown = [vif["id"] for vif in translate.network_info(instance)]
        order = [port_id for port_id in shown if port_id in ports] + [p for p in ports if p not in shown]
        vifs = []
        for port_id in order:
            network, subnets = await self._neutron.network(ports[port_id]["network_id"])
            vifs.append(translate.vif(ports[port_id], network, subnets))
        await self._conductor.save_info_cache(rpc.context, rpc.uuid, vifs)
        return vifs
