"""The cards of instances above: ports bound to our hosts, and the networks and groups that the site needs for them."""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bridge.addresses import Addresses
from bridge.core import translate, translate_network
from bridge.edge.neutron import AUTO, NONE, Neutron, Port
from bridge.edge.nova_objects import unwrap
from bridge.networks import Networks
from proto.errors import FaultCode, Refused
from proto.messages import Rpc
from proto.specs import NetworkSpec, PortSpec, SecurityGroupSpec


@dataclass(frozen=True, slots=True)
class Described:
    """Cards as the site and Nova above shall know them, in their order."""

    ports: list[PortSpec]
    networks: list[NetworkSpec]
    groups: list[SecurityGroupSpec]
    vifs: list[dict[str, Any]]  # Nova's network info


class Cards:
    """Ports of one site's instances. Every method looks before it makes anything, so it may be repeated."""

    def __init__(self, neutron: Neutron, addresses: Addresses, networks: Networks) -> None:
        self._neutron = neutron
        self._addresses = addresses
        self._networks = networks

    async def ports(self, rpc: Rpc, instance: dict[str, Any]) -> list[tuple[Port, str | None]]:
        """Return the instance's ports above with their tags, in the order of the request."""
        existing = {port["id"]: port for port in await self._neutron.ports_of(rpc.uuid)}
        ours = [port for port in existing.values() if translate.made_by_bridge(port)]
        ports: list[tuple[Port, str | None]] = []
        for request in await self._requests(rpc, instance):
            if request.get("port_id"):
                port = existing.get(request["port_id"]) or await self._neutron.port(request["port_id"])
            else:
                port = next((port for port in ours if port["network_id"] == request["network_id"]), None)
                if port is not None:
                    ours.remove(port)
            ports.append((await self.bound(rpc, instance, request, port), request.get("tag")))
        return ports

    async def described(
        self, uuid: str, ports: list[tuple[Port, str | None]], others: Collection[Port] = ()
    ) -> Described:
        """Return what the site needs for these cards of an instance, given with their device tags.

        ``others``: cards the site has already.

        Refused if a rule or a port means something that no site can be told, or if the network may not be used here.
        """
        plain = [port for port, _ in ports]
        networks = {port["network_id"]: await self._neutron.network(port["network_id"]) for port in plain}
        described = Described(
            ports=[translate_network.port_spec(port, tag) for port, tag in ports],
            networks=[await self._network_spec(*network) for network in networks.values()],
            groups=await self._security_groups(plain),
            vifs=[translate.vif(port, *networks[port["network_id"]]) for port in plain],
        )
        self._networks.booted(uuid, plain, others)
        return described

    async def unbind(self, rpc: Rpc) -> None:
        """Take the ports of an instance off our host; they stay its own. A port that is gone is fine."""
        await self.bind(rpc, None)

    async def bind(self, rpc: Rpc, host: str | None) -> None:
        """Bind the ports of an instance that are bound to our host to another one, or to none."""
        for port in await self._neutron.ports_of(rpc.uuid):
            if port.get("binding:host_id") == rpc.host:
                with contextlib.suppress(Refused):
                    await self._neutron.update_port(port["id"], {"binding:host_id": host})
        self._networks.changed(rpc.uuid, [])

    async def release(self, uuid: str) -> None:
        """Give back all ports of an instance: those the bridge made go, a tenant's own become free."""
        await self._neutron.release(await self._neutron.ports_of(uuid))

    async def leave_networks(self, rpc: Rpc) -> None:
        """Give back the addresses kept above for a boot that failed, where no other instance of the site needs them."""
        networks = {port["network_id"] for port in await self._neutron.ports_of(rpc.uuid)}
        for network_id in sorted(networks | _asked_networks(rpc)):
            await self._addresses.unreserve(network_id, leaving=rpc.uuid)

    async def bound(
        self,
        rpc: Rpc,
        instance: dict[str, Any],
        request: dict[str, Any],
        port: Port | None,
        marks: dict[str, Any] | None = None,
    ) -> Port:
        """Return the port of one requested card, bound to our host; made if there is none.

        ``marks`` are kept in the binding profile. Refused with Neutron's own reason.
        """
        wanted: dict[str, Any] = {
            "device_id": rpc.uuid,
            "device_owner": f"compute:{instance.get('availability_zone') or 'nova'}",
            "binding:host_id": rpc.host,
        }
        if port is not None:
            if all(port.get(key) == value for key, value in wanted.items()):
                return port
            if not port.get("dns_name"):
                wanted |= await self._dns_name(instance)
            if marks:
                wanted["binding:profile"] = {**(port.get("binding:profile") or {}), **marks}
            return await self._neutron.update_port(port["id"], wanted)
        if request.get("port_id"):
            raise Refused(FaultCode.NETWORK, f"port {request['port_id']} does not exist")
        fields: dict[str, Any] = {**wanted, "project_id": instance["project_id"]}
        fields["binding:profile"] = {translate.CREATED_MARK: True, **(marks or {})}
        if request.get("address"):
            fields["fixed_ips"] = [{"ip_address": str(request["address"])}]
        fields |= await self._dns_name(instance)
        groups = await self._neutron.security_group_ids(instance["project_id"], rpc.args.get("security_groups") or [])
        if groups is not None:
            fields["security_groups"] = groups
        network = await self._neutron.network(request["network_id"])
        await self._reservations(*network)  # first: a network's last addresses would go to ports that cannot boot
        return await self._neutron.create_port(request["network_id"], fields)

    async def _dns_name(self, instance: dict[str, Any]) -> dict[str, str]:
        """Return the field that lets Neutron's DNS know the guest, where there is one (Nova 34, network/neutron.py)."""
        named = instance.get("hostname") and await self._neutron.has("dns-integration")
        return {"dns_name": str(instance["hostname"])} if named else {}

    async def _requests(self, rpc: Rpc, instance: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the requested cards; none named means Nova's choice (Nova 34, network/neutron.py)."""
        requests: list[dict[str, Any]] = unwrap(rpc.args.get("requested_networks")) or []
        if not requests:
            return [{"network_id": n["id"]} for n in (await self._neutron.networks_of(instance["project_id"]))[:1]]
        if requests[0].get("network_id") == NONE:
            return []
        if requests[0].get("network_id") == AUTO:
            project = instance["project_id"]
            # One that is down is still being made for another instance, or removed as the second of two (as in Nova).
            ready = [n for n in await self._neutron.networks_of(project) if n.get("admin_state_up", True)]
            chosen = ready[0]["id"] if ready else await self._neutron.auto_allocated(project)
            return [{"network_id": chosen}]
        return requests

    async def _network_spec(self, network: dict[str, Any], subnets: list[dict[str, Any]]) -> NetworkSpec:
        mapped = self._networks.mapped(network["id"])
        alone = not self._networks.several_sites and not mapped
        if alone and (other := await self._addresses.elsewhere(network["id"])):
            reason = f"network {network['id']} is in use in {other}, and [cascading] networks_in_several_sites = refuse"
            raise Refused(FaultCode.NETWORK_ELSEWHERE, reason)
        reserved = await self._reservations(network, subnets)
        return translate_network.network_spec(network, subnets, reserved, mapped)

    async def _reservations(self, network: dict[str, Any], subnets: list[dict[str, Any]]) -> list[Port]:
        """Return the ports that keep addresses for the site; what the operator maps gives out its own."""
        return [] if self._networks.mapped(network["id"]) else await self._addresses.reserved(network, subnets)

    async def _security_groups(self, ports: list[Port]) -> list[SecurityGroupSpec]:
        ids = {group for port in ports for group in port.get("security_groups") or []}
        groups = await self._neutron.security_groups(ids)
        reasons = [*map(translate_network.unspeakable_port, ports), *map(translate_network.unspeakable, groups)]
        for reason in filter(None, reasons):
            raise Refused(FaultCode.NETWORK, reason)
        return [translate_network.group_spec(group) for group in groups]


def _asked_networks(rpc: Rpc) -> set[str]:
    requests: list[dict[str, Any]] = unwrap(rpc.args.get("requested_networks")) or []
    ids = {str(request.get("network_id") or NONE) for request in requests}
    return ids - {NONE, AUTO}
