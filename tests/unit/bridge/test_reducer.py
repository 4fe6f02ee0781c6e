"""What an observation means: one test a verdict."""

import pytest

from bridge.core import planner
from bridge.core.records import InstanceRecord
from bridge.core.reducer import ROOT_DEVICE, Verdict, reduce
from proto.errors import FaultCode
from proto.messages import Fault, Observation, Outcome, ServerState
from proto.operations import BY_VERB, Verb
from tests.unit.bridge.cases import T0, absent, pending, record, seen, server

STOPPED = server("stopped", 4)
REFUSAL = Fault(FaultCode.CONFLICT, "it is rescued")
CREATE = pending(Verb.CREATE)
STOP = pending(Verb.STOP)
DELETE = pending(Verb.DELETE)


def verdict(known: InstanceRecord, observation: Observation, waiting: bool = False) -> Verdict:
    return reduce(known, observation, command_waiting=waiting).verdict


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        (Verb.CREATE, server()),
        (Verb.STOP, STOPPED),
        (Verb.START, server()),
        (Verb.REBOOT, server()),
        (Verb.REBOOT, server("rescued")),
    ],
)
def test_the_state_a_command_seeks_settles_it(verb: Verb, state: ServerState | None) -> None:
    known = pending(verb)
    reduction = reduce(known, seen(state, known.generation), command_waiting=True)
    assert reduction.verdict is Verdict.SUCCEEDED
    assert reduction.expected_task_state == BY_VERB[verb].ends_from
    assert reduction.changes["task_state"] is None
    assert reduction.changes["vm_state"] == reduction.record.vm_state
    assert reduction.record.pending == known.pending


def test_a_soft_delete_that_settled_is_shown_as_one() -> None:
    known = pending(Verb.SOFT_DELETE)
    reduction = reduce(known, seen(STOPPED, known.generation), command_waiting=False)
    assert (reduction.verdict, reduction.record.vm_state) == (Verdict.SUCCEEDED, "stopped")
    assert reduction.changes == {"vm_state": "soft-delete", "power_state": 4, "task_state": None}


def test_a_boot_brings_its_launch_time_and_root_device() -> None:
    reduction = reduce(CREATE, seen(server(launched_at=T0), 1), command_waiting=False)
    assert reduction.changes == {
        "vm_state": "active",
        "power_state": 1,
        "task_state": None,
        "launched_at": T0,
        "root_device_name": ROOT_DEVICE,
        "progress": 0,
    }
    assert reduction.record.server_id == "srv-1"


@pytest.mark.parametrize(
    "state", [server("building", 0, "spawning"), server("building", 0), server(task_state="powering-off")]
)
def test_what_is_still_going_on_settles_nothing(state: ServerState | None) -> None:
    for known in (CREATE, STOP):
        assert verdict(known, seen(state, known.generation)) is Verdict.NOTED


def test_a_server_in_another_state_fails_the_command_with_the_sites_words() -> None:
    reduction = reduce(CREATE, seen(server("error", 0, fault="No valid host was found."), 1), command_waiting=False)
    assert reduction.verdict is Verdict.FAILED
    assert reduction.fault == Fault(FaultCode.NO_CAPACITY, "No valid host was found.")
    assert reduction.expected_task_state == BY_VERB[Verb.CREATE].begun
    assert reduction.changes == {"task_state": None, "vm_state": "error", "power_state": 0}


def test_a_failure_of_another_kind_is_the_sites_fault() -> None:
    reduction = reduce(STOP, seen(server("error", 0)), command_waiting=False)
    assert reduction.fault == Fault(FaultCode.SITE_FAULT, "the site's server is error after stop")


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.EXPIRED])
def test_a_refusal_fails_the_command_with_its_fault(outcome: Outcome) -> None:
    reduction = reduce(STOP, seen(None, outcome=outcome, fault=REFUSAL), command_waiting=True)
    assert (reduction.verdict, reduction.fault) == (Verdict.FAILED, REFUSAL)
    assert reduction.changes == {"task_state": None}


def test_a_refusal_without_a_reason_is_a_bug_of_ours() -> None:
    reduction = reduce(STOP, seen(None, outcome=Outcome.REFUSED), command_waiting=False)
    assert reduction.fault is not None
    assert reduction.fault.code is FaultCode.BUG


def test_a_refused_delete_fails_too() -> None:
    assert verdict(DELETE, seen(server(), outcome=Outcome.REFUSED, fault=REFUSAL)) is Verdict.FAILED


def test_a_deleted_server_is_gone() -> None:
    assert verdict(DELETE, absent()) is Verdict.GONE
    assert verdict(DELETE, absent(0)) is Verdict.GONE


def test_a_server_that_is_still_there_does_not_end_a_delete() -> None:
    for state in (server(), server("error"), server(task_state="deleting"), STOPPED):
        assert verdict(DELETE, seen(state)) is Verdict.NOTED


