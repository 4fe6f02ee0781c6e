"""Cards attached to and detached from a running server, as Nova's own hosts leave them above."""

from typing import Any

from bridge.cards import Cards
from bridge.core.translate_network import port_spec
from bridge.edge.neutron import Neutron, Port
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_objects import unwrap
from bridge.network_info import NetworkInfo
from proto.errors import FaultCode, Refused, Stale
from proto.messages import Fault, Rpc
from proto.specs import ChangeSpec, PortSpec

MARK = "cascade_rpc"  # in the binding profile of a port that an attach made or bound: which RPC it was


class Interfaces:
    """Cards of one site's instances. Every method may be repeated after a crash."""

    def __init__(self, conductor: NovaConductor, neutron: Neutron, cards: Cards, network_info: NetworkInfo) -> None:
        self._conductor = conductor
        self._neutron = neutron
        self._cards = cards
        self._network_info = network_info

    async def attach(self, rpc: Rpc) -> ChangeSpec:
        """Bind or make the port above and return what the site must plug; Refused with Neutron's own reason."""
        instance, args = unwrap(rpc.args["instance"]), rpc.args
        request = {name: args.get(name) for name in ("network_id", "port_id", "tag")}
        request["address"] = args.get("requested_ip")
        if not request["port_id"] and not request["network_id"]:
            request["network_id"] = await self._only_other_network(rpc, instance)
        port = await self._port(rpc)
        if port is None and request["port_id"]:
            port = await self._free_port(str(request["port_id"]))
        bound = await self._cards.bound(rpc, instance, request, port, {MARK: rpc.rpc_id})
        others = [known for known in await self._neutron.ports_of(rpc.uuid) if known["id"] != bound["id"]]
        cards = await self._cards.described(rpc.uuid, [(bound, args.get("tag"))], others)
        return ChangeSpec(port=cards.ports[0], networks=cards.networks, security_groups=cards.groups)

    async def attached(self, rpc: Rpc) -> dict[str, Any]:
        """Show the card above and return it as nova-api expects: Nova's network info of the one port."""
        port = await self._port(rpc)
        if port is None:
            raise Stale("the port was deleted while it was attached")
        await self._conductor.create_vif(rpc.context, rpc.uuid, port["id"], port["mac_address"], rpc.args.get("tag"))
        shown = await self._network_info.refresh(rpc)
        found = [vif for vif in shown if vif["id"] == port["id"]]
        if not found:
            raise Stale("the instance is being deleted")
        return found[0]

    async def not_attached(self, rpc: Rpc, fault: Fault) -> None:
        """Give the port back."""
        port = await self._port(rpc)
        if port is not None:
            await self._neutron.release([port])
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)

    async def detach(self, rpc: Rpc) -> ChangeSpec:
        """Return the port that the site must unplug; one that is gone above may still be there."""
        port_id = str(rpc.args["port_id"])
        port = await self._neutron.port(port_id)
        return ChangeSpec(port=port_spec(port, None) if port is not None else PortSpec(port_id, "", "", []))

    async def detached(self, rpc: Rpc) -> None:
        """Give the port back and forget the card."""
        port = await self._neutron.port(str(rpc.args["port_id"]))
        if port is not None and port.get("device_id") == rpc.uuid:
            await self._neutron.release([port])
        await self._conductor.delete_vif(rpc.context, str(rpc.args["port_id"]))
        await self._network_info.refresh(rpc)

    async def not_detached(self, rpc: Rpc, fault: Fault) -> None:
        """The card stays."""
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)

    async def _port(self, rpc: Rpc) -> Port | None:
        """Return the port of this RPC if it is bound or made already."""
        ports = await self._neutron.ports_of(rpc.uuid)
        return next((port for port in ports if (port.get("binding:profile") or {}).get(MARK) == rpc.rpc_id), None)

    async def _free_port(self, port_id: str) -> Port | None:
        port = await self._neutron.port(port_id)
        if port is not None and port.get("device_id"):  # of this server too: it has that card already
            raise Refused(FaultCode.CONFLICT, f"port {port_id} is in use by {port['device_id']}")
        return port

    async def _only_other_network(self, rpc: Rpc, instance: dict[str, Any]) -> str:
        """Return the network Nova would choose: the project's only one that the server is not in."""
        used = {port["network_id"] for port in await self._neutron.ports_of(rpc.uuid)}
        free = [found["id"] for found in await self._neutron.networks_of(instance["project_id"])]
        free = [network_id for network_id in free if network_id not in used] or free
        if not free:
            raise Refused(FaultCode.NETWORK, "the project has no network to attach")
        return str(free[0])
