"""nova-api, scheduler and conductor of the cascading cloud: what a tenant's request becomes before a host hears of it.

Task_states, casts and local deletes as in Nova 34 (compute/api.py, conductor/manager.py).
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.core.inventory import node_uuid
from bridge.edge.nova_objects import DATA
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
POWERED = ("active", "rescued", "error")


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
        self.sent: list[IncomingRpc] = []
        self._numbers = itertools.count(1)
        conductor.rebuild = self._build_again

    def build(self, uuid: str, name: str, hosts: Sequence[str], **fields: Any) -> None:
        """Boot an instance on the first host; the others are its alternates."""
        self.conductor.add(uuid, display_name=name, project_id="project-1", **fields)
        self._cast_build(self._context(), uuid, list(hosts), 1)

    def delete(self, uuid: str) -> None:
        """Delete an instance: by its host, or here if it has none."""
        row = self._row(uuid)
        if row["host"] is None:
            self.conductor.change(uuid, deleted=True, vm_state="deleted", task_state=None)
            self.placement.allocations.pop(uuid, None)
            for port in [port for port in self.neutron.ports.values() if port.get("device_id") == uuid]:
                del self.neutron.ports[port["id"]]
            return
        self.conductor.change(uuid, task_state="deleting")
        self._cast(row["host"], "terminate_instance", uuid, bdms=[])

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

    def shelve(self, uuid: str) -> None:
        """Ask for something that has no row in our table."""
        self._act(uuid, "shelve_instance", "shelving", POWERED, image_id=None)

    def was_sent(self, uuid: str, method: str) -> bool:
        """Whether an RPC of this method was sent for an instance."""
        return any(rpc.method == method and _uuid(rpc) == uuid for rpc in self.sent)

    def redeliver(self, uuid: str, method: str) -> None:
        """RabbitMQ delivers the last message of a method once more."""
        rpc = next(r for r in reversed(self.sent) if r.method == method and _uuid(r) == uuid)
        again = {name: getattr(rpc, name) for name in ("host", "method", "rpc_id", "context", "args", "is_call")}
        self.rabbit.cast(IncomingRpc(**again, redelivered=True))

    def _act(self, uuid: str, method: str, task: str, vm_states: Sequence[str], **args: Any) -> None:
        row = self._row(uuid)
        if row["task_state"] is not None or row["vm_state"] not in vm_states or row["host"] is None:
            raise Refused(f"cannot {method} while {row['vm_state']}/{row['task_state']}")
        self.conductor.change(uuid, task_state=task)
        self._cast(row["host"], method, uuid, **args)

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
            "project_id": "project-1",
            "is_admin": False,
            "auth_token": TOKEN,
            "service_catalog": catalog,
        }

    def _cast_build(self, context: dict[str, Any], uuid: str, hosts: list[str], attempt: int) -> None:
        host, *alternates = hosts
        self.placement.allocations[uuid] = node_uuid(host)
        requests = [wrapped("NetworkRequest", network_id="net-1", port_id=None, address=None, tag=None)]
        arguments = {
            "image": {"id": "img-1"},
            "request_spec": wrapped("RequestSpec", scheduler_hints={}),
            "filter_properties": {"retry": {"num_attempts": attempt, "hosts": [[host, host]]}},
            "admin_password": PASSWORD,
            "injected_files": [],
            "requested_networks": wrapped("NetworkRequestList", objects=requests),
            "security_groups": ["default"],
            "block_device_mapping": wrapped("BlockDeviceMappingList", objects=[]),
            "host_list": [wrapped("Selection", service_host=name) for name in alternates],
        }
        self._cast(host, "build_and_run_instance", uuid, context, **arguments)

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

    def _cast(self, host: str, method: str, uuid: str, context: dict[str, Any] | None = None, **args: Any) -> None:
        row = self.conductor.instances[uuid]
        instance = wrapped(
            "Instance",
            uuid=uuid,
            project_id=row["project_id"],
            display_name=row["display_name"],
            image_ref="img-1",
            flavor=wrapped("Flavor", **FLAVOR),
            keypairs=wrapped("KeyPairList", objects=[]),
            user_data=USER_DATA,
            host=row["host"],
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
