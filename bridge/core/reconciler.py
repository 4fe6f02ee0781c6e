"""What healing does with an instance nothing is under way for. Pure: rows of ARCHITECTURE 8, the first half."""

from dataclasses import dataclass
from enum import Enum

from bridge.core import vendor
from bridge.core.records import InstanceRecord
from bridge.core.shelving import OFFLOADED, OFFLOADING, SHELVED
from proto.messages import CensusEntry


class Repair(Enum):
    """What one instance needs."""

    NOTHING = "nothing"
    DELETE = "delete"  # somebody asked for it: run the delete (again)
    OFFLOAD = "offload"  # it is shelved, and its offload was lost: run it again
    FAULT_BUILD = "fault_build"  # the build, or the unshelve, was lost: it ends with a reason
    SHOW_SITE = "show_site"  # the operation was lost: no task, and the state the site has
    DROP = "drop"  # a tombstone that has done its duty


@dataclass(frozen=True, slots=True)
class Above:
    """What the cascading database says of an instance on one of our hosts."""

    uuid: str
    deleted: bool
    vm_state: str | None
    task_state: str | None
    updated_at: str  # as Nova writes it; only compared
    kept_since: float | None = None  # when it was soft-deleted, if it is


def repair(above: Above, before: Above | None, record: InstanceRecord | None, server: CensusEntry | None) -> Repair:
    """Return what an instance needs that no RPC, command or observation is under way for.

    ``before`` is what the last round saw: only what stayed the same for a whole round is acted on. ``server`` is the
    site's, None if the census lacks it. Whether an RPC is under way or waits in INTAKE the caller knows: then nothing
    may be done. A pending command without one was lost with its stream.
    """
    if above.deleted:
        return Repair.DELETE if server is not None else Repair.NOTHING
    if above != before:
        return Repair.NOTHING
    if above.task_state == "deleting":
        return Repair.DELETE
    if above.vm_state == "building":
        return Repair.SHOW_SITE if server is not None else Repair.FAULT_BUILD
    if (above.vm_state, above.task_state) == (SHELVED, OFFLOADING):
        return Repair.OFFLOAD
    if above.vm_state == OFFLOADED and above.task_state is not None and server is None:
        return Repair.FAULT_BUILD
    if above.vm_state == OFFLOADED and server is not None and vendor.ending(above.task_state, server.server) is None:
        return Repair.NOTHING  # on its way: without a task it could be unshelved a second time
    if above.task_state is not None or (record is not None and record.pending is not None):
        return Repair.SHOW_SITE
    if above.vm_state not in vendor.OVERWRITTEN | {"error"}:
        return Repair.NOTHING  # its tenant has the word, whatever the site made of it by itself
    shown = vendor.shown(server.server) if server is not None else None
    differs = shown is not None and shown.vm_state not in (above.vm_state, "error")  # the observer tells of ERROR
    return Repair.SHOW_SITE if differs else Repair.NOTHING


def reclaimable(above: Above, interval: int, now: float) -> bool:
    """Whether a soft-deleted instance was kept for ``interval`` s; 0 = it is kept for ever.

    Nova 34, compute/manager.py _reclaim_queued_deletes. Only what nothing is done with: a restore has a task_state.
    """
    idle = above.task_state is None and not above.deleted
    return interval > 0 and idle and above.kept_since is not None and now - above.kept_since > interval


def droppable(record: InstanceRecord, census_began: float, present: bool) -> bool:
    """Whether a tombstone may go: a census that began after the delete lacks the server, and nothing is pending."""
    return record.deleted_at is not None and record.pending is None and record.deleted_at < census_began and not present
