"""nova-conductor and the part of nova-api that bridges use, in memory: the database of one cell.

Rules of Nova 34 kept here: a save names the task_states it expects and changes nothing if the row has another; a
deleted row is gone for every call but a read with ``read_deleted``; the conductor goes to the next alternate host.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.edge.nova_conductor import InstanceGone, ServiceGone, TaskStateChanged
from bridge.edge.nova_objects import DATA, timestamp
from proto.errors import Unavailable
from proto.messages import Fault

VERSION = 74
Row = dict[str, Any]


class FakeConductor:
    """``now`` returns UTC epoch s. ``rebuild`` is called with what a bridge asks to build again elsewhere."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.instances: dict[str, Row] = {}
        self.faults: dict[str, list[str]] = {}
        self.events: list[tuple[str, str, str]] = []  # uuid, event, started or how it ended
        self.vifs: dict[str, tuple[str, str]] = {}  # port -> instance, address
        self.migrations: dict[int, Row] = {}
        self.groups: dict[str, list[str]] = {}  # server group -> its members
        self.services: dict[str, Row] = {}
        self.nodes: dict[str, Row] = {}
        self.zones: dict[str, str] = {}
        self.away = False
        self.rebuild: Callable[[Mapping[str, Any]], None] = lambda _arguments: None
        self.resize: Callable[[Mapping[str, Any], str], None] = lambda _arguments, _host: None
        self.now = now

    def add(self, uuid: str, **fields: Any) -> Row:
        """Insert an instance as nova-api and the scheduler leave it."""
        row: Row = {"id": len(self.instances) + 1, "uuid": uuid, "deleted": False, "updated_at": self.now()}
        row |= {
            "vm_state": "building",
            "task_state": "scheduling",
            "power_state": 0,
            "info_cache": {"network_info": "[]"},
        }
        row |= {"image_ref": "img-1", "flavor": None, "old_flavor": None, "new_flavor": None, "system_metadata": {}}
        row |= {"host": None, "node": None, "compute_id": None, "launched_on": None, **fields}
        self.instances[uuid] = row
        return row

    def change(self, uuid: str, **fields: Any) -> None:
        """Write fields as nova-api does."""
        self.instances[uuid] |= {**fields, "updated_at": self.now()}

    async def get_instance(
        self, context: Row, uuid: str, expected_attrs: Sequence[str] = (), read_deleted: str = "no"
    ) -> Row | None:
        """Return an instance."""
        self._answer()
        row = self.instances.get(uuid)
        return _told(row) if row is not None and (not row["deleted"] or read_deleted == "yes") else None

    async def instances_on_host(
        self, host: str, expected_attrs: Sequence[str] = (), include_deleted: bool = False
    ) -> list[Row]:
        """Return the host's instances, newest first."""
        self._answer()
        rows = [row for row in self.instances.values() if row["host"] == host]
        return [_told(row) for row in reversed(rows) if include_deleted or not row["deleted"]]

    async def save_instance(
        self,
        context: Row,
        uuid: str,
        changes: Mapping[str, Any],
        expected_task_state: Sequence[str | None] | None = None,
        expected_vm_state: Sequence[str | None] | None = None,
    ) -> Row:
        """Write changes if the states are as expected."""
        self._answer()
        row = self._row(uuid)
        if expected_task_state and row["task_state"] not in expected_task_state:
            raise TaskStateChanged(f"{uuid} is {row['task_state']}", deleting=row["task_state"] == "deleting")
        if expected_vm_state and row["vm_state"] not in expected_vm_state:
            raise TaskStateChanged(f"{uuid} is {row['vm_state']}", deleting=False)
        row |= {**changes, "updated_at": self.now()}
        return dict(row)

    async def hosts_of_earlier_members(self, group_id: str, uuid: str) -> set[str]:
        """Return the hosts of those who joined a server group before."""
        self._answer()
        members = self.groups[group_id]
        earlier = [self.instances.get(one, {}) for one in members[: members.index(uuid)]]
        return {row["host"] for row in earlier if row.get("host") and not row["deleted"]}

    async def save_migration(self, context: Row, migration_id: int, changes: Row) -> None:
        """Write ``changes``."""
        self._answer()
        self.migrations[migration_id] |= changes

    async def evacuations_from(self, host: str) -> list[Row]:
        """Return the evacuations from a host that are done."""
        self._answer()
        moves = self.migrations.values()
        return [
            {**move, "instance_uuid": move["instance"]}
            for move in moves
            if move.get("source_compute") == host and move["status"] == "done"
        ]

    async def migration_in(self, uuid: str, status: str) -> Row | None:
        """Return the migration of an instance that has a status."""
        self._answer()
        moves = [
            dict(move) for move in self.migrations.values() if (move["instance"], move["status"]) == (uuid, status)
        ]
        return moves[0] if moves else None

    async def drop_migration_context(self, context: Row, uuid: str) -> None:
        """End the context of a move."""
        self._row(uuid)["migration_context"] = None

    async def destroy_instance(self, context: Row, instance_id: int, uuid: str, host: str | None) -> None:
        """Mark the row deleted; may be repeated."""
        self._answer()
        row = self.instances.get(uuid)
        if row is not None and not row["deleted"]:
            assert (row["id"], row["host"]) == (instance_id, host), "Nova: ConstraintNotMet"
            row |= {"deleted": True, "updated_at": self.now()}

    async def event_start(self, context: Row, uuid: str, event: str, host: str) -> None:
        """Begin an event."""
        self._answer()
        self.events.append((uuid, event, "started"))

    async def event_finish(
        self,
        context: Row,
        uuid: str,
        event: str,
        host: str | None = None,
        error: str | None = None,
        details: str | None = None,
    ) -> None:
        """End an event."""
        self._answer()
        self.events.append((uuid, event, error or "Success"))

    def tell(
        self, context: Row, uuid: str, event: str, host: str | None, began: bool, error: str | None = None
    ) -> None:
        """Nobody listens."""

    async def action_start(self, context: Row, uuid: str, action: str) -> None:
        """Record an action that began below."""
        self._answer()

    async def create_fault(self, context: Row, uuid: str, host: str, fault: Fault) -> None:
        """Show a fault."""
        self._answer()
        self.faults.setdefault(uuid, []).append(fault.message)

    async def save_info_cache(self, context: Row, uuid: str, network_info: list[Row]) -> None:
        """Replace the addresses shown."""
        self._answer()
        self._row(uuid)["info_cache"] = {"network_info": json.dumps(network_info)}

    async def create_vif(self, context: Row, uuid: str, port_id: str, mac: str, tag: str | None) -> None:
        """Record a port; an address is unique."""
        self._answer()
        assert self.vifs.get(port_id, (uuid, mac)) == (uuid, mac)
        self.vifs[port_id] = (uuid, mac)

    async def delete_vif(self, context: Row, port_id: str) -> None:
        """Delete one card's row."""
        self._answer()
        self.vifs.pop(port_id, None)

    async def vif_tag(self, context: Row, port_id: str) -> str | None:
        """Return the device tag of a recorded port."""
        self._answer()
        assert port_id in self.vifs
        return None

    async def block_device_mappings(self, context: Row, uuid: str) -> list[Row]:
        """Return the instance's block devices: none that a site is told of."""
        self._answer()
        return []

    async def delete_vifs(self, context: Row, uuid: str) -> None:
        """Drop all recorded ports."""
        self._answer()
        self.vifs = {port: vif for port, vif in self.vifs.items() if vif[0] != uuid}

    async def build_instances(self, context: Row, **arguments: Any) -> None:
        """Build again on the next alternate host."""
        self._answer()
        assert all(instance[DATA].get("uuid") for instance in arguments["instances"])
        self.rebuild({"context": context, **arguments})

    async def resize_instance(self, context: Row, args: Row, host: str, node: str) -> None:
        """Resize on this host and no other."""
        self._answer()
        assert args["request_spec"] and node == host
        self.resize({"context": context, **args}, host)

    async def conductor_service_version(self) -> int:
        """Return the service version to advertise."""
        self._answer()
        return VERSION

    async def get_service(self, host: str) -> Row | None:
        """Return the host's service."""
        self._answer()
        return dict(self.services[host]) if host in self.services else None

    async def create_service(self, host: str, version: int) -> Row:
        """Register the host."""
        self._answer()
        number = len(self.services) + 1
        fresh = {"disabled": False, "disabled_reason": None, "forced_down": False, "report_count": 0}
        self.services.setdefault(host, {"id": number, "uuid": f"service-{host}", "host": host, **fresh})
        return dict(self.services[host])

    async def heartbeat(self, service_id: int, report_count: int, version: int) -> Row:
        """Report a host alive."""
        self._answer()
        for service in self.services.values():
            if service["id"] == service_id:
                service["report_count"] = report_count
                service["seen_at"] = self.now()
                return dict(service)
        raise ServiceGone(f"service {service_id}")

    async def set_service_disabled(self, service_id: int, version: int, disabled: bool, reason: str | None) -> Row:
        """Disable or enable a service."""
        self._answer()
        row = next(service for service in self.services.values() if service["id"] == service_id)
        row |= {"disabled": disabled, "disabled_reason": reason if disabled else None}
        return dict(row)

    async def ensure_in_zone(self, host: str, zone: str) -> None:
        """Put a host into its zone (nova-api)."""
        self._answer()
        self.zones[host] = zone

    async def get_compute_node(self, host: str) -> Row | None:
        """Return the host's node."""
        self._answer()
        return self.nodes.get(host)

    async def create_compute_node(self, fields: Mapping[str, Any]) -> Row:
        """Create a node."""
        self._answer()
        return self.nodes.setdefault(fields["host"], {"id": len(self.nodes) + 1, **fields})

    async def save_compute_node(self, node_id: int, fields: Mapping[str, Any]) -> Row:
        """Write some fields of a node."""
        self._answer()
        node = next(node for node in self.nodes.values() if node["id"] == node_id)
        node |= fields
        return node

    def _row(self, uuid: str) -> Row:
        row = self.instances.get(uuid)
        if row is None or row["deleted"]:
            raise InstanceGone(f"instance {uuid} could not be found")
        return row

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("nova-conductor does not answer", retry_after=5.0)


def _told(row: Row) -> Row:
    return {**row, "updated_at": timestamp(row["updated_at"])}


def wrapped(kind: str, /, **fields: Any) -> Row:
    """Return an object as nova-conductor casts it: newest fields, nested objects wrapped."""
    return {
        "nova_object.name": kind,
        "nova_object.namespace": "nova",
        "nova_object.version": "9.9",
        "nova_object.data": fields,
    }
