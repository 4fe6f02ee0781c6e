"""What healing does with one instance, from what is above, recorded and in the site. Pure: the table of ARCHITECTURE 8.

Absence is never a reason to delete: what deletes a server is a deleted row above, a tombstone, a tenant's own request,
or, for the former server of an instance that lives in another site, a policy.
"""

from collections.abc import Callable

from bridge.core import vendor
from bridge.core.policies import Policies
from bridge.core.records import InstanceRecord
from bridge.core.shelving import OFFLOADED, OFFLOADING, SHELVED
from bridge.core.situation import Above, Action, Situation, Step, lasting, step
from proto.messages import CensusEntry
from proto.operations import BY_VERB, Verb

DELIVERY = 50.0  # s that a message may be on its way to us without being seen anywhere
GRACE = 20.0  # s between the first and the last census that lacks a server until it counts as missing
SERVED = vendor.OVERWRITTEN | {"rescued"}  # vm_states above that a server in the site belongs to
KEPT = frozenset({"resized", SHELVED, "soft-delete"})  # and those in which its tenant has the word, even without it
ENFORCED = frozenset({"active", "stopped"})  # vm_states above that a start or a stop in the site brings back
LOST_WITHOUT_RECORD = "not in the site, nor recorded: was it deleted before the cascading database was restored?"
RESIZING = BY_VERB[Verb.RESIZE].begun
RUNNING = frozenset({"active", "paused", "rescued"})
# Lost with its stream, these can be asked again: nothing but the instance, its row and its migration is needed.
REPEATABLE = frozenset(
    {
        Verb.STOP, Verb.START, Verb.PAUSE, Verb.UNPAUSE, Verb.SUSPEND, Verb.RESUME, Verb.UNRESCUE, Verb.SOFT_DELETE,
        Verb.RESTORE, Verb.CONFIRM_RESIZE, Verb.REVERT_RESIZE, Verb.UNSHELVE,
    }
)  # fmt: skip


def decide(now: Situation, policies: Policies) -> Step:
    """Return what an instance needs. Whoever carries it out looks again whether something is under way for it."""
    if now.above is None:
        return _without_row(now, policies)
    if now.above.deleted:
        return _deleted(now)
    if not now.above.ours:
        return _elsewhere(now, now.above, policies)
    for row in ROWS:
        found = row(now, now.above, policies)
        if found is not None:
            return found
    return step(now, Action.NOTHING)


# -- not on our hosts ------------------------------------------------------------------------------------------------


def _without_row(now: Situation, policies: Policies) -> Step:
    if now.server is None:
        return _forgotten(now, "neither above nor in the site")
    if _is_dead(now, now.server):
        return step(now, Action.DELETE, "its delete is recorded, and the server is still there")
    return _orphan(now, policies, "the cascading database has never heard of it, or was restored from before it")


def _deleted(now: Situation) -> Step:
    if now.server is None:
        return _forgotten(now, "deleted above, and not in the site")
    tombstone = now.record is not None and now.record.deleted_at is not None
    if tombstone and not _is_dead(now, now.server):
        return step(now, Action.NOTHING, "deleted since the census began")
    return step(now, Action.DELETE if tombstone else Action.DELETE_LEFT, "deleted above, and still in the site")


def _elsewhere(now: Situation, above: Above, policies: Policies) -> Step:
    if now.server is None:
        return _forgotten(now, f"on {above.host or 'no host'} above, and not in the site")
    if above.host is not None:
        why = f"the instance is on {above.host} above: this is its former server"
        if policies.fenced == "delete":
            return lasting(now, Action.DELETE_COPY, why, DELIVERY)
        return lasting(now, Action.QUARANTINE, why)
    if above.task_state is not None or above.vm_state == "building":
        return step(now, Action.NOTHING, "on its way to a host")
    return _orphan(now, policies, f"the instance is {above.vm_state} on no host above")


def _forgotten(now: Situation, why: str) -> Step:
    """A record without anything that it is about; a tombstone goes by itself (``droppable``)."""
    if now.record is None or now.record.deleted_at is not None:
        return step(now, Action.NOTHING)
    on_its_way = now.above is not None and not now.above.deleted and now.above.task_state is not None
    if on_its_way and now.record.pending is not None:  # its RPC was lost: without the record it counts as a lost build
        return lasting(now, Action.FORGET, why, DELIVERY)
    return step(now, Action.NOTHING) if on_its_way else step(now, Action.FORGET, why)


def _orphan(now: Situation, policies: Policies, why: str) -> Step:
    return lasting(now, Action.TELL if policies.orphans == "report" else Action.QUARANTINE, why)


def _is_dead(now: Situation, server: CensusEntry) -> bool:
    """Whether a tombstone is about this very server, and older than the look that saw it."""
    record = now.record
    if record is None or record.deleted_at is None:
        return False
    return record.deleted_at < now.looked_at and server.generation <= record.generation


# -- on our hosts: the first row that says something counts ----------------------------------------------------------


def _reclaimed(now: Situation, above: Above, policies: Policies) -> Step | None:
    idle = above.vm_state == "soft-delete" and above.task_state is None and not _is_pending(now)
    if idle and now.server is not None and now.server.server.vm_state in RUNNING:
        return step(now, Action.TELL, "soft-deleted above, yet it runs in the site: a database was restored?")
    old = reclaimable(above, policies.reclaim_interval, now.looked_at)
    return step(now, Action.RECLAIM, "soft-deleted long ago") if old else None


