"""What a Nova RPC becomes, given what is recorded."""

import pytest

from bridge.core import planner
from bridge.core.planner import Lateness, Step
from bridge.core.records import REMEMBERED_RPC_IDS, InstanceRecord
from proto.errors import FaultCode
from proto.messages import Fault
from proto.operations import BY_METHOD, BY_VERB, OPERATIONS, Mode, Operation, Verb
from tests.unit.bridge.cases import T0, UUID, pending, record, rpc

FAULT = Fault(FaultCode.QUOTA, "no more")
CASTS = [row for row in OPERATIONS if row.mode is Mode.CAST]


def test_a_first_rpc_is_planned() -> None:
    assert planner.step(rpc(), None) is Step.PLAN
    assert planner.step(rpc(), record(rpc_ids=["other"])) is Step.PLAN


def test_the_pending_rpc_is_resumed_when_it_comes_again() -> None:
    assert planner.step(rpc("stop_instance"), pending(Verb.STOP)) is Step.RESUME


def test_a_recorded_rpc_is_done_when_it_comes_again() -> None:
    assert planner.step(rpc("stop_instance"), planner.settled(pending(Verb.STOP))) is Step.DONE


def test_another_rpc_is_planned_behind_the_pending_one() -> None:
    assert planner.step(rpc("start_instance", "rpc-2"), pending(Verb.STOP)) is Step.PLAN


def test_a_method_without_a_row_is_unsupported_and_an_event_is_not_a_method() -> None:
    assert planner.step(rpc("trigger_crash_dump"), None) is Step.UNSUPPORTED
    assert planner.step(rpc(planner.EXTERNAL_EVENT), pending(Verb.STOP)) is Step.ADDRESSES


@pytest.mark.parametrize("row", CASTS, ids=lambda row: row.verb)
def test_a_begun_command_is_the_next_generation_with_the_rows_expiry(row: Operation) -> None:
    begun = planner.begun(rpc(row.method), row, record(generation=4, attempt=3, trouble="busy"), T0)
    assert begun.pending is not None
    assert (begun.generation, begun.pending.generation, begun.pending.verb) == (5, 5, row.verb)
    assert begun.pending.not_after == (None if row.expiry is None else T0 + row.expiry)
    assert (begun.pending.rpc_id, begun.pending.request_id, begun.pending.issued_at) == ("rpc-1", "req-1", T0)
    assert (begun.observed_generation, begun.attempt, begun.trouble) == (1, 0, None)


def test_the_first_command_of_an_instance_is_generation_one() -> None:
    assert pending(Verb.CREATE).generation == 1


def test_only_the_last_rpc_ids_are_remembered() -> None:
    known = InstanceRecord(UUID)
    for number in range(REMEMBERED_RPC_IDS + 3):
        begun = planner.begun(rpc(rpc_id=f"rpc-{number}"), BY_VERB[Verb.STOP], known, T0)
        known = planner.settled(begun)
    assert known.rpc_ids == [f"rpc-{number}" for number in range(3, REMEMBERED_RPC_IDS + 3)]
    assert known.generation == known.observed_generation == REMEMBERED_RPC_IDS + 3


def test_a_new_command_lifts_a_tombstone() -> None:
    dead = planner.tombstone(pending(Verb.DELETE), T0)
    assert planner.begun(rpc(rpc_id="rpc-2"), BY_VERB[Verb.STOP], dead, T0).deleted_at is None


def test_a_failed_create_goes_on_with_a_delete_of_the_same_rpc() -> None:
    create = pending(Verb.CREATE)
    cleaning = planner.cleaning(create, FAULT, T0)
    assert cleaning.pending is not None
    assert (cleaning.generation, cleaning.pending.generation, cleaning.pending.verb) == (2, 2, Verb.DELETE)
    assert (cleaning.pending.cleanup, cleaning.pending.fault, cleaning.pending.not_after) == (True, FAULT, None)
    assert planner.step(rpc("build_and_run_instance"), cleaning) is Step.RESUME


def test_settling_twice_is_settling_once() -> None:
    once = planner.settled(pending(Verb.STOP))
    assert once.pending is None
    assert once.observed_generation == once.generation == 2
    assert planner.settled(once) is once


def test_a_tombstone_has_nothing_pending() -> None:
    dead = planner.tombstone(pending(Verb.DELETE), T0 + 9)
    assert (dead.deleted_at, dead.pending, dead.observed_generation) == (T0 + 9, None, 2)


def test_an_adopted_servers_generation_counts_on() -> None:
    adopted = planner.adopted(UUID, 7)
    assert planner.begun(rpc(), BY_METHOD["stop_instance"], adopted, T0).generation == 8


@pytest.mark.parametrize("offset", [-30.0, 0.0, 30.0])
def test_a_command_is_given_up_only_when_no_clock_would_let_it_begin(offset: float) -> None:
    lateness = Lateness(not_after=T0, clock_offset=offset)
    last_begin = T0 - offset  # our time when the site's clock shows not_after
    assert not lateness.over(last_begin)
    assert not lateness.over(T0 + abs(offset) + 60)
    assert lateness.over(T0 + abs(offset) + 60.1)


def test_the_sites_last_word_is_kept_until_the_worker_has_saved_it() -> None:
    fault = Fault(FaultCode.QUOTA, "ram")
    resize = planner.ended(pending(Verb.RESIZE), fault, None)
    assert resize.pending is not None and (resize.pending.ended, resize.pending.fault) == (True, fault)
    stop = pending(Verb.STOP)
    assert planner.ended(stop, None, None) == stop


def test_an_awaited_command_expires_when_its_caller_has_gone() -> None:
    call = rpc("set_admin_password", "rpc-9")
    row = BY_VERB[Verb.SET_ADMIN_PASSWORD]
    begun = planner.begun(call, row, None, call.received_at + 30)
    assert begun.pending is not None and begun.pending.not_after == call.received_at + (row.expiry or 0)


@pytest.mark.parametrize(
    ("verb", "withdrawn"),
    [(Verb.STOP, False), (Verb.REBOOT, False), (Verb.DELETE, True), (Verb.SHELVE_OFFLOAD, True), (Verb.UNSHELVE, True)],
)
def test_only_the_end_of_a_life_or_a_new_one_withdraws_a_create(verb: Verb, withdrawn: bool) -> None:
    known = pending(verb)
    assert planner.withdrawn(known, known.generation - 1) is withdrawn
    assert not planner.withdrawn(known, known.generation)
    assert not planner.withdrawn(planner.settled(known), known.generation - 1)
    assert planner.withdrawn(planner.tombstone(known, T0), known.generation)
    assert not planner.withdrawn(None, 1)
