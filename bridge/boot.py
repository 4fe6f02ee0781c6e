"""The parts of a boot that happen above: claim, ports, what the site is told, network info, and a failed boot's end."""

import logging
from dataclasses import dataclass
from typing import Any

from bridge.catalog import Catalog
from bridge.core import translate
from bridge.edge.glance import Glance
from bridge.edge.neutron import AUTO, NONE, Neutron, Port
from bridge.edge.nova_conductor import InstanceGone, NovaConductor, TaskStateChanged
from bridge.edge.nova_objects import unwrap
from bridge.edge.placement import Placement
from bridge.presence import Presence
from proto.errors import RESCHEDULABLE, FaultCode, Refused
from proto.messages import Fault, NetworkSpec, Rpc, Sealed, ServerSecrets, ServerSpec, SiteHost
from proto.operations import BUILD_TASK_STATES, BY_METHOD
from proto.sealing import PrivateKey, PublicKey

LOG = logging.getLogger(__name__)

EVENT = BY_METHOD["build_and_run_instance"].event
BUILDING = "building"
UNCLAIMED = ("scheduling", None)  # task_states in which a build reaches a host
FAULT_MESSAGE_LENGTH = 255  # Nova's column


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a boot needs below and shows above."""

    server: ServerSpec
    vifs: list[dict[str, Any]]  # Nova's network info
    tags: dict[str, str | None]  # port id -> device tag


class Boot:
    """Boots of one site. Every method looks before it makes anything, so it may be repeated after a crash."""

    def __init__(
        self,
        site: str,
        hosts: list[SiteHost],
        conductor: NovaConductor,
        neutron: Neutron,
        glance: Glance,
        placement: Placement,
        presence: Presence,
        catalog: Catalog,
        bridge_key: PrivateKey,
        site_key: PublicKey,
    ) -> None:
        self._site = site
        self._hosts = {entry.host: entry for entry in hosts}
        self._conductor = conductor
        self._neutron = neutron
        self._glance = glance
        self._placement = placement
        self._presence = presence
        self._catalog = catalog
        self._bridge_key = bridge_key
        self._site_key = site_key

    async def claim(self, rpc: Rpc) -> None:
        """Make the instance ours above; Stale if it is being deleted or somebody else has it."""
        node = self._presence.node_of(rpc.host)
        changes = {
            "vm_state": "building",
            "task_state": "spawning",
            "host": node.host,
            "node": node.node,
            "launched_on": node.host,
            "compute_id": node.compute_id,
        }
        try:
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, UNCLAIMED, [BUILDING])
        except TaskStateChanged:
            # A redelivery meets its own claim; any other host's, or a boot that ended, is not ours to touch.
            instance = await self._conductor.get_instance(rpc.context, rpc.uuid)
            if instance is None or not _claimed(instance, rpc.host):
                raise

    async def prepare(self, rpc: Rpc) -> Prepared:
        """Make or find the ports above and gather what the site needs; Refused if the request cannot be met."""
        instance = unwrap(rpc.args["instance"])
        request_spec = unwrap(rpc.args.get("request_spec") or {})
        ports = await self._ports(rpc, instance)
        networks: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        for port, _ in ports:
            networks[port["network_id"]] = await self._neutron.network(port["network_id"])
        image = translate.image_spec(await self._glance.image(instance["image_ref"])) if instance["image_ref"] else None
        server = translate.server_spec(
            instance,
            request_spec,
            await self._catalog.flavor(instance["flavor"]),
            image,
            [await self._network_spec(*network) for network in networks.values()],
            [translate.port_spec(port, tag) for port, tag in ports],
            self._hosts[rpc.host].site_availability_zone,
            self._resealed(rpc.secrets),
        )
        vifs = [translate.vif(port, *networks[port["network_id"]]) for port, _ in ports]
        return Prepared(server, vifs, {port["id"]: tag for port, tag in ports})

    async def announce(self, rpc: Rpc, prepared: Prepared) -> None:
        """Show the addresses above: they are known before the site has even begun."""
        for vif in prepared.vifs:
            tag = prepared.tags.get(vif["id"])
            await self._conductor.create_vif(rpc.context, rpc.uuid, vif["id"], vif["address"], tag)
        await self._conductor.save_info_cache(rpc.context, rpc.uuid, prepared.vifs)

    async def fail(self, rpc: Rpc, fault: Fault) -> None:
        """End a boot of which nothing is left in the site: by Nova's reschedule where it is allowed, else in ERROR.

        May be repeated after a crash: an instance that another host claimed since is left alone.
        """
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid)
        if instance is None or instance["vm_state"] != BUILDING or instance["host"] not in (None, rpc.host):
            LOG.info("the instance is not ours any more: its failed boot is not told")
            return
        try:
            if fault.code in RESCHEDULABLE and _alternates(rpc):
                await self._reschedule(rpc, fault)
            else:
                await self._end_in_error(rpc, fault)
        except (InstanceGone, TaskStateChanged):
            LOG.info("the instance was deleted while its boot failed")
        await self._conductor.event_finish(rpc.context, rpc.uuid, EVENT, rpc.host, error=fault.message)

    async def keep_in_error(self, rpc: Rpc, fault: Fault) -> None:
        """End a boot that the site may have begun: ERROR, but on our host, so that its delete reaches the site."""
        await self._show_fault(rpc, fault)
        try:
            changes = {"vm_state": "error", "task_state": None}
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, BUILD_TASK_STATES)
        except (InstanceGone, TaskStateChanged):
            LOG.info("the instance was deleted while its boot failed")
        await self._conductor.event_finish(rpc.context, rpc.uuid, EVENT, rpc.host, error=fault.message)

    async def _end_in_error(self, rpc: Rpc, fault: Fault) -> None:
        await self._show_fault(rpc, fault)
        await self._neutron.release(await self._neutron.ports_of(rpc.uuid))
        await self._conductor.delete_vifs(rpc.context, rpc.uuid)
        await self._conductor.save_info_cache(rpc.context, rpc.uuid, [])
        await self._placement.delete_allocations(rpc.uuid)
        changes = {"vm_state": "error", "task_state": None, **_no_host(), "availability_zone": None}
        await self._conductor.save_instance(rpc.context, rpc.uuid, changes, BUILD_TASK_STATES)

    async def _reschedule(self, rpc: Rpc, fault: Fault) -> None:
        """Nova 34, compute/manager.py _do_build_and_run_instance: free the host, then ask the conductor again."""
        LOG.info("rescheduled: %s", fault.message)
        changes = {"task_state": "scheduling", **_no_host()}
        await self._conductor.save_instance(rpc.context, rpc.uuid, changes, BUILD_TASK_STATES)
        await self._conductor.delete_vifs(rpc.context, rpc.uuid)
        await self._placement.delete_allocations(rpc.uuid)
        secrets = self._bridge_key.open(rpc.secrets) if rpc.secrets else ServerSecrets()
        args = rpc.args
        properties = dict(args.get("filter_properties") or {})
        properties["retry"] = {**properties["retry"], "exc": [fault.message], "exc_reason": fault.message}
        await self._conductor.build_instances(
            rpc.context,
            instances=[_with_user_data(args["instance"], secrets.user_data)],
            image=args.get("image"),
            filter_properties=properties,
            admin_password=secrets.admin_password,
            injected_files=secrets.injected_files,
            requested_networks=args.get("requested_networks"),
            security_groups=args.get("security_groups"),
            block_device_mapping=args.get("block_device_mapping"),
            request_spec=args.get("request_spec"),
            host_lists=[args["host_list"]],
        )

    async def _show_fault(self, rpc: Rpc, fault: Fault) -> None:
        message = fault.message[:FAULT_MESSAGE_LENGTH]
        details = f"site {self._site}: {fault.code}: {fault.message}"
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, 500, message, details)

    async def _ports(self, rpc: Rpc, instance: dict[str, Any]) -> list[tuple[Port, str | None]]:
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
            ports.append((await self._bound(rpc, instance, request, port), request.get("tag")))
        return ports

    async def _bound(self, rpc: Rpc, instance: dict[str, Any], request: dict[str, Any], port: Port | None) -> Port:
        wanted = {
            "device_id": rpc.uuid,
            "device_owner": f"compute:{instance.get('availability_zone') or 'nova'}",
            "binding:host_id": rpc.host,
        }
        if port is not None:
            if all(port.get(key) == value for key, value in wanted.items()):
                return port
            return await self._neutron.update_port(port["id"], wanted)
        if request.get("port_id"):
            raise Refused(FaultCode.NETWORK, f"port {request['port_id']} does not exist")
        fields: dict[str, Any] = {**wanted, "project_id": instance["project_id"]}
        if request.get("address"):
            fields["fixed_ips"] = [{"ip_address": str(request["address"])}]
        groups = await self._neutron.security_group_ids(instance["project_id"], rpc.args.get("security_groups") or [])
        if groups is not None:
            fields["security_groups"] = groups
        return await self._neutron.create_port(request["network_id"], fields)

    async def _requests(self, rpc: Rpc, instance: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the requested cards; none named means Nova's choice (Nova 34, network/neutron.py)."""
        requests: list[dict[str, Any]] = unwrap(rpc.args.get("requested_networks")) or []
        if not requests:
            return [{"network_id": n["id"]} for n in (await self._neutron.networks_of(instance["project_id"]))[:1]]
        if requests[0].get("network_id") == NONE:
            return []
        if requests[0].get("network_id") == AUTO:
            networks = await self._neutron.networks_of(instance["project_id"])
            project = instance["project_id"]
            chosen = networks[0]["id"] if networks else await self._neutron.auto_allocated(project)
            return [{"network_id": chosen}]
        return requests

    async def _network_spec(self, network: dict[str, Any], subnets: list[dict[str, Any]]) -> NetworkSpec:
        reserved = await self._neutron.reserved(self._site, network, subnets)
        return translate.network_spec(network, subnets, reserved)

    def _resealed(self, secrets: Sealed | None) -> Sealed | None:
        return None if secrets is None else self._site_key.seal(self._bridge_key.open(secrets))


def _claimed(instance: dict[str, Any], host: str) -> bool:
    return instance["host"] == host and instance["vm_state"] == BUILDING and instance["task_state"] in BUILD_TASK_STATES


def _no_host() -> dict[str, None]:
    return {"host": None, "node": None, "launched_on": None, "compute_id": None}


def _alternates(rpc: Rpc) -> bool:
    retry = (rpc.args.get("filter_properties") or {}).get("retry")
    return bool(retry) and bool(rpc.args.get("host_list"))


def _with_user_data(instance: dict[str, Any], user_data: str | None) -> dict[str, Any]:
    return {**instance, "nova_object.data": {**instance["nova_object.data"], "user_data": user_data}}
