"""nova-api, scheduler and conductor of the cascading cloud: what a tenant's request becomes before a host hears of it.

Task_states, casts and local deletes as in Nova 34 (compute/api.py, conductor/manager.py).
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.core.inventory import node_uuid
from bridge.edge.nova_objects import DATA, timestamp
from bridge.edge.nova_rpc import IncomingRpc
from tests.fakes.conductor import FakeConductor, wrapped
from tests.fakes.neutron import FakeNeutron
from tests.fakes.placement import FakePlacement
from tests.fakes.rabbit import FakeRabbit

MAX_ATTEMPTS = 3
TOKEN = "gAAAAABf-the-users-token"
PASSWORD = "the-admin-password"
USER_DATA = "dGhlIHVzZXIgZGF0YQ=="
FLAVOR = {
    "flavorid": "42",
    "name": "m1.small",
    "vcpus": 1,
    "memory_mb": 512,
    "root_gb": 1,
    "ephemeral_gb": 0,
    "swap": 0,
}
LARGER = {**FLAVOR, "flavorid": "43", "name": "m1.large", "memory_mb": 1024}
POWERED = ("active", "rescued", "error")
SHELVABLE = ("active", "stopped", "paused", "suspended")


class Refused(Exception):
    """nova-api answers 409."""


class FakeNova:
    """One cell and its API."""

    def __init__(
        self, conductor: FakeConductor, rabbit: FakeRabbit, placement: FakePlacement, neutron: FakeNeutron
    ) -> None:
        self.conductor = conductor
        self.rabbit = rabbit
        self.placement = placement
        self.neutron = neutron
        self.flavor = dict(FLAVOR)  # of every boot
        self.sent: list[IncomingRpc] = []
        self._numbers = itertools.count(1)
        self.project = "project-1"  # whose tenants ask
        conductor.rebuild = self._build_again
        conductor.resize = self._resize_at_home

    def group(self, uuid: str, policy: str) -> None:
        """Let an instance that is not booted yet join the only server group of a policy."""
        self.conductor.groups.setdefault(f"group-{policy}", []).append(uuid)

    def build(self, uuid: str, name: str, hosts: Sequence[str], **fields: Any) -> None:
        """Boot an instance on the first host; the others are its alternates."""
        flavor = {"id": 1, **self.flavor}
        self.conductor.add(uuid, **{"display_name": name, "project_id": "project-1", "flavor": flavor, **fields})
        self._cast_build(self._context(), uuid, list(hosts), 1)

    def delete(self, uuid: str) -> None:
        """Delete an instance: by its host, or here if it has none."""
        row = self._row(uuid)
        if row["host"] is None or self._forced_down(row["host"]):
            self.conductor.change(uuid, deleted=True, vm_state="deleted", task_state=None)
            self.placement.allocations.pop(uuid, None)
            self.placement.former.pop(uuid, None)
            for port in [port for port in self.neutron.made.values() if port.get("device_id") == uuid]:
                del self.neutron.made[port["id"]]
            return
        self.conductor.change(uuid, task_state="deleting")
        if row["vm_state"] == "resized":
            self._confirmed(uuid)
        self._cast(row["host"], "terminate_instance", uuid, bdms=[])

    def _confirmed(self, uuid: str) -> None:
        """Leave what nova-api's CALL leaves by which the host confirms a resize before a delete; only casts go out."""
        for migration in self.conductor.migrations.values():
            if migration["instance"] == uuid and migration["status"] == "finished":
                migration["status"] = "confirmed"
                self.placement.allocations.pop(migration["uuid"], None)

    def soft_delete(self, uuid: str) -> None:
        """Delete an instance where reclaim_instance_interval is set, whatever is done with it."""
        row = self._row(uuid)
        self.conductor.change(uuid, task_state="soft-deleting", deleted_at=timestamp(self.conductor.now()))
        self._cast(row["host"], "soft_delete_instance", uuid)

    def restore(self, uuid: str) -> None:
        """Have an instance back that was soft-deleted."""
        self._act(uuid, "restore_instance", "restoring", ("soft-delete",))
        self.conductor.change(uuid, deleted_at=None)

    def crash_dump(self, uuid: str) -> None:
        """Ask for something that has no row in our table."""
        self._act(uuid, "trigger_crash_dump", None, POWERED)

    def add_address(self, uuid: str) -> None:
        """Give an instance one more address of its network."""
        self._act(uuid, "add_fixed_ip_to_instance", None, POWERED, network_id="net-1")

    def remove_address(self, uuid: str) -> None:
        """Take the last address of an instance away."""
        port = next(port for port in self.neutron.made.values() if port.get("device_id") == uuid)
        address = port["fixed_ips"][-1]["ip_address"]
        self._act(uuid, "remove_fixed_ip_from_instance", None, POWERED, address=address)

    def stop(self, uuid: str) -> None:
        """Stop an instance."""
        self._act(uuid, "stop_instance", "powering-off", POWERED, clean_shutdown=True)

    def start(self, uuid: str) -> None:
        """Start an instance."""
        self._act(uuid, "start_instance", "powering-on", ("stopped",))

    def reboot(self, uuid: str, kind: str = "SOFT") -> None:
        """Reboot an instance."""
        task = "rebooting" if kind == "SOFT" else "rebooting_hard"
        self._act(uuid, "reboot_instance", task, POWERED, block_device_info=None, reboot_type=kind)

    def pause(self, uuid: str) -> None:
        """Pause an instance."""
        self._act(uuid, "pause_instance", "pausing", ("active",))

    def unpause(self, uuid: str) -> None:
        """Unpause an instance."""
        self._act(uuid, "unpause_instance", "unpausing", ("paused",))

    def suspend(self, uuid: str) -> None:
        """Suspend an instance."""
        self._act(uuid, "suspend_instance", "suspending", ("active",))

    def resume(self, uuid: str) -> None:
        """Resume an instance."""
        self._act(uuid, "resume_instance", "resuming", ("suspended",))

    def rebuild(self, uuid: str) -> None:
        """Rebuild an instance from the image it has."""
        self._act(uuid, "rebuild_instance", "rebuilding", POWERED, image_ref="img-1", new_pass="new", recreate=False)

    def password(self, uuid: str) -> None:
        """Set the guest's password; nova-api would wait for the answer."""
        self._act(uuid, "set_admin_password", "updating_password", ("active",), new_pass="new")

    def attach(self, uuid: str) -> None:
        """Attach a card of the second network; nova-api would wait for the answer."""
        self._act(
            uuid, "attach_interface", None, POWERED, network_id="net-1", port_id=None, requested_ip=None, tag=None
        )

    def detach(self, uuid: str) -> None:
        """Detach the card attached last."""
        ports = [port["id"] for port in self.neutron.made.values() if port.get("device_id") == uuid]
        if not ports:
            raise Refused("no such card")
        self._act(uuid, "detach_interface", None, POWERED, port_id=ports[-1])

    def rescue(self, uuid: str) -> None:
        """Rescue an instance with the site's own choice of an image."""
        self._act(uuid, "rescue_instance", "rescuing", POWERED, rescue_password="new", rescue_image_ref=None)

    def unrescue(self, uuid: str) -> None:
        """End the rescue of an instance."""
        self._act(uuid, "unrescue_instance", "unrescuing", ("rescued",))

    def resize(self, uuid: str, host: str | None = None) -> None:
        """Resize an instance to the larger flavor; its allocation goes to the migration. ``host``: not its own."""
        number = len(self.conductor.migrations) + 1
        migration = {"id": number, "uuid": f"migration-{number}"}
        row = self._row(uuid)
        self.conductor.change(uuid, flavor={"id": 1, **FLAVOR})
        request = wrapped("Migration", **migration)
        self._act(
            uuid, "prep_resize", "resize_prep", ("active", "stopped"),
            flavor=wrapped("Flavor", id=2, **LARGER), migration=request, image={}, clean_shutdown=True,
            request_spec=wrapped("RequestSpec", instance_uuid=uuid), to=host,
        )  # fmt: skip
        self.conductor.migrations[number] = {**migration, "status": "pre-migrating", "instance": uuid}
        self.placement.allocations[migration["uuid"]] = node_uuid(row["host"])

    def confirm(self, uuid: str) -> None:
        """Confirm the resize of an instance."""
        migration = self._migration(uuid, "confirming")
        self._act(uuid, "confirm_resize", None, ("resized",), migration=migration)

    def revert(self, uuid: str) -> None:
        """Revert the resize of an instance."""
        migration = self._migration(uuid, "reverting")
        self._act(uuid, "revert_resize", "resize_reverting", ("resized",), migration=migration)

    def _migration(self, uuid: str, status: str) -> dict[str, Any]:
        for migration in self.conductor.migrations.values():
            if migration["instance"] == uuid and migration["status"] == "finished":
                migration["status"] = status
                return wrapped("Migration", id=migration["id"], uuid=migration["uuid"])
        raise Refused("no finished migration")

    def shelve(self, uuid: str, image_id: str) -> None:
        """Shelve an instance into an image that Glance has already."""
        kept = {"base_image_ref": "img-1"}
        self._act(uuid, "shelve_instance", "shelving", SHELVABLE, image_id=image_id, clean_shutdown=True)
        self.conductor.change(uuid, flavor={"id": 1, **self.flavor}, system_metadata=kept)

    def offload(self, uuid: str) -> None:
        """Have a shelved instance leave its host, as an operator does."""
        self._act(uuid, "shelve_offload_instance", "shelving_offloading", ("shelved",), clean_shutdown=True)

    def unshelve(self, uuid: str, host: str) -> None:
        """Unshelve an instance: on its host if it still has one, else on the one that the scheduler chose."""
        row = self._row(uuid)
        if row["task_state"] is not None or row["vm_state"] not in ("shelved", "shelved_offloaded"):
            raise Refused(f"cannot unshelve while {row['vm_state']}/{row['task_state']}")
        if row["vm_state"] == "shelved":
            self.conductor.change(uuid, task_state="powering-on")
            self._cast(row["host"], "start_instance", uuid)
            return
        self.conductor.change(uuid, task_state="unshelving")
        self.placement.allocations[uuid] = node_uuid(host)
        arguments = {
            "image": {"id": row["system_metadata"]["shelved_image_id"]},
            "request_spec": wrapped("RequestSpec", scheduler_hints={}),
            "filter_properties": {},
            "node": host,
            "accel_uuids": [],
        }
        self._cast(host, "unshelve_instance", uuid, zone=host, **arguments)

    def force_down(self, host: str, down: bool) -> None:
        """Force a compute service down, or no longer: not before its host has ended what was evacuated from it."""
        left = [move for move in self.conductor.migrations.values() if move.get("source_compute") == host]
        if not down and any(move["status"] == "done" for move in left):
            raise Refused(f"done evacuation migration records remain associated with {host}")
        self.conductor.services[host]["forced_down"] = down

    def evacuate(self, uuid: str, host: str, target_state: str | None = None) -> None:
        """Evacuate an instance to the host that the scheduler chose."""
        row = self._row(uuid)
        if not self._forced_down(row["host"]) or row["vm_state"] not in ("active", "stopped", "error"):
            raise Refused(f"cannot evacuate while {row['vm_state']} on {row['host']}")
        number = len(self.conductor.migrations) + 1
        migration = {"id": number, "uuid": f"migration-{number}"}
        self.conductor.change(uuid, task_state="rebuilding")
        where = {"instance": uuid, "status": "accepted", "source_compute": row["host"]}
        self.conductor.migrations[number] = {**migration, **where}
        self.placement.former.setdefault(uuid, set()).add(self.placement.allocations[uuid])
        self.placement.allocations[uuid] = node_uuid(host)
        arguments = {
            "image_ref": None,
            "new_pass": PASSWORD,
            "injected_files": [],
            "bdms": None,
            "recreate": True,
            "migration": wrapped("Migration", **migration),
            "request_spec": wrapped("RequestSpec", scheduler_hints={}),
            "target_state": target_state,
        }
        self._cast(host, "rebuild_instance", uuid, zone=host, **arguments)

    def _forced_down(self, host: str) -> bool:
        return bool(self.conductor.services[host]["forced_down"])

    def snapshot(self, uuid: str, image_id: str) -> None:
        """Take a snapshot for an image that Glance has already."""
        self._act(uuid, "snapshot_instance", "image_snapshot_pending", ("active", "stopped"), image_id=image_id)

    def backup(self, uuid: str, image_id: str) -> None:
        """Take a backup, of which only the newest is to stay, for an image that Glance has already."""
        about = {"image_id": image_id, "backup_type": "daily", "rotation": 1}
        self._act(uuid, "backup_instance", "image_backup", ("active", "stopped"), **about)

    def was_sent(self, uuid: str, method: str) -> bool:
        """Whether an RPC of this method was sent for an instance."""
        return any(rpc.method == method and _uuid(rpc) == uuid for rpc in self.sent)

    def redeliver(self, uuid: str, method: str) -> None:
        """RabbitMQ delivers the last message of a method once more."""
        rpc = next(r for r in reversed(self.sent) if r.method == method and _uuid(r) == uuid)
        again = {name: getattr(rpc, name) for name in ("host", "method", "rpc_id", "context", "args", "is_call")}
        self.rabbit.cast(IncomingRpc(**again, redelivered=True))

    def _act(
        self, uuid: str, method: str, task: str | None, vm_states: Sequence[str], to: str | None = None, **args: Any
    ) -> None:
        row = self._row(uuid)
        if row["task_state"] is not None or row["vm_state"] not in vm_states or row["host"] is None:
            raise Refused(f"cannot {method} while {row['vm_state']}/{row['task_state']}")
        self.conductor.change(uuid, task_state=task)
        self._cast(to or row["host"], method, uuid, **args)

    def _row(self, uuid: str) -> dict[str, Any]:
        row = self.conductor.instances.get(uuid)
        if row is None or row["deleted"]:
            raise Refused("no such instance")
        return row

    def _context(self) -> dict[str, Any]:
        number = next(self._numbers)
        catalog = [{"type": "identity", "endpoints": [{"publicURL": "https://keystone"}]}]
        return {
            "request_id": f"req-{number}",
            "user_id": "user-1",
            "project_id": self.project,
            "is_admin": False,
            "auth_token": TOKEN,
            "service_catalog": catalog,
        }

    def _cast_build(self, context: dict[str, Any], uuid: str, hosts: list[str], attempt: int) -> None:
        host, *alternates = hosts
        self.placement.allocations[uuid] = node_uuid(host)
        requests = [wrapped("NetworkRequest", network_id="net-1", port_id=None, address=None, tag=None)]
        joined = [group for group, members in self.conductor.groups.items() if uuid in members]
        groups = [wrapped("InstanceGroup", uuid=one, policy=one.removeprefix("group-"), _rules={}) for one in joined]
        arguments = {
            "image": {"id": "img-1"},
            "request_spec": wrapped("RequestSpec", scheduler_hints={}, instance_group=next(iter(groups), None)),
            "filter_properties": {"retry": {"num_attempts": attempt, "hosts": [[host, host]]}},
            "admin_password": PASSWORD,
            "injected_files": [],
            "requested_networks": wrapped("NetworkRequestList", objects=requests),
            "security_groups": ["default"],
            "block_device_mapping": wrapped("BlockDeviceMappingList", objects=[]),
            "host_list": [wrapped("Selection", service_host=name) for name in alternates],
        }
        self._cast(host, "build_and_run_instance", uuid, context, **arguments)

    def _resize_at_home(self, asked: Mapping[str, Any], host: str) -> None:
        """Send a resize to the host that was asked for; the conductor's part when it is asked for again."""
        uuid, migration = asked["instance"][DATA]["uuid"], asked["migration"][DATA]["uuid"]
        self.placement.allocations[migration] = self.placement.allocations[uuid]
        kept = ("flavor", "migration", "image", "clean_shutdown", "request_spec")
        self._cast(host, "prep_resize", uuid, dict(asked["context"]), **{name: asked[name] for name in kept})

    def _build_again(self, asked: Mapping[str, Any]) -> None:
        """Go to the next alternate, or end in ERROR; the conductor's part of a reschedule."""
        (instance,), (alternates,) = asked["instances"], asked["host_lists"]
        uuid = instance[DATA]["uuid"]
        retry = asked["filter_properties"]["retry"]
        assert (instance[DATA]["user_data"], asked["admin_password"]) == (USER_DATA, PASSWORD)
        if self.conductor.instances[uuid]["deleted"]:
            return
        if not alternates or retry["num_attempts"] >= MAX_ATTEMPTS:
            self.conductor.change(uuid, vm_state="error", task_state=None)
            return
        hosts = [selection[DATA]["service_host"] for selection in alternates]
        self._cast_build(dict(asked["context"]), uuid, hosts, retry["num_attempts"] + 1)

    def _cast(
        self,
        host: str,
        method: str,
        uuid: str,
        context: dict[str, Any] | None = None,
        zone: str | None = None,
        **args: Any,
    ) -> None:
        row = self.conductor.instances[uuid]
        instance = wrapped(
            "Instance",
            uuid=uuid,
            project_id=row["project_id"],
            display_name=row["display_name"],
            image_ref="img-1",
            flavor=wrapped("Flavor", **self.flavor),
            keypairs=wrapped("KeyPairList", objects=[]),
            user_data=USER_DATA,
            host=row["host"],
            node=row["node"],
            compute_id=row["compute_id"],
            vm_state=row["vm_state"],
            availability_zone=zone or row.get("availability_zone"),
        )
        rpc = IncomingRpc(
            host=host,
            method=method,
            rpc_id=f"rpc-{next(self._numbers)}",
            context=context or self._context(),
            args={"instance": instance, **args},
            is_call=False,
            redelivered=False,
        )
        self.sent.append(rpc)
        self.rabbit.cast(rpc)


def _uuid(rpc: IncomingRpc) -> str:
    return str(rpc.args["instance"][DATA]["uuid"])
