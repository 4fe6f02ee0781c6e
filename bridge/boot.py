"""The parts of a boot that happen above: claim, ports, what the site is told, network info, and a failed boot's end."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bridge.cards import Cards
from bridge.catalog import Catalog
from bridge.core import translate
from bridge.core.disks import disk_specs, refuse_certificates
from bridge.core.flavor_fit import refuse_misfit
from bridge.edge.glance import Glance
from bridge.edge.neutron import Port
from bridge.edge.nova_conductor import InstanceGone, NovaConductor, TaskStateChanged
from bridge.edge.nova_objects import unwrap
from bridge.edge.placement import Placement
from bridge.presence import Presence
from bridge.server_groups import refuse_apart
from proto.errors import RESCHEDULABLE
from proto.messages import Fault, Rpc, SiteHost
from proto.operations import BUILD_TASK_STATES, BY_METHOD
from proto.sealing import PrivateKey, PublicKey
from proto.specs import DiskSpec, Sealed, ServerSecrets, ServerSpec

LOG = logging.getLogger(__name__)

EVENT = BY_METHOD["build_and_run_instance"].event
BUILDING = "building"
PortsOf = Callable[[Rpc, dict[str, Any]], Awaitable[list[tuple[Port, str | None]]]]  # with their device tags
UNCLAIMED = ("scheduling", None)  # task_states in which a build reaches a host


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
        cards: Cards,
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
        self._cards = cards
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
        disks = disk_specs(unwrap(rpc.args.get("block_device_mapping")) or [])
        return await self.gather(rpc, instance, instance["image_ref"], disks, self._cards.ports)

    async def gather(
        self, rpc: Rpc, instance: dict[str, Any], image_id: str | None, disks: list[DiskSpec], ports_of: PortsOf
    ) -> Prepared:
        """Gather what the site needs to make an instance's server of an image; ``ports_of`` it when all else fits."""
        request_spec = unwrap(rpc.args.get("request_spec") or {})
        refuse_certificates(instance)
        flavor = await self._catalog.flavor(instance["flavor"])
        refuse_misfit(flavor, self._presence.capacity_of(rpc.host))
        await refuse_apart(self._conductor, rpc, request_spec)
        ports = await ports_of(rpc, instance)
        cards = await self._cards.described(rpc.uuid, ports)
        image = translate.image_spec(await self._glance.image(image_id)) if image_id else None
        server = translate.server_spec(
            instance,
            request_spec,
            flavor,
            image,
            cards.networks,
            cards.ports,
            self._hosts[rpc.host].site_availability_zone,
            self._resealed(rpc.secrets),
            disks,
            cards.groups,
        )
        return Prepared(server, cards.vifs, {port["id"]: tag for port, tag in ports})

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
        await self._cards.leave_networks(rpc)
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
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
        try:
            changes = {"vm_state": "error", "task_state": None}
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, BUILD_TASK_STATES)
        except (InstanceGone, TaskStateChanged):
            LOG.info("the instance was deleted while its boot failed")
        await self._conductor.event_finish(rpc.context, rpc.uuid, EVENT, rpc.host, error=fault.message)

    async def _end_in_error(self, rpc: Rpc, fault: Fault) -> None:
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
        await self._cards.release(rpc.uuid)
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
