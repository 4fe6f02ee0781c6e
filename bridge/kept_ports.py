"""The ports that an instance keeps while it goes from one site to another."""

from typing import Any

from bridge.cards import Cards
from bridge.core import translate
from bridge.edge.neutron import Neutron, Port
from bridge.edge.nova_conductor import NovaConductor
from proto.messages import Rpc


class KeptPorts:
    """May be repeated: a port that is bound to our host already is left as it is."""

    def __init__(self, conductor: NovaConductor, neutron: Neutron, cards: Cards) -> None:
        self._conductor = conductor
        self._neutron = neutron
        self._cards = cards

    async def bound(self, rpc: Rpc, instance: dict[str, Any]) -> list[tuple[Port, str | None]]:
        """Return the instance's ports with their device tags, bound to our host, in the order shown above."""
        ports = {port["id"]: port for port in await self._neutron.ports_of(rpc.uuid)}
        shown = [vif["id"] for vif in translate.network_info(instance) if vif["id"] in ports]
        cards: list[tuple[Port, str | None]] = []
        for port_id in [*shown, *(port_id for port_id in ports if port_id not in shown)]:
            bound = await self._cards.bound(rpc, instance, {"port_id": port_id}, ports[port_id])
            cards.append((bound, await self._conductor.vif_tag(rpc.context, port_id)))
        return cards
