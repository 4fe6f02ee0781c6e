"""What a compute host says to nova-conductor: services, compute nodes, instances and all that belongs to them.

Every call costs the conductor 5-40 ms, so callers make as few as they can. Unavailable whenever the conductor does
not answer (the call may have been carried out); InstanceGone and TaskStateChanged mean that the operation is over.
"""

import copy
import datetime
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bridge.core.notices import ActionEvent
from bridge.edge import nova_objects
from bridge.edge.nova_conductor_rpc import (
    ConductorRpc,
    Context,
    InstanceGone,
    RemoteFailure,
    ServiceGone,
    ServiceTooOld,
    TaskStateChanged,
    admin_context,
    request_context,
    without_changes,
)
from bridge.edge.nova_objects import DATA, at_our_versions, parse_timestamp, primitive, unwrap
from proto.errors import Unavailable
from proto.messages import Fault

__all__ = [
    "InstanceGone",
    "NovaConductor",
    "RemoteFailure",
    "ServiceGone",
    "ServiceTooOld",
    "TaskStateChanged",
    "admin_context",
    "request_context",
]

LOG = logging.getLogger(__name__)

BINARY = "nova-compute"
CALL_TIMEOUT = 50.0  # s
WORKERS = 8  # calls at the same time
PAGE = 500  # instances of one answer, about 3 kB each
SERVICE_DOWN_TIME = 75  # s without a heartbeat after which a conductor no longer counts; Nova's default is 60

_SERVICE_EXISTS = ("ServiceBinaryExists", "ServiceTopicExists")
_NODE_EXISTS = ("DBDuplicateEntry", "DuplicateRecord")


