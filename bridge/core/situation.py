"""What healing knows of one instance when it decides, and the line of a plan that it comes to. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from bridge.core.records import InstanceRecord
from proto.messages import CensusEntry

LOOKS = 2  # rounds in a row that must see the same


class Action(StrEnum):
    """What one instance needs."""

    NOTHING = "nothing"
    WAIT = "wait"  # the same must be seen for longer
    TELL = "tell"  # only the operator can decide
    DELETE = "delete"  # somebody asked for it: run the delete (again)
    DELETE_LEFT = "delete left"  # deleted above without us: the server that was left goes too
    RECLAIM = "reclaim"  # soft-deleted long ago: it is deleted now
    OFFLOAD = "offload"  # it is shelved, and its offload was lost: run it again
    ASK_AGAIN = "ask again"  # the request was lost with its stream, and can be made again
    FAULT_BUILD = "fault build"  # the build, or the unshelve, was lost: it ends with a reason
    SHOW_SITE = "show site"  # no task, and the state the site has
    END_RESIZE = "end resize"  # as the site has it, and its migration and allocations with it
    RECORD = "record"  # its record was lost: made again of what the site has
    FORGET = "forget"  # the record of what is gone
    MISSING = "missing"  # the server is gone: ERROR above, with the reason
    REBUILD = "rebuild"  # the server is gone: made again
    RESTORED = "restored"  # deleted once, and above again: ERROR above, the operator decides
    ENFORCE = "enforce"  # the site is told to start or stop it, as its tenant wants
    QUARANTINE = "quarantine"  # kept for an operator to decide about
    DELETE_COPY = "delete copy"  # the former server of an instance that is in another site


@dataclass(frozen=True, slots=True)
class Above:
    """What the cascading database says of an instance."""

    uuid: str
    deleted: bool
    vm_state: str | None
    task_state: str | None
    updated_at: str  # as Nova writes it
    kept_since: float | None = None  # when it was soft-deleted, if it is
    host: str | None = None
    ours: bool = True  # the host is one of the site's


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision about one instance is made of. No RPC is under way for it, in a worker or waiting."""

    uuid: str
    above: Above | None  # None: no row, not even a deleted one
    record: InstanceRecord | None
    server: CensusEntry | None  # None: the census lacks it
    looked_at: float  # when this look began, UTC epoch s
    looks: int = 1  # rounds in a row, this one included, that saw the same above and in the site
    unchanged_for: float = 0.0  # s since the first of them


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a plan."""

    uuid: str
    action: Action
    why: str


def step(now: Situation, action: Action, why: str = "") -> Step:
    """Return the line of a plan."""
    return Step(now.uuid, action, why)


def lasting(now: Situation, action: Action, why: str, seconds: float = 0.0) -> Step:
    """Return the step, or WAIT until what it is for was seen twice, and for so long."""
    if now.looks >= LOOKS and now.unchanged_for >= seconds:
        return step(now, action, why)
    return step(now, Action.WAIT, f"{action} if this lasts: {why}")
