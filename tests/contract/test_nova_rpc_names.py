"""Every name in the table of operations exists in the installed Nova, with the arguments we read."""

from typing import Any

import pytest

from bridge.edge.nova_conductor_rpc import TASK_VERSION
from proto.operations import BY_METHOD, CALL_REFUSALS, EVACUATION, OPERATIONS
from tests.contract.nova_python import ask_nova

READ_BY_US = {
    "build_and_run_instance": {
        "instance",
        "image",
        "request_spec",
        "filter_properties",
        "admin_password",
        "injected_files",
        "requested_networks",
        "security_groups",
        "block_device_mapping",
        "host_list",
    },
    "reboot_instance": {"instance", "reboot_type"},
    "get_console_output": {"instance", "tail_length"},
    EVACUATION: {"instance", "recreate", "migration", "request_spec", "target_state"},
}
RPCS = {EVACUATION: "rebuild_instance"}
NOT_OF_AN_INSTANCE = {"quiesce_instance", "check_can_live_migrate_destination", "prep_snapshot_based_resize_at_dest"}

SURVEY = """
import inspect
from nova.compute import manager, rpcapi, task_states, vm_states
from nova.conductor import manager as conductor_manager
from nova import exception, safe_utils
def constants(module):
    return sorted(value for name, value in vars(module).items() if name.isupper() and isinstance(value, str))
methods = {name: sorted(inspect.signature(safe_utils.get_wrapped_function(function)).parameters)
           for name, function in inspect.getmembers(manager.ComputeManager, inspect.isfunction)}
answer({
    "methods": methods,
    "client": sorted(name for name, _ in inspect.getmembers(rpcapi.ComputeAPI, inspect.isfunction)),
    "task_states": constants(task_states),
    "vm_states": constants(vm_states),
    "exceptions": [name for name in question if issubclass(getattr(exception, name, int), exception.NovaException)],
    "build_instances": sorted(
        inspect.signature(conductor_manager.ComputeTaskManager.build_instances).parameters),
    "migrate_server": sorted(inspect.signature(safe_utils.get_wrapped_function(
        conductor_manager.ComputeTaskManager.migrate_server)).parameters),
    "task_version": conductor_manager.ComputeTaskManager.target.version,
})
"""


@pytest.fixture(scope="module")
def nova() -> dict[str, Any]:
    return ask_nova("installed", SURVEY, sorted(set(CALL_REFUSALS.values())))


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.method)
def test_a_row_is_an_rpc_of_nova(row: Any, nova: dict[str, Any]) -> None:
    method = RPCS.get(row.method, row.method)
    assert method in nova["client"]
    assert set(nova["methods"][method]) >= READ_BY_US.get(row.method, {"instance"})
    if row.event:
        prefix, _, function = row.event.partition("_")
        assert prefix == "compute"
        assert function in nova["methods"]
    for state in (*row.begun, *row.ends_from):
        assert state is None or state in nova["task_states"]
    assert set(row.settles_in) <= set(nova["vm_states"])


@pytest.mark.parametrize("method", CALL_REFUSALS)
def test_a_refusal_is_an_exception_of_nova(method: str, nova: dict[str, Any]) -> None:
    assert method in nova["methods"]
    assert method not in BY_METHOD
    assert CALL_REFUSALS[method] in nova["exceptions"]
    assert method in NOT_OF_AN_INSTANCE or "instance" in nova["methods"][method]


def test_a_reschedule_is_understood(nova: dict[str, Any]) -> None:
    sent = {"instances", "image", "filter_properties", "admin_password", "injected_files", "requested_networks"}
    assert set(nova["build_instances"]) >= sent | {"security_groups", "request_spec", "host_lists"}
    sent = {"instance", "scheduler_hint", "live", "rebuild", "flavor", "block_migration", "disk_over_commit"}
    assert set(nova["migrate_server"]) >= sent | {"reservations", "clean_shutdown", "request_spec", "host_list"}
    theirs, ours = (tuple(map(int, text.split("."))) for text in (nova["task_version"], TASK_VERSION))
    assert theirs[0] == ours[0]
    assert theirs[1] >= ours[1]
