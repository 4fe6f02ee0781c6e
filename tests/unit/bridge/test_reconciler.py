"""What healing does with one instance: a line for each row of the table, and what must hold in every situation."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import survey
from bridge.core import brake, planner, reconciler
from bridge.core.policies import CHOICES, Policies
from bridge.core.reconciler import decide
from bridge.core.records import InstanceRecord
from bridge.core.situation import Above, Action, Situation, Step
from proto.messages import CensusEntry
from proto.operations import Verb
from tests.unit.bridge.cases import T0, UUID, pending, record, server

T0_2026 = 1767225600.0  # 2026-01-01T00:00:00Z
NOW = T0 + 1000
LONG = 10**6  # s


def above(
    vm_state: str = "active", task_state: str | None = None, host: str | None = "paris", **fields: object
) -> Above:
    return Above(UUID, False, vm_state, task_state, "t1", host=host, ours=host == "paris", **fields)  # type: ignore[arg-type]


def on(vm_state: str = "active", power_state: int = 1, generation: int = 1) -> CensusEntry:
    return CensusEntry(UUID, generation, server(vm_state, power_state))


ACTIVE, STOPPED, THERE, OFF = above(), above("stopped"), on(), on("stopped", 4)
DELETED = replace(ACTIVE, deleted=True)
ELSEWHERE, NOWHERE = above(host="lyon"), above(host=None)
OLD = above("soft-delete", kept_since=NOW - 61)
SETTLED, NONE = record(), None
DEAD = planner.tombstone(pending(Verb.DELETE), T0)
JUST_DEAD = planner.tombstone(pending(Verb.DELETE), NOW + 1)
VANISHED = msgspec.structs.replace(SETTLED, missing_since=T0)
FAULT = Policies(reclaim_interval=60)
REBUILD = Policies(missing="rebuild")
ENFORCE = Policies(drift="enforce")
REPORT = Policies(orphans="report")
FENCE = Policies(fenced="delete")

# above, record, in the site, policies -> what is done once it lasts
TABLE = [
    # a pending command whose stream was lost
    (above(task_state="powering-off"), pending(Verb.STOP), THERE, FAULT, Action.ASK_AGAIN),
    (above(task_state="powering-off"), SETTLED, THERE, FAULT, Action.SHOW_SITE),
    (ACTIVE, pending(Verb.STOP), THERE, FAULT, Action.SHOW_SITE),  # an old record: nobody wants it any more
    (above(task_state="rebooting"), pending(Verb.REBOOT), THERE, FAULT, Action.SHOW_SITE),
    (above("resized", "resize_reverting"), pending(Verb.REVERT_RESIZE), THERE, FAULT, Action.ASK_AGAIN),
    (above("resized", "resize_reverting"), NONE, THERE, FAULT, Action.ASK_AGAIN),
    (above("resized"), pending(Verb.CONFIRM_RESIZE), THERE, FAULT, Action.ASK_AGAIN),
    (above("shelved_offloaded", "spawning"), pending(Verb.UNSHELVE), NONE, FAULT, Action.ASK_AGAIN),
    (above(task_state="powering-off"), SETTLED, NONE, FAULT, Action.SHOW_SITE),
    (above("building", "spawning"), SETTLED, THERE, FAULT, Action.SHOW_SITE),
    # exists, settled, missing
    (ACTIVE, SETTLED, NONE, FAULT, Action.MISSING),
    (ACTIVE, SETTLED, NONE, REBUILD, Action.REBUILD),
    (ACTIVE, NONE, NONE, REBUILD, Action.MISSING),  # a database was restored? nobody knows what it was
    (above("rescued"), SETTLED, NONE, FAULT, Action.MISSING),
    (above("error"), VANISHED, NONE, FAULT, Action.NOTHING),
    (above("resized"), SETTLED, NONE, REBUILD, Action.TELL),
    (above("shelved"), SETTLED, NONE, FAULT, Action.TELL),
    (above("error"), VANISHED, THERE, FAULT, Action.SHOW_SITE),
    (above("error"), VANISHED, THERE, ENFORCE, Action.SHOW_SITE),
    # exists, nothing recorded, present
    (ACTIVE, NONE, THERE, FAULT, Action.RECORD),
    (above("resized"), NONE, on("resized"), FAULT, Action.RECORD),
    # exists, tombstone
    (ACTIVE, DEAD, NONE, FAULT, Action.RESTORED),
    (ACTIVE, DEAD, THERE, FAULT, Action.RESTORED),
    (above("error"), DEAD, THERE, FAULT, Action.QUARANTINE),
    (above("error"), DEAD, NONE, FAULT, Action.NOTHING),
    (ACTIVE, DEAD, on(generation=LONG), FAULT, Action.RECORD),  # younger than the tombstone: etcd is what was restored
    # exists on another host, or on none
    (ELSEWHERE, SETTLED, THERE, FAULT, Action.QUARANTINE),
    (ELSEWHERE, NONE, THERE, FENCE, Action.DELETE_COPY),
    (ELSEWHERE, DEAD, THERE, FAULT, Action.QUARANTINE),
    (ELSEWHERE, SETTLED, NONE, FAULT, Action.FORGET),
    (NOWHERE, NONE, THERE, FENCE, Action.QUARANTINE),
    (above("building", "scheduling", host=None), NONE, THERE, FAULT, Action.NOTHING),
    (above("shelved_offloaded", "unshelving", host=None), SETTLED, NONE, FAULT, Action.NOTHING),
    # a deleted row
    (DELETED, SETTLED, THERE, FAULT, Action.DELETE_LEFT),
    (DELETED, NONE, THERE, FAULT, Action.DELETE_LEFT),
    (DELETED, DEAD, THERE, FAULT, Action.DELETE),
    (DELETED, JUST_DEAD, THERE, FAULT, Action.NOTHING),  # the census is older than the delete
    (DELETED, SETTLED, NONE, FAULT, Action.FORGET),
    (DELETED, pending(Verb.DELETE), NONE, FAULT, Action.FORGET),
    (replace(ELSEWHERE, deleted=True), NONE, THERE, FAULT, Action.DELETE_LEFT),
    # no row
    (NONE, NONE, THERE, FAULT, Action.QUARANTINE),
    (NONE, SETTLED, THERE, FAULT, Action.QUARANTINE),
    (NONE, NONE, THERE, REPORT, Action.TELL),
    (NONE, DEAD, THERE, FAULT, Action.DELETE),
    (NONE, DEAD, on(generation=LONG), FAULT, Action.QUARANTINE),
    (NONE, SETTLED, NONE, FAULT, Action.FORGET),
    # differing
    (ACTIVE, SETTLED, OFF, FAULT, Action.SHOW_SITE),
    (ACTIVE, SETTLED, OFF, ENFORCE, Action.ENFORCE),
    (STOPPED, SETTLED, THERE, ENFORCE, Action.ENFORCE),
    (ACTIVE, SETTLED, on("paused"), ENFORCE, Action.ENFORCE),
    (above("paused"), SETTLED, THERE, ENFORCE, Action.SHOW_SITE),
    (ACTIVE, SETTLED, on("error", 0), ENFORCE, Action.NOTHING),  # may be false: the observer tells
    (ACTIVE, SETTLED, on("rescued"), FAULT, Action.NOTHING),
    (ACTIVE, SETTLED, on("shelved", 4), FAULT, Action.SHOW_SITE),
    (above("resized"), SETTLED, THERE, FAULT, Action.NOTHING),  # confirmed by the site itself: its tenant has the word
    (above("shelved"), SETTLED, OFF, FAULT, Action.NOTHING),
    (ACTIVE, SETTLED, THERE, FAULT, Action.NOTHING),
    # a task_state, and nobody at work
    (above(task_state="deleting"), SETTLED, THERE, FAULT, Action.DELETE),
    (above(task_state="deleting"), NONE, NONE, FAULT, Action.DELETE),
    (above("shelved", "shelving_offloading"), SETTLED, THERE, FAULT, Action.OFFLOAD),
    (above("shelved", "shelving_offloading"), pending(Verb.SHELVE_OFFLOAD), NONE, FAULT, Action.OFFLOAD),
    (above("shelved_offloaded", "spawning"), SETTLED, NONE, FAULT, Action.FAULT_BUILD),
    (above("shelved_offloaded", "spawning"), SETTLED, THERE, FAULT, Action.SHOW_SITE),
    (above("building", "spawning"), NONE, NONE, FAULT, Action.FAULT_BUILD),
    (above("building"), pending(Verb.CREATE), NONE, FAULT, Action.FAULT_BUILD),
    # soft-deleted long ago
    (OLD, SETTLED, OFF, FAULT, Action.RECLAIM),
    (OLD, SETTLED, NONE, FAULT, Action.RECLAIM),
    (OLD, SETTLED, THERE, FAULT, Action.TELL),  # it runs: restored since, and the cascading database is older
    (replace(OLD, kept_since=NOW - 59), SETTLED, OFF, FAULT, Action.NOTHING),
    # a resize that was lost
    (above(task_state="resize_prep"), NONE, THERE, FAULT, Action.END_RESIZE),
    (above(task_state="resize_migrating"), pending(Verb.RESIZE), THERE, FAULT, Action.END_RESIZE),
    (above(task_state="resize_migrating"), pending(Verb.RESIZE), on("resized"), FAULT, Action.END_RESIZE),
]  # fmt: skip


def lasting(
    row: Above | None, known: InstanceRecord | None, entry: CensusEntry | None, looks: int = 9, seconds: float = LONG
) -> Situation:
    return Situation(UUID, row, known, entry, NOW, looks, seconds)


@pytest.mark.parametrize(("row", "known", "entry", "policies", "expected"), TABLE)
def test_the_table(
    row: Above | None, known: InstanceRecord | None, entry: CensusEntry | None, policies: Policies, expected: Action
) -> None:
    step = decide(lasting(row, known, entry), policies)
    assert step.action is expected, step
    assert step.why or expected is Action.NOTHING


@pytest.mark.parametrize(
    ("row", "known", "entry", "looks", "seconds", "expected"),
    [
        (ACTIVE, SETTLED, NONE, 1, LONG, Action.WAIT),
        (ACTIVE, SETTLED, NONE, 2, reconciler.GRACE - 1, Action.WAIT),
        (ACTIVE, SETTLED, NONE, 2, reconciler.GRACE, Action.MISSING),
        (above(task_state="powering-off"), SETTLED, THERE, 9, reconciler.DELIVERY - 1, Action.WAIT),
        (above(task_state="deleting"), SETTLED, THERE, 1, LONG, Action.WAIT),
        (ACTIVE, DEAD, NONE, 1, LONG, Action.WAIT),
        (NONE, NONE, THERE, 1, LONG, Action.WAIT),
        (ELSEWHERE, NONE, THERE, 1, LONG, Action.WAIT),
        (ACTIVE, SETTLED, OFF, 1, LONG, Action.WAIT),
        (ACTIVE, NONE, THERE, 1, 0.0, Action.RECORD),
        (DELETED, NONE, THERE, 1, 0.0, Action.DELETE_LEFT),
    ],
)
def test_what_may_be_on_its_way_must_last(
    row: Above | None,
    known: InstanceRecord | None,
    entry: CensusEntry | None,
    looks: int,
    seconds: float,
    expected: Action,
) -> None:
    assert decide(lasting(row, known, entry, looks, seconds), FAULT).action is expected


VM_STATES = ["building", "active", "stopped", "error", "deleted", "resized", "shelved", "shelved_offloaded",
             "soft-delete", None]  # fmt: skip
ABOVES = st.builds(
    Above,
    st.just(UUID),
    st.booleans(),
    st.sampled_from(VM_STATES),
    st.sampled_from([None, "spawning", "deleting", "powering-off", "resize_reverting", "shelving_offloading"]),
    st.just("t1"),
    host=st.sampled_from(["paris", "lyon", None]),
    ours=st.booleans(),
)
RECORDS = st.sampled_from([None, SETTLED, VANISHED, DEAD, *map(pending, Verb)])
SERVERS = st.none() | st.builds(on, st.sampled_from(["active", "stopped", "error", "paused"]), st.just(1))
POLICIES = st.builds(Policies, **{name: st.sampled_from(words) for name, words in CHOICES.items()})
SITUATIONS = st.builds(
    Situation, st.just(UUID), st.none() | ABOVES, RECORDS, SERVERS, st.just(NOW), st.integers(1, 3), st.floats(0, LONG)
)
DELETING = {Action.DELETE, Action.DELETE_LEFT}


@given(SITUATIONS, POLICIES)
def test_nothing_is_deleted_that_nobody_asked_to_delete(now: Situation, policies: Policies) -> None:
    step = decide(now, policies)
    if step.action in DELETING:
        asked = now.above is not None and (now.above.deleted or now.above.task_state == "deleting")
        assert asked or (now.record is not None and now.record.deleted_at is not None)
    if step.action is Action.DELETE_COPY:
        assert policies.fenced == "delete" and now.above is not None and now.above.host is not None
    if now.above is not None and not now.above.deleted and now.above.ours and now.above.task_state != "deleting":
        assert step.action not in DELETING | {Action.DELETE_COPY}, "it lives here, as far as anybody above knows"


@given(SITUATIONS, POLICIES)
def test_absence_deletes_nothing(now: Situation, policies: Policies) -> None:
    step = decide(absent(now), policies)
    assert step.action not in {Action.DELETE_LEFT, Action.DELETE_COPY, Action.QUARANTINE}
    if step.action is Action.DELETE:
        assert now.above is not None and now.above.task_state == "deleting"


def absent(now: Situation) -> Situation:
    """The same, but absent from the site."""
    return replace(now, server=None)


@pytest.mark.parametrize(
    ("row", "interval", "after", "expected"),
    [
        (OLD, 60, 0, True),
        (OLD, 62, 0, False),
        (OLD, 0, 10**9, False),  # for ever
        (replace(OLD, task_state="restoring"), 60, 0, False),
        (replace(OLD, deleted=True), 60, 0, False),
        (ACTIVE, 60, 10**9, False),
    ],
)
def test_what_was_soft_deleted_long_ago_is_reclaimed(row: Above, interval: int, after: int, expected: bool) -> None:
    assert reconciler.reclaimable(row, interval, NOW + after) is expected


def test_a_restore_that_failed_does_not_make_an_instance_old() -> None:
    row = {"uuid": UUID, "vm_state": "soft-delete", "task_state": None, "updated_at": "2026-01-01T02:00:00Z"}
    assert survey.above_of({**row, "deleted_at": "2026-01-01T01:00:00Z"}, ["paris"]).kept_since == T0_2026 + 3600
    assert survey.above_of({**row, "deleted_at": None}, ["paris"]).kept_since == T0_2026 + 7200
    assert survey.above_of({**row, "vm_state": "active"}, ["paris"]).kept_since is None


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


def steps(action: Action, number: int) -> list[Step]:
    return [Step(f"i{n}", action, "") for n in range(number)]


@pytest.mark.parametrize(
    ("planned", "servers", "approved", "held"),
    [
        (steps(Action.DELETE_LEFT, 10), 20, [], 0),
        (steps(Action.DELETE_LEFT, 11), 20, [], 11),
        (steps(Action.MISSING, 11), 200, [], 11),
        (steps(Action.MISSING, 50), 1000, [], 0),
        (steps(Action.MISSING, 51), 1000, [], 51),
        (steps(Action.DELETE_COPY, 6) + steps(Action.REBUILD, 6), 20, [], 12),
        (steps(Action.DELETE, 500), 20, [], 0),  # tenants asked for these
        (steps(Action.FAULT_BUILD, 500), 20, [], 0),
        (steps(Action.DELETE_LEFT, 30), 20, steps(Action.DELETE_LEFT, 20), 0),
        (steps(Action.DELETE_LEFT, 40), 20, steps(Action.DELETE_LEFT, 20), 20),
        (steps(Action.DELETE_LEFT, 20), 20, steps(Action.MISSING, 20), 20),  # something else was approved
    ],
)
def test_the_brake(planned: list[Step], servers: int, approved: list[Step], held: int) -> None:
    assert len(brake.held_back(planned, servers, approved)) == held
