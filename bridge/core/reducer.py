"""What an observation means for an instance above. Pure: same input, same output, in any order and number."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from bridge.core import vendor
from bridge.core.planner import row_of
from bridge.core.records import InstanceRecord, Pending
from proto.errors import FaultCode
from proto.messages import Fault, Observation, Outcome, ServerState
from proto.operations import MAKING, Operation, Repeat, Verb

POWER_RUNNING = 1  # nova.compute.power_state
POWER_SHUTDOWN = 4
ROOT_DEVICE = "/dev/vda"  # what attach code above starts counting from (NOVA-RPC 4.1)

COPIED_STATES = vendor.OVERWRITTEN  # vm_states that are the same above as in the site, whoever asked for them
LAUNCHING = frozenset({Verb.CREATE, Verb.REBUILD, Verb.RESCUE})  # the guest begins anew
PLAIN = frozenset({Verb.CREATE, Verb.DELETE})  # a server that is there, or is not: when one looked does not matter
RESIZED = "resized"  # it waits for its tenant's word: a site that confirms by itself does not speak for him


class Verdict(Enum):
    """What follows from an observation."""

    IGNORED = "ignored"  # older than what is pending
    NOTED = "noted"  # record only
    COPIED = "copied"  # the site changed it by itself: show that above
    SUCCEEDED = "succeeded"  # the pending command is settled
    FAILED = "failed"  # the pending command is settled with a fault
    GONE = "gone"  # the pending delete is settled: the server is not there


@dataclass(frozen=True, slots=True)
class Reduction:
    """The verdict, the record to keep, and what to save above (Instance fields without times)."""

    verdict: Verdict
    record: InstanceRecord
    changes: dict[str, Any]
    expected_task_state: tuple[str | None, ...]
    fault: Fault | None = None
    expected_vm_state: tuple[str, ...] = ()  # empty = any


def reduce(record: InstanceRecord, seen: Observation, command_waiting: bool) -> Reduction:
    """Return what one observation means.

    ``command_waiting`` tells whether the pending command is still in COMMANDS: what an agent sees that does not know
    the generation (0, after its restart) settles a create or a delete only once nothing waits any more. Any other
    command is settled by its generation alone, as such a look may be older than the command: what got lost is
    published again, and the agent finds it done and says so.
    """
    noted = _noted(record, seen)
    if record.deleted_at is not None:
        return _plain(Verdict.NOTED if seen.absent else Verdict.IGNORED, record)
    pending = record.pending
    if pending is None:
        return _unasked(record, noted, seen)
    if seen.outcome is Outcome.RETRYING:
        return _retrying(record, pending, seen)
    plain = pending.verb in PLAIN and seen.generation == 0 and not command_waiting
    known = seen.generation >= pending.generation or plain
    if not known:
        return _plain(Verdict.IGNORED, record)
    if pending.verb is Verb.SOFT_DELETE and _missing(seen):  # what is gone is powered off
        row = row_of(pending)
        gone = {"vm_state": row.shown_as, "power_state": POWER_SHUTDOWN, "task_state": None}
        return Reduction(Verdict.SUCCEEDED, noted, gone, row.ends_from)
    if seen.outcome in (Outcome.REFUSED, Outcome.EXPIRED):
        return _failed(noted, pending, seen.fault or Fault(FaultCode.BUG, "refused without a reason"), seen.server)
    if not row_of(pending).settles_in:
        return _plain(Verdict.GONE if seen.absent else Verdict.NOTED, noted)
    return _outcome(noted, pending, seen)


def _missing(seen: Observation) -> bool:
    return (seen.absent and seen.generation > 0) or (seen.fault is not None and seen.fault.code is FaultCode.MISSING)


def _outcome(noted: InstanceRecord, pending: Pending, seen: Observation) -> Reduction:
    row, server = row_of(pending), seen.server
    if seen.absent:
        if seen.generation == 0:  # an agent that just started may look before the site shows the server
            return _plain(Verdict.NOTED, noted)
        return _failed(noted, pending, Fault(FaultCode.MISSING, "the server is not in the site any more"), None)
    if server is None or server.task_state is not None:
        return _plain(Verdict.NOTED, _begun(noted, pending, server))
    if row.verb in MAKING:
        server = _launched(server)
    if server.vm_state in row.settles_in:
        return Reduction(Verdict.SUCCEEDED, noted, _success(row, server), row.ends_from)
    if server.vm_state == "building" or (row.verb is Verb.CONFIRM_RESIZE and server.vm_state == RESIZED):
        return _plain(Verdict.NOTED, noted)  # a confirm shows no task_state on its way
    reason = server.fault or f"the site's server is {server.vm_state} after {pending.verb}"
    return _failed(noted, pending, Fault(_code_of(server.fault), reason), server)


def _launched(server: ServerState) -> ServerState:
    """Return a new server as it is shown: what its vendor did with it before the first look is no failed boot."""
    shown = vendor.as_shown(server.vm_state, server.power_state)
    return msgspec.structs.replace(server, vm_state=shown[0], power_state=shown[1]) if shown else server


def _begun(noted: InstanceRecord, pending: Pending, server: ServerState | None) -> InstanceRecord:
    """A snapshot may take hours, but once the site works at it, nobody need fear that it begins too late."""
    if server is None or row_of(pending).repeat is not Repeat.IMAGE:
        return noted
    return msgspec.structs.replace(noted, pending=msgspec.structs.replace(pending, begun=True))


def _success(row: Operation, server: ServerState) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "vm_state": row.shown_as or server.vm_state,
        "power_state": server.power_state,
        "task_state": None,
    }
    if row.verb in LAUNCHING:
        changes["launched_at"] = server.launched_at
    if row.verb is Verb.CREATE:
        changes |= {"root_device_name": ROOT_DEVICE, "progress": 0}
    return changes


def _failed(noted: InstanceRecord, pending: Pending, fault: Fault, server: ServerState | None) -> Reduction:
    row = row_of(pending)
    changes: dict[str, Any] = {"task_state": None}
    if server is not None and server.vm_state in COPIED_STATES | {"error"}:
        changes |= {"vm_state": server.vm_state, "power_state": server.power_state}
    return Reduction(Verdict.FAILED, noted, changes, row.begun, fault)


def _unasked(record: InstanceRecord, noted: InstanceRecord, seen: Observation) -> Reduction:
    shown = vendor.shown(seen.server) if seen.server is not None else None
    if shown is None:
        return _plain(Verdict.NOTED if noted != record else Verdict.IGNORED, noted)
    known = vendor.as_shown(record.vm_state, record.power_state) == (shown.vm_state, shown.power_state)
    if known and record.missing_since is None:
        same = (noted.server_id, noted.vm_state) == (record.server_id, record.vm_state)
        return _plain(Verdict.IGNORED if same else Verdict.NOTED, noted)
    return Reduction(Verdict.COPIED, noted, shown.changes, (None,), shown.fault, vendor.overwritten(record))


def _retrying(record: InstanceRecord, pending: Pending, seen: Observation) -> Reduction:
    if seen.generation != pending.generation:
        return _plain(Verdict.IGNORED, record)
    trouble = seen.fault.message if seen.fault else None
    noted = msgspec.structs.replace(record, attempt=seen.attempt, trouble=trouble, seen_at=seen.observed_at)
    return _plain(Verdict.NOTED, noted)


def _noted(record: InstanceRecord, seen: Observation) -> InstanceRecord:
    server = seen.server
    if server is None:
        return msgspec.structs.replace(record, seen_at=seen.observed_at)
    settled = server.task_state is None
    return msgspec.structs.replace(
        record,
        server_id=server.server_id,
        vm_state=server.vm_state if settled else record.vm_state,
        power_state=server.power_state if settled else record.power_state,
        seen_at=seen.observed_at,
        missing_since=None if settled else record.missing_since,
    )


def _plain(verdict: Verdict, record: InstanceRecord) -> Reduction:
    return Reduction(verdict, record, {}, ())


def _code_of(fault: str | None) -> FaultCode:
    """No valid host is Nova's own wording for a site that is full (Nova 34, exception.NoValidHost)."""
    return FaultCode.NO_CAPACITY if fault and "No valid host" in fault else FaultCode.SITE_FAULT