def _interrupted(now: Situation, above: Above, _policies: Policies) -> Step | None:
    """An operation that nobody is at work for."""
    if above.task_state is None and above.vm_state != "building" and not _is_pending(now):
        return None
    action, why = _ended(now, above)
    return step(now, action) if action is Action.NOTHING else lasting(now, action, why, DELIVERY)


def _ended(now: Situation, above: Above) -> tuple[Action, str]:
    task = f"{above.vm_state}/{above.task_state}"
    if above.task_state == "deleting":
        return Action.DELETE, "a delete that was asked for was lost"
    if above.vm_state == "building" and now.server is None:
        return Action.FAULT_BUILD, "the build was lost, and nothing of it is in the site"
    if (above.vm_state, above.task_state) == (SHELVED, OFFLOADING):
        return Action.OFFLOAD, "the offload that follows a shelve was lost"
    if verb := repeatable(now.record, above):
        return Action.ASK_AGAIN, f"the {verb} that was asked for was lost on its way"
    if above.vm_state == OFFLOADED and above.task_state is not None:
        if now.server is None:
            return Action.FAULT_BUILD, "the unshelve was lost, and nothing of it is in the site"
        if vendor.ending(above.task_state, now.server.server) is None:
            return Action.NOTHING, ""  # on its way: without a task it could be unshelved a second time
    if above.task_state in RESIZING and now.server is not None:
        moving = now.server.server.task_state is not None
        return (Action.NOTHING, "") if moving else (Action.END_RESIZE, "a resize that was asked for was lost")
    return Action.SHOW_SITE, f"{task} above, and nobody is at work for it"


def _restored(now: Situation, above: Above, _policies: Policies) -> Step | None:
    record, server = now.record, now.server
    if record is None or record.deleted_at is None:
        return None
    if server is not None and server.generation > record.generation:
        return step(now, Action.RECORD, "the server is younger than its tombstone: etcd was restored")
    why = "its delete was carried out, yet it is above again: the cascading database was restored"
    if above.vm_state == "error":
        return lasting(now, Action.QUARANTINE, why) if server is not None else step(now, Action.NOTHING)
    return lasting(now, Action.RESTORED, why, DELIVERY)


def _missing(now: Situation, above: Above, policies: Policies) -> Step | None:
    if now.server is not None:
        return None
    if above.vm_state in KEPT:
        return step(now, Action.TELL, f"{above.vm_state} above, and its server is not in the site")
    if above.vm_state not in SERVED:
        return step(now, Action.NOTHING)
    if now.record is None:
        return lasting(now, Action.MISSING, LOST_WITHOUT_RECORD, GRACE)
    action = Action.REBUILD if policies.missing == "rebuild" else Action.MISSING
    return lasting(now, action, "its server is not in the site", GRACE)


def _unrecorded(now: Situation, _above: Above, _policies: Policies) -> Step | None:
    if now.record is not None:
        return None
    return step(now, Action.RECORD, "in the site, and nothing is recorded of it")


def _differing(now: Situation, above: Above, policies: Policies) -> Step | None:
    record, shown = now.record, vendor.shown(now.server.server) if now.server is not None else None
    if shown is None or record is None:
        return None
    if record.missing_since is not None:
        return step(now, Action.SHOW_SITE, "its server is in the site again")
    if above.vm_state not in vendor.OVERWRITTEN | {"error"}:
        return None  # its tenant has the word, whatever the site made of it by itself
    if shown.vm_state == "error":  # the observer tells of it: a single reading may be false
        return None
    if shown.vm_state == above.vm_state:
        return None if shown == _recorded(record) else step(now, Action.RECORD, "the record is older than the site")
    why = f"{above.vm_state} above, {shown.vm_state} in the site"
    if policies.drift == "enforce" and above.vm_state in ENFORCED:
        return lasting(now, Action.ENFORCE, why)
    return lasting(now, Action.SHOW_SITE, why)


def _recorded(record: InstanceRecord) -> vendor.Shown | None:
    known = vendor.as_shown(record.vm_state, record.power_state)
    return vendor.Shown(*known) if known is not None else None


Row = Callable[[Situation, Above, Policies], Step | None]
ROWS: tuple[Row, ...] = (_reclaimed, _interrupted, _restored, _missing, _unrecorded, _differing)


def repeatable(record: InstanceRecord | None, above: Above) -> Verb | None:
    """Return the verb that can be asked for again: still wanted above, and needing nothing that was lost.

    A revert needs no record: its task_state says it all.
    """
    if record is None or record.pending is None:
        return Verb.REVERT_RESIZE if above.task_state == "resize_reverting" else None
    verb = record.pending.verb
    if verb not in REPEATABLE or record.pending.cleanup:
        return None
    if verb is Verb.CONFIRM_RESIZE:
        return verb if (above.vm_state, above.task_state) == ("resized", None) else None
    return verb if above.task_state is not None and above.task_state in BY_VERB[verb].begun else None


def reclaimable(above: Above, interval: int, now: float) -> bool:
    """Whether a soft-deleted instance was kept for ``interval`` s; 0 = it is kept for ever.

    Nova 34, compute/manager.py _reclaim_queued_deletes. Only what nothing is done with: a restore has a task_state.
    """
    idle = above.task_state is None and not above.deleted
    return interval > 0 and idle and above.kept_since is not None and now - above.kept_since > interval


def droppable(record: InstanceRecord, census_began: float, present: bool) -> bool:
    """Whether a tombstone may go: a census that began after the delete lacks the server, and nothing is pending."""
    return record.deleted_at is not None and record.pending is None and record.deleted_at < census_began and not present


def _is_pending(now: Situation) -> bool:
    return now.record is not None and now.record.pending is not None
