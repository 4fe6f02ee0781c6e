"""What a vendor does to a server on its own, and what is then shown above: one row for each state. Pure.

Nova above lets a tenant stop what is active or in ERROR, start what is stopped and delete anything (Nova 34,
compute/api.py), so a server's state is shown as one of these, or as one that a verb of the tenant's own leaves. Where
the site's server cannot go from its true state to what he asks for, the agent first has it leave that state
(site_agent/core/ways.py). docs/operations/vendor-changes.md is made of this table.
"""

from dataclasses import dataclass
from typing import Any

from bridge.core.records import InstanceRecord
from proto.errors import FaultCode
from proto.messages import Fault, ServerState
from proto.operations import OPERATIONS, Verb

SHUTDOWN = 4  # nova.compute.power_state
BY_POWER = ""  # active or stopped, as the server is powered


@dataclass(frozen=True, slots=True)
class Row:
    """A state that a vendor can leave a server in; vm_states are Nova's."""

    vm_state: str  # of the site's server
    actions: str  # of the vendor that lead there
    shown: str  # vm_state above


ROWS = (
    Row("active", "start, reboot, rebuild, live migration, evacuation, reset-state --active, the end of any below",
        "active"),
    Row("stopped", "stop, the end of a cold migration of a stopped server", "stopped"),
    Row("paused", "pause", "paused"),
    Row("suspended", "suspend", "suspended"),
    Row("rescued", "rescue", "active"),
    Row("resized", "resize or cold migration, not confirmed yet", BY_POWER),
    Row("shelved", "shelve", "stopped"),
    Row("shelved_offloaded", "shelve with offload", "stopped"),
    Row("soft-delete", "delete where the site has reclaim_instance_interval, until it reclaims", "stopped"),
    Row("error", "reset-state, or an operation of theirs that failed", "error"),
)  # fmt: skip
BY_STATE = {row.vm_state: row for row in ROWS}

# What vendors do that is not in the server's state.
UNSHOWN = {
    "lock": "nothing; the agent unlocks the server when the tenant changes it, and if the site does not let it, his "
    "request is refused with the site's words",
    "rename, metadata, tags": "nothing; the tenant's next change takes back a rename, and metadata under keys of his; "
    "under any other key a vendor's metadata stays. A server is known by its tag `cascade:<id above>`: if the vendor "
    "takes that away, the agent goes by the server's id as long as it runs",
    "resize to another flavor": "the flavor above stays: it is what the tenant asked for",
    "rebuild from another image": "the image above stays",
    "delete, reclaim": "absence is no reason to delete: once two censuses lack the server it is ERROR above, `missing "
    "at site`, or made again (policy `missing`). Until then stop and start are refused (`the server is not in the site "
    "any more`). A delete ends clean; a server that comes back is shown again",
}

# vm_states above that a vendor's change overwrites. In any other its tenant has the word (resized, rescued, shelved,
# soft-delete), and the verb that leaves it finds its work done or to be done; or no server is there yet, or any more.
OVERWRITTEN = frozenset({"active", "stopped", "paused", "suspended"})


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown above of a server that changed by itself."""

    vm_state: str
    power_state: int
    fault: Fault | None = None  # why it is in ERROR

    @property
    def changes(self) -> dict[str, Any]:
        """Instance fields to save."""
        return {"vm_state": self.vm_state, "power_state": self.power_state}


def shown(server: ServerState) -> Shown | None:
    """Return what is shown of a server that the site changed by itself; None if it is on its way, or has no row."""
    if server.task_state is not None:
        return None
    known = as_shown(server.vm_state, server.power_state)
    if known is None or known[0] != "error":
        return Shown(*known) if known else None
    reason = server.fault or "the site shows the server in ERROR and gives no reason"
    return Shown(*known, Fault(FaultCode.SITE_FAULT, reason))


def as_shown(vm_state: str | None, power_state: int | None) -> tuple[str, int] | None:
    """Return the vm_state and power_state above of a state in the site; None if it has no row."""
    row = BY_STATE.get(vm_state or "")
    if row is None or power_state is None:
        return None
    if row.shown == BY_POWER:
        return ("stopped" if power_state == SHUTDOWN else "active"), power_state
    return row.shown, SHUTDOWN if row.shown == "stopped" else power_state


def overwritten(record: InstanceRecord) -> tuple[str, ...]:
    """Return the vm_states above that the next change may overwrite: an ERROR only if it was the site's own, or ours
    for a server that was missing.
    """
    theirs = record.vm_state == "error" or record.missing_since is not None
    return tuple(sorted(OVERWRITTEN | ({"error"} if theirs else set())))


def ending(task_state: str | None, server: ServerState) -> Shown | None:
    """Return what is shown above when an operation in ``task_state`` was lost: its own end, if that is what is there.

    None while the server is on its way in the site.
    """
    ways = [row for row in OPERATIONS if row.verb is not Verb.RESIZE]  # its migration above awaits no confirm then
    begun = [row for row in ways if task_state is not None and task_state in row.begun]
    settled = [row for row in begun if server.vm_state in row.settles_in]
    if server.task_state is None and settled:
        return Shown(settled[0].shown_as or server.vm_state, server.power_state)
    return shown(server)
