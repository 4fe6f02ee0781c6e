"""What an evacuation saves above."""

from typing import Any

import pytest

from bridge.core import evacuating
from bridge.core.reducer import POWER_RUNNING
from proto.messages import Rpc, ServerState
from proto.operations import EVACUATION, method_of

ASKED: dict[str, Any] = {
    "host": "paris", "node": "paris", "compute_id": 3, "vm_state": "active", "availability_zone": "az-oslo",
}  # fmt: skip
SERVER = ServerState("srv-1", "active", None, POWER_RUNNING, "ACTIVE")


def test_a_rebuild_of_another_hosts_server_is_an_evacuation() -> None:
    assert method_of("rebuild_instance", {"recreate": True}) == EVACUATION
    assert method_of("rebuild_instance", {"recreate": False}) == "rebuild_instance"
    assert method_of("stop_instance", {}) == "stop_instance"


@pytest.mark.parametrize(
    ("before", "target", "stops"),
    [
        ("active", None, False),
        ("stopped", None, True),
        ("active", "stopped", True),  # from microversion 2.95 on
        ("error", "stopped", False),
        ("error", None, False),
    ],
)
def test_it_is_stopped_where_nova_stops_it(before: str, target: str | None, stops: bool) -> None:
    assert evacuating.stops({**ASKED, "vm_state": before}, target) is stops


def test_an_evacuated_instance_is_in_the_zone_that_was_chosen() -> None:
    changes = evacuating.evacuated(ASKED, SERVER, "now", stopping=False)
    assert (changes["vm_state"], changes["task_state"], changes["availability_zone"]) == ("active", None, "az-oslo")
    assert evacuating.evacuated(ASKED, SERVER, "now", stopping=True)["task_state"] == "powering-off"


def test_a_failed_one_is_in_error_where_it_was() -> None:
    home = {"host": "paris", "node": "paris", "compute_id": 3}
    assert evacuating.failed(ASKED) == {"vm_state": "error", "task_state": None, **home}


@pytest.mark.parametrize(
    ("row", "claimed", "waiting"),
    [
        ({"host": "paris", "task_state": "rebuilding"}, False, True),
        ({"host": "oslo", "task_state": "rebuild_spawning"}, True, False),
        ({"host": "oslo", "task_state": None}, False, False),
        ({"host": "oslo", "task_state": "deleting"}, False, False),
        ({"host": "rome", "task_state": "rebuild_spawning"}, False, False),
    ],
)
def test_whose_it_is(row: dict[str, Any], claimed: bool, waiting: bool) -> None:
    assert evacuating.is_claimed(row, "oslo") is claimed
    assert evacuating.is_waiting(row, ASKED) is waiting


def test_the_stop_that_follows_has_an_id_of_its_own_and_no_secrets() -> None:
    rpc = Rpc("rpc-1", "oslo", EVACUATION, "u", {}, {"instance": ASKED, "migration": {}}, 1.0)
    stop = evacuating.following(rpc, 5.0)
    assert (stop.rpc_id, stop.method, stop.host, stop.secrets) == ("rpc-1-stop", "stop_instance", "oslo", None)
    assert set(stop.args) == {"instance", "clean_shutdown"} and evacuating.following(rpc, 5.0) == stop
