"""What a vendor does on its own: every state of Nova's has its row, and none above is one nobody can leave."""

import pytest

from bridge.core import vendor
from proto.messages import ServerState
from site_agent.core import ways
from tests.unit.bridge.cases import record, server

# Nova 34, compute/vm_states.py, but for those in which there is no server yet, or any more.
VM_STATES = {
    "active", "paused", "suspended", "stopped", "rescued", "resized", "soft-delete", "error", "shelved",
    "shelved_offloaded",
}  # fmt: skip
# Above: what leaves a state for one that can be stopped or started (Nova 34, compute/api.py).
LEFT_BY = {"active": "stop", "error": "stop", "stopped": "start", "paused": "unpause", "suspended": "resume"}


def test_every_state_has_one_row() -> None:
    assert len(vendor.ROWS) == len(VM_STATES)
    assert set(vendor.BY_STATE) == VM_STATES


@pytest.mark.parametrize("power_state", [0, 1, 3, 4])
@pytest.mark.parametrize("vm_state", sorted(VM_STATES))
def test_a_tenant_can_leave_what_is_shown(vm_state: str, power_state: int) -> None:
    shown = vendor.shown(server(vm_state, power_state))
    assert shown is not None and shown.vm_state in LEFT_BY
    assert (shown.fault is not None) == (shown.vm_state == "error")
    assert shown.vm_state != "stopped" or shown.power_state == vendor.SHUTDOWN or vm_state == "stopped"


@pytest.mark.parametrize("vm_state", sorted(VM_STATES))
def test_the_site_can_go_where_what_is_shown_goes(vm_state: str) -> None:
    """From a state that is shown as another one, the agent has a way to what a stop or a start begins in."""
    shown = vendor.as_shown(vm_state, 1)
    assert shown is not None and (shown[0] == vm_state or ways.first_step(vm_state, "os-stop"))


def test_a_resized_server_is_shown_as_it_is_powered() -> None:
    assert vendor.as_shown("resized", 1) == ("active", 1)
    assert vendor.as_shown("resized", vendor.SHUTDOWN) == ("stopped", vendor.SHUTDOWN)


@pytest.mark.parametrize("state", [server("building"), server("deleted"), server("active", 1, "rebuilding")])
def test_what_is_on_its_way_is_not_shown(state: ServerState) -> None:
    assert vendor.shown(state) is None


def test_only_a_sites_own_error_is_overwritten() -> None:
    assert vendor.overwritten(record()) == ("active", "paused", "stopped", "suspended")
    assert "error" in vendor.overwritten(record(vm_state="error"))


def test_an_operation_that_was_lost_ends_in_its_own_state_or_in_the_vendors() -> None:
    rescued, resized = server("rescued"), server("resized")
    assert vendor.ending("rescuing", rescued) == vendor.Shown("rescued", 1)
    assert vendor.ending("powering-off", rescued) == vendor.Shown("active", 1)
    assert vendor.ending("powering-off", resized) == vendor.Shown("active", 1)
    assert vendor.ending("resize_migrating", resized) == vendor.Shown("active", 1)  # no migration waits above
    assert vendor.ending("powering-off", server("active", 1, "powering-off")) is None
