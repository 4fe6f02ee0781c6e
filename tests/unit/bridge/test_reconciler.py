"""What healing does with an instance nothing is under way for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import healing
from bridge.core import planner, reconciler
from bridge.core.reconciler import Above, Repair, repair
from bridge.core.records import InstanceRecord
from proto.messages import CensusEntry
from proto.operations import Verb
from tests.unit.bridge.cases import T0, UUID, pending, record, server

T0_2026 = 1767225600.0  # 2026-01-01T00:00:00Z
ACTIVE = Above(UUID, deleted=False, vm_state="active", task_state=None, updated_at="t1")
THERE = CensusEntry(UUID, 1, server())
DEAD = planner.tombstone(pending(Verb.DELETE), T0)


SOFT_DELETED = Above(UUID, deleted=False, vm_state="soft-delete", task_state=None, updated_at="t1", kept_since=T0)


@pytest.mark.parametrize(
    ("above", "interval", "after", "expected"),
    [
        (SOFT_DELETED, 60, 61, True),
        (SOFT_DELETED, 60, 59, False),
        (SOFT_DELETED, 0, 10**9, False),  # for ever
        (replace(SOFT_DELETED, task_state="restoring"), 60, 61, False),
        (replace(SOFT_DELETED, deleted=True), 60, 61, False),
        (ACTIVE, 60, 10**9, False),
    ],
)
def test_what_was_soft_deleted_long_ago_is_reclaimed(above: Above, interval: int, after: int, expected: bool) -> None:
    assert reconciler.reclaimable(above, interval, T0 + after) is expected


def test_a_kept_server_is_left_alone_whatever_its_site_makes_of_it() -> None:
    assert repair(SOFT_DELETED, SOFT_DELETED, record(), THERE) is Repair.NOTHING


def test_a_restore_that_failed_does_not_make_an_instance_old() -> None:
    row = {"uuid": UUID, "vm_state": "soft-delete", "task_state": None, "updated_at": "2026-01-01T02:00:00Z"}
    assert healing._above({**row, "deleted_at": "2026-01-01T01:00:00Z"}).kept_since == T0_2026 + 3600
    assert healing._above({**row, "deleted_at": None}).kept_since == T0_2026 + 7200
    assert healing._above({**row, "vm_state": "active"}).kept_since is None


def stuck(vm_state: str = "active", task_state: str | None = None, deleted: bool = False) -> Above:
    return Above(UUID, deleted, vm_state, task_state, "t1")


@pytest.mark.parametrize(
    ("above", "known", "server", "expected"),
    [
        (ACTIVE, record(), THERE, Repair.NOTHING),
        (ACTIVE, record(), None, Repair.NOTHING),
        (ACTIVE, None, THERE, Repair.NOTHING),
        (stuck(task_state="deleting"), record(), THERE, Repair.DELETE),
        (stuck(task_state="deleting"), record(), None, Repair.DELETE),
        (stuck(task_state="deleting"), None, None, Repair.DELETE),
        (stuck("building", "spawning"), None, None, Repair.FAULT_BUILD),
        (stuck("building", "spawning"), record(), THERE, Repair.SHOW_SITE),
        (stuck("building"), None, None, Repair.FAULT_BUILD),
        (stuck(task_state="powering-off"), record(), THERE, Repair.SHOW_SITE),
        (stuck(task_state="powering-off"), record(), None, Repair.SHOW_SITE),
        (stuck("error"), None, None, Repair.NOTHING),
        (stuck("resized"), record(), THERE, Repair.NOTHING),  # confirmed by the site itself: its tenant has the word
        (stuck("rescued"), record(), THERE, Repair.NOTHING),
        (stuck("shelved"), record(), CensusEntry(UUID, 1, server("stopped", 4)), Repair.NOTHING),
        (stuck("shelved", "shelving_offloading"), record(), THERE, Repair.OFFLOAD),
        (stuck("shelved", "shelving_offloading"), pending(Verb.SHELVE_OFFLOAD), None, Repair.OFFLOAD),
        (stuck("shelved_offloaded", "spawning"), pending(Verb.UNSHELVE), None, Repair.FAULT_BUILD),
        (stuck("shelved_offloaded", "spawning"), record(), THERE, Repair.SHOW_SITE),
        (ACTIVE, record(), CensusEntry(UUID, 1, server("rescued")), Repair.NOTHING),
        (ACTIVE, record(), CensusEntry(UUID, 1, server("shelved", 4)), Repair.SHOW_SITE),
        (ACTIVE, record(), CensusEntry(UUID, 1, server("error", 0)), Repair.NOTHING),  # may be false
        (stuck(deleted=True), DEAD, THERE, Repair.DELETE),
        (stuck(deleted=True), None, THERE, Repair.DELETE),
        (stuck(deleted=True), DEAD, None, Repair.NOTHING),
        (stuck(deleted=True), pending(Verb.DELETE), THERE, Repair.DELETE),
        (stuck(deleted=True), pending(Verb.DELETE), None, Repair.NOTHING),
    ],
)
def test_the_table(above: Above, known: InstanceRecord | None, server: CensusEntry | None, expected: Repair) -> None:
    assert repair(above, above, known, server) is expected


def test_what_changed_since_the_last_round_is_left_to_work() -> None:
    above = stuck("building", "spawning")
    for before in (None, replace(above, updated_at="t0"), replace(above, task_state="scheduling")):
        assert repair(above, before, None, None) is Repair.NOTHING


def test_a_pending_command_whose_rpc_is_lost_is_given_up_for_what_the_site_has() -> None:
    above = stuck(task_state="powering-off")
    assert repair(above, above, pending(Verb.STOP), THERE) is Repair.SHOW_SITE
    assert repair(above, None, pending(Verb.STOP), THERE) is Repair.NOTHING


ABOVES = st.builds(
    Above,
    st.just(UUID),
    st.booleans(),
    st.sampled_from(["building", "active", "stopped", "error", "deleted", None]),
    st.sampled_from([None, "spawning", "deleting", "powering-off"]),
    st.sampled_from(["t1", "t2"]),
)
RECORDS = st.sampled_from([None, record(), DEAD, *map(pending, (Verb.CREATE, Verb.STOP, Verb.DELETE))])


@given(ABOVES, st.none() | ABOVES, RECORDS, st.none() | st.just(THERE))
def test_nothing_is_deleted_that_nobody_asked_to_delete(
    above: Above, before: Above | None, known: InstanceRecord | None, server: CensusEntry | None
) -> None:
    if repair(above, before, known, server) is Repair.DELETE:
        assert above.deleted or above.task_state == "deleting"


@given(ABOVES, st.none() | ABOVES, RECORDS)
def test_absence_in_the_site_deletes_nothing_above(
    above: Above, before: Above | None, known: InstanceRecord | None
) -> None:
    what = repair(above, before, known, None)
    assert what is not Repair.DELETE or above.task_state == "deleting"
    assert what is not Repair.FAULT_BUILD or above.vm_state == "building"


@pytest.mark.parametrize(
    ("known", "began", "present", "expected"),
    [
        (DEAD, T0 + 1, False, True),
        (DEAD, T0 + 1, True, False),
        (DEAD, T0, False, False),
        (DEAD, T0 - 1, False, False),
        (record(), T0 + 1, False, False),
        (pending(Verb.DELETE), T0 + 1, False, False),
    ],
)
def test_a_tombstone_stays_until_a_later_census_lacks_the_server(
    known: InstanceRecord, began: float, present: bool, expected: bool
) -> None:
    assert reconciler.droppable(known, began, present) is expected
