"""Dead letters: what was put aside because nobody could use it, and when it may be tried again. Pure.

A site writes letters on a subject of its own, so what one of those says is the site's word and may only ask for what
the site may do anyway. What a bridge wrote is what it took from a stream.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from bridge.core import shelving
from bridge.core.planner import EXTERNAL_EVENT
from bridge.core.records import InstanceRecord
from proto import codec, subjects
from proto.errors import Malformed
from proto.messages import Command, Observation, Rpc
from proto.operations import ADDRESS_CHANGES, BY_METHOD, Mode, Operation, Verb

_LONGEST_ID = 64  # characters of a former RPC id that go into the new one


class Kind(StrEnum):
    """What a letter was."""

    RPC = "rpc"
    COMMAND = "command"
    OBSERVATION = "observation"
    UNKNOWN = "unknown"


_KINDS = {"intake": Kind.RPC, "cmd": Kind.COMMAND, "evt": Kind.OBSERVATION}


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of DEAD."""

    number: int  # its sequence there
    site: str
    by_bridge: bool  # who wrote it: a bridge, or the site
    subject: str  # that it was on, says its writer
    reason: str
    at: float  # UTC epoch s
    data: bytes

    @property
    def kind(self) -> Kind:
        """What it was, by its subject."""
        tokens = self.subject.split(".")
        return _KINDS.get(tokens[2], Kind.UNKNOWN) if len(tokens) > 2 else Kind.UNKNOWN


def letter(number: int, subject: str, data: bytes, headers: Mapping[str, str], at: float) -> Letter:
    """Return a stored message of DEAD as a letter; Malformed if its subject is none of DEAD's."""
    site, by_bridge = subjects.parse_dead(subject)
    former, reason = headers.get(subjects.HEADER_DEAD_SUBJECT, ""), headers.get(subjects.HEADER_DEAD_REASON, "")
    return Letter(number, site, by_bridge, former, reason, at, data)


def content(found: Letter) -> Rpc | Command | Observation:
    """Return the message in a letter; Malformed if it cannot be read, or is not what its subject says."""
    address = subjects.parse(found.subject)
    kinds: dict[Kind, type[Rpc | Command | Observation]] = {
        Kind.RPC: Rpc, Kind.COMMAND: Command, Kind.OBSERVATION: Observation,
    }  # fmt: skip
    message = codec.decode(found.data, kinds[found.kind])
    site = found.site if isinstance(message, Rpc) else message.site
    if (site, message.uuid) != (address.site, address.uuid) or address.site != found.site:
        raise Malformed(f"it is about {site} {message.uuid}, but was on {found.subject}")
    return message


def rpc_refusal(found: Letter, rpc: Rpc, hosts: Collection[str], instance: Mapping[str, Any] | None) -> str | None:
    """Return why an RPC must not be tried again, None if it may; ``instance`` is its present row above.

    What it was asked for must still wait for it: since then the request may have been refused above, and its tenant
    may have gone on without it.
    """
    if not found.by_bridge:
        return "it was not written by a bridge, and what a site says is no request of a tenant's"
    if rpc.host not in hosts:
        return f"{rpc.host} is no host of site {found.site}"
    if instance is None or instance.get("deleted"):
        return "the instance is gone above"
    if rpc.method == EXTERNAL_EVENT or rpc.method in ADDRESS_CHANGES:
        return None
    row = BY_METHOD.get(rpc.method)
    if row is None:
        return f"{rpc.method} is not supported by this release"
    if row.mode is not Mode.CAST:
        return "its caller has given up waiting: ask for it again"
    if instance.get("host") not in (rpc.host, None):
        return f"the instance is on {instance.get('host')} now"
    if not _waits(row, instance):
        state = f"{instance['vm_state']}, task {instance['task_state'] or 'none'}"
        return f"nothing waits for {rpc.method} any more (the instance is {state}): ask for it again"
    return None


def _waits(row: Operation, instance: Mapping[str, Any]) -> bool:
    """Whether the instance is still in the operation. Without a task_state only few operations can be."""
    vm_state, task_state = instance["vm_state"], instance["task_state"]
    if row.verb is Verb.CREATE:
        return vm_state == "building" and task_state in row.begun
    if row.verb is Verb.CONFIRM_RESIZE:
        return vm_state == "resized" and task_state in row.begun
    return task_state in row.begun and (task_state is not None or set(row.begun) == {None})


def again(found: Letter, rpc: Rpc) -> Rpc:
    """Return the RPC to put into INTAKE: under an id of its own, as the former is remembered as done.

    The same letter always gives the same id. As it is ``redelivered``, its task_state is looked at again in its turn.
    """
    former = rpc.rpc_id.removesuffix(shelving.FOLLOWING)
    ending = shelving.FOLLOWING if shelving.follows(rpc) else ""
    return msgspec.structs.replace(rpc, rpc_id=f"dead-{found.number}-{former[:_LONGEST_ID]}{ending}", redelivered=True)


def command_refusal(command: Command, record: InstanceRecord | None, epoch: int, now: float) -> str | None:
    """Return why a command must not be published again, None if it may: only the one that is awaited may."""
    if command.epoch != epoch:
        return f"it is of epoch {command.epoch} of the site, which is in epoch {epoch}"
    pending = record.pending if record is not None else None
    if pending is None or (pending.generation, pending.verb) != (command.generation, command.verb):
        return "its outcome is recorded already, or something newer has taken its place"
    if pending.not_after is not None and now > pending.not_after:
        return "it has expired"
    return None


def observation_refusal(seen: Observation, record: InstanceRecord | None) -> str | None:
    """Return why an observation is of no use any more, None if it is."""
    if record is None:
        return "nothing is recorded of the instance any more"
    if record.seen_at > seen.observed_at:
        return "the site has told of something newer since"
    return None
