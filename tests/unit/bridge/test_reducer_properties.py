"""Any observations, in any order and number: repeating one changes nothing, and each command ends once."""

from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import planner
from bridge.core.records import InstanceRecord
from bridge.core.reducer import Verdict, reduce
from proto.errors import FaultCode
from proto.messages import Fault, Observation, Outcome
from proto.operations import BY_VERB, Verb
from tests.unit.bridge.cases import T0, absent, pending, record, seen, server

VERBS = [Verb.CREATE, Verb.DELETE, Verb.STOP, Verb.START, Verb.REBOOT]
STATES = st.builds(
    server,
    st.sampled_from(["building", "active", "stopped", "paused", "rescued", "error", "soft-delete", "shelved"]),
    st.sampled_from([0, 1, 4]),
    st.sampled_from([None, None, "spawning", "powering-off", "deleting"]),
    fault=st.sampled_from([None, "No valid host was found.", "it broke"]),
)
TIMES = st.integers(1, 100).map(lambda seconds: T0 + seconds)
GENERATIONS = st.integers(0, 4)
OBSERVATIONS = st.one_of(
    st.builds(seen, STATES, GENERATIONS, TIMES),
    st.builds(absent, GENERATIONS, TIMES),
    st.builds(
        seen,
        st.none(),
        GENERATIONS,
        TIMES,
        outcome=st.sampled_from(Outcome),
        fault=st.sampled_from([None, Fault(FaultCode.QUOTA, "no more")]),
        attempt=st.integers(0, 9),
    ),
)
RECORDS = st.one_of(
    st.sampled_from(VERBS).map(pending),
    st.just(record()),
    st.just(planner.tombstone(pending(Verb.DELETE), T0)),
    st.just(planner.cleaning(pending(Verb.CREATE), Fault(FaultCode.QUOTA, "no more"), T0)),
)


@dataclass(frozen=True)
class Above:
    """What the shell around the reducer has done: the record, what it saved, and how the command ended."""

    record: InstanceRecord
    saved: dict[str, Any] = field(default_factory=dict)
    ends: tuple[Verdict, ...] = ()

    def take(self, observation: Observation, waiting: bool = False) -> "Above":
        """Do what bridge/observations.py does with the reduction."""
        reduction = reduce(self.record, observation, command_waiting=waiting)
        verdict = reduction.verdict
        if verdict in (Verdict.SUCCEEDED, Verdict.FAILED):
            settled = planner.settled(reduction.record)
            return replace(
                self, record=settled, saved=self.saved | reduction.changes, ends=(*self.ends, reduction.verdict)
            )
        if verdict is Verdict.GONE:
            dead = planner.tombstone(reduction.record, T0)
            return replace(self, record=dead, ends=(*self.ends, verdict))
        if verdict is Verdict.COPIED:
            return replace(self, record=reduction.record, saved=self.saved | reduction.changes)
        return replace(self, record=reduction.record)


@given(RECORDS, OBSERVATIONS, st.booleans())
def test_reducing_twice_gives_the_same(known: InstanceRecord, observation: Observation, waiting: bool) -> None:
    assert reduce(known, observation, waiting) == reduce(known, observation, waiting)


@given(RECORDS, OBSERVATIONS, st.booleans())
def test_an_observation_that_is_delivered_again_changes_nothing(
    known: InstanceRecord, observation: Observation, waiting: bool
) -> None:
    once = Above(known).take(observation, waiting)
    assert once.take(observation, waiting) == once


@given(RECORDS, OBSERVATIONS, st.booleans())
def test_reducing_never_plans_or_forgets(known: InstanceRecord, observation: Observation, waiting: bool) -> None:
    after = reduce(known, observation, waiting).record
    kept = ("uuid", "generation", "observed_generation", "rpc_ids", "pending", "deleted_at")
    assert [getattr(after, name) for name in kept] == [getattr(known, name) for name in kept]


@given(RECORDS, OBSERVATIONS, st.booleans())
def test_an_older_generation_never_ends_a_command(
    known: InstanceRecord, observation: Observation, waiting: bool
) -> None:
    if known.pending is None or not 0 < observation.generation < known.pending.generation:
        return
    reduction = reduce(known, observation, waiting)
    assert (reduction.changes, reduction.record) == ({}, known)


@given(RECORDS, OBSERVATIONS, st.booleans())
def test_nothing_ends_a_delete_but_absence_or_a_refusal(
    known: InstanceRecord, observation: Observation, waiting: bool
) -> None:
    if known.pending is None or known.pending.verb is not Verb.DELETE:
        return
    verdict = reduce(known, observation, waiting).verdict
    assert verdict not in (Verdict.SUCCEEDED, Verdict.COPIED)
    assert verdict is not Verdict.GONE or observation.absent
    assert verdict is not Verdict.FAILED or observation.outcome in (Outcome.REFUSED, Outcome.EXPIRED)


@given(RECORDS, OBSERVATIONS, st.booleans())
def test_what_is_saved_above_is_guarded_by_the_task_state(
    known: InstanceRecord, observation: Observation, waiting: bool
) -> None:
    reduction = reduce(known, observation, waiting)
    assert not reduction.changes or reduction.expected_task_state or BY_VERB[Verb.DELETE].begun
    assert "deleting" not in reduction.expected_task_state or reduction.verdict is Verdict.FAILED
    assert set(reduction.changes) <= {
        "vm_state", "power_state", "task_state", "launched_at", "root_device_name", "progress",
    }  # fmt: skip


@given(RECORDS, st.lists(OBSERVATIONS, max_size=6))
def test_a_command_ends_at_most_once(known: InstanceRecord, observations: list[Observation]) -> None:
    above = Above(known)
    for observation in observations:
        above = above.take(observation)
    assert len(above.ends) <= (known.pending is not None)


STORIES = {
    Verb.STOP: [
        seen(server(), 1, T0 + 1),
        seen(server(task_state="powering-off"), 2, T0 + 2),
        seen(server("stopped", 4), 2, T0 + 3),
    ],
    Verb.CREATE: [
        seen(server("building", 0, "scheduling"), 1, T0 + 1),
        seen(server("building", 0, "spawning"), 1, T0 + 2),
        seen(None, 1, T0 + 2, outcome=Outcome.RETRYING, attempt=2),
        seen(server(launched_at=T0), 1, T0 + 3),
    ],
    Verb.DELETE: [
        seen(server(), 1, T0 + 1),
        seen(server(task_state="deleting"), 2, T0 + 2),
        absent(2, T0 + 3),
    ],
}


@pytest.mark.parametrize("verb", STORIES)
def test_every_order_of_a_command_s_observations_ends_it_alike(verb: Verb) -> None:
    ends = {through(pending(verb), order).ends for order in permutations(STORIES[verb])}
    assert len(ends) == 1
    assert len(next(iter(ends))) == 1


def through(known: InstanceRecord, order: tuple[Observation, ...]) -> Above:
    above = Above(known)
    for observation in order:
        above = above.take(observation)
    return above