class NovaConductor:
    """Client of one cell's conductors over a transport that may be shared with NovaRpc."""

    def __init__(self, transport: Any, timeout: float = CALL_TIMEOUT, workers: int = WORKERS) -> None:
        self._rpc = ConductorRpc(transport, timeout, workers)
        self._heard: Callable[[ActionEvent], None] = lambda _event: None

    @property
    def rpc(self) -> ConductorRpc:
        """The calls themselves, for what belongs to another concern than an operation."""
        return self._rpc

    def telling(self, heard: Callable[[ActionEvent], None]) -> "NovaConductor":
        """Return this client as it is, but ``heard`` is called with each action event that is begun or ended by it."""
        told = copy.copy(self)
        told._heard = heard
        return told

    def close(self) -> None:
        """Start no more calls."""
        self._rpc.close()

    async def conductor_service_version(self) -> int:
        """Return the service version to advertise: the lowest of the living conductors of the cell.

        Nova's own get_minimum_version counts conductors that died long ago. Living is relative to the one seen last,
        so no clock of ours takes part.
        """
        found = await self._rpc.of_class(
            admin_context(), "ServiceList", "get_by_binary", "nova-conductor", include_disabled=True
        )
        seen = [(_seen_at(row), int(row["version"])) for row in unwrap(found)]
        if not seen:
            raise Unavailable("no nova-conductor has registered itself in this cell yet")
        newest = max(moment for moment, _ in seen)
        return min(version for moment, version in seen if (newest - moment).total_seconds() <= SERVICE_DOWN_TIME)

    async def get_service(self, host: str) -> dict[str, Any] | None:
        """Return the host's nova-compute service."""
        return unwrap(await self._rpc.of_class(admin_context(), "Service", "get_by_host_and_binary", host, BINARY))

    async def create_service(self, host: str, version: int) -> dict[str, Any]:
        """Register the host's nova-compute service, or return the one that is there; ServiceTooOld."""
        fields = {"host": host, "binary": BINARY, "topic": "compute", "report_count": 0, "version": version}
        try:
            return await self._rpc.of_object(admin_context(), primitive("Service", fields), "create")
        except RemoteFailure as error:
            service = await self.get_service(host) if error.kind in _SERVICE_EXISTS else None
            if service is None:
                raise
            return service

    async def heartbeat(self, service_id: int, report_count: int, version: int) -> dict[str, Any]:
        """Report the service alive and return it: disabled, disabled_reason, forced_down ...

        Nova takes it for a sign of life only if ``report_count`` grew. ServiceGone, ServiceTooOld.
        """
        fields = {"id": service_id, "binary": BINARY, "report_count": report_count, "version": version}
        service = primitive("Service", fields, ("report_count", "version"))
        return await self._rpc.of_object(admin_context(), service, "save")

    async def set_service_disabled(self, service_id: int, version: int, disabled: bool, reason: str | None) -> None:
        """Disable or enable the service without the API: no CALL set_host_enabled comes back to us. ServiceGone."""
        fields = {
            "id": service_id,
            "binary": BINARY,
            "version": version,
            "disabled": disabled,
            "disabled_reason": reason if disabled else None,
        }
        service = primitive("Service", fields, ("disabled", "disabled_reason"))
        await self._rpc.of_object(admin_context(), service, "save")

    async def get_compute_node(self, host: str) -> dict[str, Any] | None:
        """Return the host's only compute node."""
        try:
            nodes = unwrap(await self._rpc.of_class(admin_context(), "ComputeNodeList", "get_all_by_host", host))
        except RemoteFailure as error:
            if error.kind != "ComputeHostNotFound":
                raise
            return None
        return nodes[0] if nodes else None

    async def create_compute_node(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Create the node (a deleted one of the same uuid comes back), or return the host's."""
        try:
            return await self._rpc.of_object(admin_context(), nova_objects.compute_node(fields), "create")
        except RemoteFailure as error:
            node = await self.get_compute_node(fields["host"]) if error.kind in _NODE_EXISTS else None
            if node is None:
                raise
            return node

    async def save_compute_node(self, node_id: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Write some fields of a node."""
        node = nova_objects.compute_node({"id": node_id, **fields})
        return await self._rpc.of_object(admin_context(), node, "save")

    async def get_instance(
        self, context: Context, uuid: str, expected_attrs: Sequence[str] = (), read_deleted: str = "no"
    ) -> dict[str, Any] | None:
        """Return an instance, with ``read_deleted='yes'`` also a deleted one.

        ``expected_attrs`` name what else to load: flavor, system_metadata, metadata, info_cache, tags, keypairs ...
        """
        context = {**context, "read_deleted": read_deleted}
        try:
            found = await self._rpc.of_class(
                context, "Instance", "get_by_uuid", uuid, expected_attrs=list(expected_attrs)
            )
        except InstanceGone:
            return None
        return unwrap(found)

    async def instances_on_host(
        self, host: str, expected_attrs: Sequence[str] = (), include_deleted: bool = False
    ) -> list[dict[str, Any]]:
        """Return the host's instances, soft-deleted ones too, newest first, in pages of PAGE."""
        filters: dict[str, Any] = {"host": host}
        if not include_deleted:
            filters |= {"deleted": False, "soft_deleted": True}
        context = admin_context(read_deleted="yes" if include_deleted else "no")
        instances: list[dict[str, Any]] = []
        while True:
            page = unwrap(
                await self._rpc.of_class(
                    context,
                    "InstanceList",
                    "get_by_filters",
                    filters,
                    limit=PAGE,
                    marker=instances[-1]["uuid"] if instances else None,
                    expected_attrs=list(expected_attrs),
                )
            )
            instances += page
            if len(page) < PAGE:
                return instances

    async def hosts_of_earlier_members(self, group_id: str, uuid: str) -> set[str]:
        """Return the hosts of the instances that joined a server group before this one; RemoteFailure if it is gone.

        Unavailable or RemoteFailure also where the conductor of a cell has no access to the API database.
        """
        group = unwrap(await self._rpc.of_class(admin_context(), "InstanceGroup", "get_by_uuid", group_id))
        members = list(group["members"] or [])
        earlier = members[: members.index(uuid)] if uuid in members else members
        if not earlier:
            return set()
        filters = {"uuid": earlier, "deleted": False}
        found = unwrap(await self._rpc.of_class(admin_context(), "InstanceList", "get_by_filters", filters))
        return {instance["host"] for instance in found if instance["host"]}

    async def save_instance(
        self,
        context: Context,
        uuid: str,
        changes: Mapping[str, Any],
        expected_task_state: Sequence[str | None] | None = None,
        expected_vm_state: Sequence[str | None] | None = None,
    ) -> dict[str, Any]:
        """Write ``changes`` and nothing else, and return all columns. See nova_objects.instance_patch.

        Nothing is written, and TaskStateChanged raised, unless the states are among the expected ones; an empty
        sequence expects nothing. InstanceGone.
        """
        expected: dict[str, Any] = {}
        if expected_task_state:
            expected["expected_task_state"] = list(expected_task_state)
        if expected_vm_state:
            expected["expected_vm_state"] = list(expected_vm_state)
        return await self._rpc.of_object(context, nova_objects.instance_patch(uuid, changes), "save", **expected)

    async def unconfirmed_resizes(self, host: str, window: int) -> list[dict[str, Any]]:
        """Return the host's migrations that have been finished for ``window`` s and were neither confirmed nor not."""
        method = "get_unconfirmed_by_dest_compute"
        return unwrap(await self._rpc.of_class(admin_context(), "MigrationList", method, window, host))

    async def evacuations_from(self, host: str) -> list[dict[str, Any]]:
        """Return the evacuations from a host that are done there where they went, and not ended on this side."""
        filters = {"source_compute": host, "status": ["done"], "migration_type": "evacuation"}
        found = await self._rpc.of_class(admin_context(read_deleted="yes"), "MigrationList", "get_by_filters", filters)
        return unwrap(found)

    async def save_migration(self, context: Context, migration_id: int, changes: Mapping[str, Any]) -> None:
        """Write ``changes`` of a migration and nothing else."""
        migration = primitive("Migration", {"id": migration_id, **changes}, changes)
        await self._rpc.of_object(context, migration, "save")

    async def migration_in(self, uuid: str, status: str) -> dict[str, Any] | None:
        """Return the migration of an instance that has a status; None if it has none."""
        method = "get_by_instance_and_status"
        try:
            return unwrap(await self._rpc.of_class(admin_context(), "Migration", method, uuid, status))
        except RemoteFailure as error:
            if error.kind != "MigrationNotFoundByStatus":
                raise
            return None

    async def drop_migration_context(self, context: Context, uuid: str) -> None:
        """End what routes external events to both hosts of a move; may be repeated."""
        await self._rpc.of_object(context, primitive("Instance", {"uuid": uuid}, ()), "drop_migration_context")

    async def destroy_instance(self, context: Context, instance_id: int, uuid: str, host: str | None) -> None:
        """Mark the row deleted; may be repeated. Without a host it must have none above either."""
        instance = primitive("Instance", {"id": instance_id, "uuid": uuid, "host": host}, ())
        try:
            await self._rpc.of_object(context, instance, "destroy")
        except InstanceGone:
            LOG.debug("instance=%s was deleted already", uuid)

    async def event_start(self, context: Context, uuid: str, event: str, host: str) -> None:
        """Begin an event of the instance action that the context's request id names; none is fine."""
        await self._event(context, "event_start", uuid, event, host=host)
        self.tell(context, uuid, event, host, began=True)

    async def event_finish(
        self,
        context: Context,
        uuid: str,
        event: str,
        host: str | None = None,
        error: str | None = None,
        details: str | None = None,
    ) -> None:
        """End the last event of that name: Success, or Error with a text for users and details for admins.

        Nova keeps the host of the start; ``host`` is for callers that treat both alike.
        """
        traceback = (details or error) if error is not None else None
        await self._event(context, "event_finish_with_failure", uuid, event, exc_val=error, exc_tb=traceback)
        self.tell(context, uuid, event, host, began=False, error=error)

    def tell(
        self, context: Context, uuid: str, event: str, host: str | None, began: bool, error: str | None = None
    ) -> None:
        """Have whoever listens hear of an event; for those that Nova does not record."""
        self._heard(ActionEvent(context, uuid, event, host, began, error))

    async def _event(self, context: Context, method: str, uuid: str, event: str, **kwargs: Any) -> None:
        try:
            await self._rpc.of_class(context, "InstanceActionEvent", method, uuid, event, want_result=False, **kwargs)
        except RemoteFailure as error:
            if error.kind not in ("InstanceActionNotFound", "InstanceActionEventNotFound"):
                raise
            LOG.debug("instance=%s %s %s: %s", uuid, method, event, error)

    async def action_start(self, context: Context, uuid: str, action: str) -> None:
        """Record an action that began below; its events need the same context."""
        await self._rpc.of_class(context, "InstanceAction", "action_start", uuid, action, want_result=False)

    async def create_fault(self, context: Context, uuid: str, host: str, fault: Fault) -> None:
        """Show a fault; the API shows the newest one, and only while the instance is in ERROR or deleted."""
        await self._rpc.of_object(context, nova_objects.fault(uuid, host, fault), "create")

    async def save_info_cache(self, context: Context, uuid: str, network_info: list[dict[str, Any]]) -> None:
        """Replace the instance's addresses above."""
        await self._rpc.of_object(context, nova_objects.info_cache(uuid, network_info), "save")

    async def create_vif(self, context: Context, uuid: str, port_id: str, mac: str, tag: str | None) -> None:
        """Record a port of the instance; may be repeated."""
        vif = nova_objects.virtual_interface(uuid, port_id, mac, tag)
        try:
            await self._rpc.of_object(context, vif, "create")
        except RemoteFailure as error:
            if error.kind != "VirtualInterfaceCreateException":
                raise
            found = unwrap(await self._rpc.of_class(context, "VirtualInterface", "get_by_uuid", port_id))
            if found is None or found["instance_uuid"] != uuid:
                raise

    async def vif_tag(self, context: Context, port_id: str) -> str | None:
        """Return the device tag of a recorded port; None if it has none."""
        found = unwrap(await self._rpc.of_class(context, "VirtualInterface", "get_by_uuid", port_id))
        tag: str | None = found["tag"] if found is not None else None
        return tag

    async def delete_vifs(self, context: Context, uuid: str) -> None:
        """Drop all recorded ports of the instance; may be repeated."""
        await self._rpc.of_class(context, "VirtualInterface", "delete_by_instance_uuid", uuid)

    async def delete_vif(self, context: Context, port_id: str) -> None:
        """Delete the row of one card; none is fine."""
        found = await self._rpc.of_class(context, "VirtualInterface", "get_by_uuid", port_id)
        if found is not None:
            await self._rpc.of_object(context, without_changes(found), "destroy")

    async def block_device_mappings(self, context: Context, uuid: str) -> list[dict[str, Any]]:
        """Return the instance's block devices."""
        return unwrap(await self._rpc.of_class(context, "BlockDeviceMappingList", "get_by_instance_uuid", uuid))

    async def save_bdm(self, context: Context, mapping_id: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Write some fields of a block device."""
        mapping = primitive("BlockDeviceMapping", {"id": mapping_id, **fields}, fields)
        return await self._rpc.of_object(context, mapping, "save")

    async def build_instances(
        self,
        context: Context,
        *,
        instances: Iterable[dict[str, Any]],
        host_lists: list[list[dict[str, Any]]],
        **arguments: Any,
    ) -> None:
        """Ask the conductor to build again on the next alternate host, as nova-compute does after a failed build.

        Takes the arguments of build_and_run_instance as they came: image, filter_properties (with ``retry``),
        admin_password, injected_files, requested_networks, security_groups, request_spec. The conductor reads the
        block devices itself, so block_device_mapping is left out. Not before the allocation is gone.
        """
        arguments.pop("block_device_mapping", None)
        await self._rpc.cast_task(
            context,
            "build_instances",
            instances=[without_changes(at_our_versions(instance)) for instance in instances],
            host_lists=at_our_versions(host_lists),
            **{name: at_our_versions(value) for name, value in arguments.items()},
        )

    async def resize_instance(self, context: Context, args: Mapping[str, Any], host: str, node: str) -> None:
        """Ask the conductor for a resize again, on this host and no other.

        ``args``: of prep_resize, as they came. Not before the migration's allocation is the instance's again. Asked as
        an administrator: the scheduler looks at ports, and the tenant's token never came so far.
        """
        there = {"host": host, "node": node, "allow_cross_cell_move": False}
        there |= dict.fromkeys(("cell", "aggregates", "forbidden_aggregates"))
        spec = at_our_versions(args["request_spec"])
        await self._rpc.cast_task(
            {**context, "is_admin": True},
            "migrate_server",
            instance=without_changes(at_our_versions(args["instance"])),
            scheduler_hint={"filter_properties": args.get("filter_properties") or {}},
            live=False,
            rebuild=False,
            flavor=at_our_versions(args["flavor"]),
            block_migration=None,
            disk_over_commit=None,
            reservations=None,
            clean_shutdown=bool(args.get("clean_shutdown", True)),
            request_spec={**spec, DATA: {**spec[DATA], "requested_destination": primitive("Destination", there)}},
            host_list=None,
        )


def _seen_at(service: Mapping[str, Any]) -> datetime.datetime:
    seen = parse_timestamp(service["last_seen_up"] or service["created_at"])
    assert seen is not None
    return seen