def test_a_server_that_vanished_fails_any_other_command() -> None:
    reduction = reduce(STOP, absent(), command_waiting=False)
    assert reduction.verdict is Verdict.FAILED
    assert reduction.fault is not None
    assert reduction.fault.code is FaultCode.MISSING


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.START, Verb.REBOOT, Verb.DELETE])
@pytest.mark.parametrize(
    "older", [seen(server(), 4), seen(STOPPED, 4), absent(4), seen(None, 4, outcome=Outcome.REFUSED, fault=REFUSAL)]
)
def test_a_stale_generation_is_ignored(verb: Verb, older: Observation) -> None:
    known = pending(verb, record(generation=4, observed_generation=4))
    reduction = reduce(known, older, command_waiting=False)
    assert (reduction.verdict, reduction.record) == (Verdict.IGNORED, known)


def test_generation_zero_settles_by_state_once_nothing_waits() -> None:
    assert verdict(STOP, seen(STOPPED, 0), waiting=True) is Verdict.IGNORED
    assert verdict(STOP, seen(STOPPED, 0), waiting=False) is Verdict.IGNORED  # it may be older than the command
    assert verdict(DELETE, absent(0), waiting=True) is Verdict.IGNORED


def test_generation_zero_never_says_that_a_boot_vanished() -> None:
    """An agent that just started may look before the site shows the server."""
    assert verdict(CREATE, absent(0), waiting=False) is Verdict.NOTED


def test_a_later_generation_settles_too() -> None:
    assert verdict(STOP, seen(STOPPED, 3)) is Verdict.SUCCEEDED


def test_an_attempt_that_failed_is_noted_with_its_trouble() -> None:
    reduction = reduce(STOP, seen(None, outcome=Outcome.RETRYING, fault=REFUSAL, attempt=4), command_waiting=True)
    assert reduction.verdict is Verdict.NOTED
    assert (reduction.record.attempt, reduction.record.trouble) == (4, "it is rescued")
    assert reduction.record.pending == STOP.pending


def test_an_attempt_of_another_generation_is_ignored() -> None:
    for generation in (1, 3):
        assert verdict(STOP, seen(None, generation, outcome=Outcome.RETRYING)) is Verdict.IGNORED


def test_what_the_site_did_by_itself_is_copied() -> None:
    reduction = reduce(record(), seen(STOPPED, 1), command_waiting=False)
    assert (reduction.verdict, reduction.expected_task_state) == (Verdict.COPIED, (None,))
    assert reduction.changes == {"vm_state": "stopped", "power_state": 4}


@pytest.mark.parametrize("state", [server("building"), server("of a later Nova"), server("stopped", 4, "x"), None])
def test_other_states_are_not_copied(state: ServerState | None) -> None:
    assert verdict(record(), seen(state, 1)) in (Verdict.IGNORED, Verdict.NOTED)


@pytest.mark.parametrize("before", ["active", "rescued"])
def test_what_is_shown_already_is_only_noted(before: str) -> None:
    after = {"active": "rescued", "rescued": "active"}[before]
    reduction = reduce(record(vm_state=before), seen(server(after), 1), command_waiting=False)
    assert (reduction.verdict, reduction.changes, reduction.record.vm_state) == (Verdict.NOTED, {}, after)


def test_an_error_of_the_sites_is_copied_with_its_reason_and_may_be_overwritten_again() -> None:
    reduction = reduce(record(), seen(server("error", 0, fault="the disk is gone"), 1), command_waiting=False)
    assert (reduction.verdict, reduction.changes["vm_state"]) == (Verdict.COPIED, "error")
    assert reduction.fault == Fault(FaultCode.SITE_FAULT, "the disk is gone")
    assert "error" not in reduction.expected_vm_state, "an ERROR that is not the site's stays"
    again = reduce(reduction.record, seen(server(), 1), command_waiting=False)
    assert (again.verdict, again.fault) == (Verdict.COPIED, None)
    assert "error" in again.expected_vm_state


@pytest.mark.parametrize("state", ["rescued", "resized", "shelved", "shelved_offloaded", "soft-delete"])
def test_what_a_vendor_did_to_a_new_server_is_no_failed_boot(state: str) -> None:
    reduction = reduce(CREATE, seen(server(state), 1), command_waiting=False)
    assert reduction.verdict is Verdict.SUCCEEDED
    assert reduction.changes["vm_state"] in ("active", "stopped")


def test_what_is_known_already_is_ignored() -> None:
    assert verdict(record(seen_at=T0 + 10), seen(server(), 1)) is Verdict.IGNORED


def test_a_server_that_vanished_unasked_changes_nothing_above() -> None:
    reduction = reduce(record(), absent(1), command_waiting=False)
    assert reduction.changes == {}
    assert reduction.verdict is not Verdict.COPIED


def test_a_tombstone_is_not_disturbed() -> None:
    dead = planner.tombstone(DELETE, T0)
    for observation in (seen(server()), seen(STOPPED, 9), absent(), seen(None, outcome=Outcome.REFUSED)):
        reduction = reduce(dead, observation, command_waiting=False)
        assert (reduction.record, reduction.changes) == (dead, {})
        assert reduction.verdict in (Verdict.IGNORED, Verdict.NOTED)
