"""What to do with a Nova RPC, given what is recorded of its instance. Pure."""

from dataclasses import dataclass
from enum import Enum

import msgspec

from bridge.core.records import REMEMBERED_RPC_IDS, InstanceRecord, Pending
from proto.messages import Fault, Rpc, ServerState
from proto.operations import ADDRESS_CHANGES, BY_METHOD, BY_VERB, MAKING, Finish, Mode, Operation, Verb

EXTERNAL_EVENT = "external_instance_event"
LIFE = MAKING | {Verb.DELETE, Verb.SHELVE_OFFLOAD}  # verbs that begin or end a life


class Step(Enum):
    """How an RPC taken from INTAKE goes on."""

    DONE = "done"  # its outcome is recorded: acknowledge
    RESUME = "resume"  # an earlier owner or delivery planned it: see that it is published, and wait
    PLAN = "plan"  # new
    ADDRESSES = "addresses"  # nothing for the site: they change above, and Neutron told Nova so or is to be told
    UNSUPPORTED = "unsupported"  # no row


def step(rpc: Rpc, record: InstanceRecord | None) -> Step:
    """Return how to go on with an RPC; the record is that of its instance, if there is one."""
    if rpc.method == EXTERNAL_EVENT or rpc.method in ADDRESS_CHANGES:
        return Step.ADDRESSES
    if rpc.method not in BY_METHOD:
        return Step.UNSUPPORTED
    if record is None or rpc.rpc_id not in record.rpc_ids:
        return Step.PLAN
    if record.pending is not None and record.pending.rpc_id == rpc.rpc_id:
        return Step.RESUME
    return Step.DONE


def begun(rpc: Rpc, row: Operation, record: InstanceRecord | None, now: float) -> InstanceRecord:
    """Return the record with the command of ``row`` pending: next generation, RPC id remembered."""
    known = record or InstanceRecord(uuid=rpc.uuid)
    began = rpc.received_at if row.mode is Mode.AWAITED else now  # its caller does not wait longer than that
    perhaps_done = record is None and row.verb not in MAKING  # the site then knows it by what began since it was asked
    pending = Pending(
        generation=_next_generation(known, now),
        verb=row.verb,
        rpc_id=rpc.rpc_id,
        request_id=str(rpc.context.get("request_id") or ""),
        issued_at=rpc.received_at if perhaps_done else now,
        not_after=None if row.expiry is None else began + row.expiry,
        perhaps_done=perhaps_done,
    )
    return msgspec.structs.replace(
        known,
        generation=pending.generation,
        pending=pending,
        rpc_ids=[*known.rpc_ids, rpc.rpc_id][-REMEMBERED_RPC_IDS:],
        deleted_at=None,
        attempt=0,
        trouble=None,
    )


def cleaning(record: InstanceRecord, fault: Fault, now: float) -> InstanceRecord:
    """Return the record after a failed create: the same RPC goes on with a delete in the site."""
    assert record.pending is not None
    pending = msgspec.structs.replace(
        record.pending,
        generation=_next_generation(record, now),
        verb=Verb.DELETE,
        issued_at=now,
        not_after=None,
        cleanup=True,
        fault=fault,
    )
    return msgspec.structs.replace(record, generation=pending.generation, pending=pending, attempt=0, trouble=None)


def ended(record: InstanceRecord, fault: Fault | None, server: ServerState | None) -> InstanceRecord:
    """Return the record once the site has said the last word; a create's and a delete's end is not kept."""
    pending = record.pending
    if pending is None or row_of(pending).finish is not Finish.WORKER:
        return record
    pending = msgspec.structs.replace(pending, ended=True, fault=fault, server=server)
    return msgspec.structs.replace(record, pending=pending)


def settled(record: InstanceRecord) -> InstanceRecord:
    """Return the record with nothing pending: the outcome is recorded above."""
    pending = record.pending
    if pending is None:
        return record
    made = pending.verb in MAKING
    return msgspec.structs.replace(
        record,
        pending=None,
        observed_generation=pending.generation,
        attempt=0,
        trouble=None,
        created=pending.generation if made else record.created,
    )


def tombstone(record: InstanceRecord, now: float) -> InstanceRecord:
    """Return the record of an instance that was deleted because somebody asked for it."""
    return msgspec.structs.replace(settled(record), deleted_at=now)


def withdrawn(record: InstanceRecord | None, generation: int) -> bool:
    """Whether what a create of that generation makes is not wanted any more.

    Only an end of the instance's life in the site, or another create, says so: a stop or a reboot that came after it
    is about the very server it made.
    """
    if record is None:
        return False
    pending = record.pending
    over = pending is not None and pending.verb in LIFE and pending.generation > generation
    return record.deleted_at is not None or over


def adopted(spec_uuid: str, generation: int) -> InstanceRecord:
    """Return the record of a server found in a site whose record was lost; its generation counts on."""
    return InstanceRecord(uuid=spec_uuid, generation=generation, observed_generation=generation, created=generation)


def _next_generation(record: InstanceRecord, now: float) -> int:
    """Return a generation above all earlier ones, also those of a record that was dropped or came from a backup.

    Agents remember the generations of instances that are gone, and JetStream the ids of their commands: counting from
    1 again, a new command would be taken for an old one. So the clock (ms) is the least a generation can be.
    """
    return max(record.generation + 1, int(now * 1000))


@dataclass(frozen=True, slots=True)
class Lateness:
    """When a pending command may be given up above; all in s of the bridge's clock."""

    not_after: float
    clock_offset: float
    margin: float = 60.0

    def over(self, now: float) -> bool:
        """Whether the site's agent can no longer begin the command, whatever its clock says."""
        return now > self.not_after + abs(self.clock_offset) + self.margin


def row_of(pending: Pending) -> Operation:
    """Return the row of a pending command."""
    return BY_VERB[pending.verb]
