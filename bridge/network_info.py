"""Keeps Nova's network info cache above as Neutron above has it: the only addresses tenants see."""

import logging
from typing import Any

from bridge.core import translate
from bridge.edge.neutron import Neutron, Port
from bridge.edge.nova_conductor import NovaConductor
from bridge.networks import Networks
from proto.errors import FaultCode, Refused
from proto.messages import Fault, Rpc

LOG = logging.getLogger(__name__)

MARK = "cascade_address"  # in the binding profile of a port that got an address: the RPC that asked for it


class NetworkInfo:
    """Carries out what changes addresses above alone: Neutron's events, and the proxies of Nova's API below 2.44."""

    def __init__(self, conductor: NovaConductor, neutron: Neutron, networks: Networks) -> None:
        self._conductor = conductor
        self._neutron = neutron
        self._networks = networks

    async def carry_out(self, rpc: Rpc) -> None:
        """Change the instance's addresses as the RPC asks, and show what is then there; may be repeated."""
        event, failed = f"compute_{rpc.method}", None
        self._conductor.tell(rpc.context, rpc.uuid, event, rpc.host, began=True)
        try:
            if rpc.method == "add_fixed_ip_to_instance":
                await self._add_address(rpc, str(rpc.args["network_id"]))
            elif rpc.method == "remove_fixed_ip_from_instance":
                await self._remove_address(rpc, str(rpc.args["address"]))
        except Refused as error:
            LOG.info("%s: %s", rpc.method, error)
            failed = error.message
            await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, Fault(error.code, error.message))
        await self.refresh(rpc)
        self._conductor.tell(rpc.context, rpc.uuid, event, rpc.host, began=False, error=failed)

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

    async def _add_address(self, rpc: Rpc, network_id: str) -> None:
        """Give a card one more address, of the first subnet that has one (Nova 34, network/neutron.py)."""
        ports = [port for port in await self._neutron.ports_of(rpc.uuid) if port["network_id"] == network_id]
        if any(_profile(port).get(MARK) == rpc.rpc_id for port in ports):
            return
        _, subnets = await self._neutron.network(network_id)
        for port, subnet in [(port, subnet) for port in ports for subnet in subnets]:
            wanted = {
                "fixed_ips": [*port["fixed_ips"], {"subnet_id": subnet["id"]}],
                "binding:profile": {**_profile(port), MARK: rpc.rpc_id},
            }
            try:
                await self._neutron.update_port(port["id"], wanted)
            except Refused as error:
                LOG.info("no further address of subnet %s: %s", subnet["id"], error)
            else:
                return
        raise Refused(FaultCode.NETWORK, f"network {network_id} has no further address for a card of the server")

    async def _remove_address(self, rpc: Rpc, address: str) -> None:
        """Take an address from the card that has it."""
        for port in await self._neutron.ports_of(rpc.uuid):
            others = [fixed for fixed in port["fixed_ips"] if fixed["ip_address"] != address]
            if others != port["fixed_ips"]:
                await self._neutron.update_port(port["id"], {"fixed_ips": others})
                return
        LOG.info("no card has the address %s", address)


def _profile(port: Port) -> dict[str, Any]:
    return port.get("binding:profile") or {}
