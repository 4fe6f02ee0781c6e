"""The table of Nova operations: one row for each compute RPC method that Cascade carries out, and nothing else.

A row says how the bridge sequences the operation and what Nova's own compute host would have left behind
(Nova 34, compute/manager.py). A method without a row is answered with the fault ``unsupported``.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What a site is asked to do; the names of the agent's handlers."""

    CREATE = "create"
    DELETE = "delete"
    STOP = "stop"
    START = "start"
    REBOOT = "reboot"
    CONSOLE_OUTPUT = "console_output"


class Mode(StrEnum):
    """How an RPC is answered."""

    CAST = "cast"  # durable: stored in INTAKE, becomes a command
    QUERY = "query"  # a CALL that only reads: one request to the site, answered at once


class Lane(StrEnum):
    """The two durable consumers of a site; the urgent one is served first."""

    URGENT = "urgent"
    NORMAL = "normal"


class Repeat(StrEnum):
    """How the agent recognises that an earlier delivery of the same command already did the work."""

    TAG = "tag"  # a server with the identity tag exists
    STATE = "state"  # the server is already in the state the verb seeks
    ACTION = "action"  # the site's own instance action of that kind began after the command was issued
    READ = "read"  # nothing changes, so nothing needs recognising


class Leaves(StrEnum):
    """The vm_state a refusal leaves above."""

    ERROR = "error"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. Times in s; task_states as Nova spells them, None = no task."""

    method: str  # Nova RPC method
    verb: Verb
    mode: Mode
    lane: Lane
    event: str  # the instance action event that Nova records for it
    begun: tuple[str | None, ...]  # task_states nova-api leaves the instance in when it sends the RPC
    ends_from: tuple[str | None, ...]  # expected_task_state of the final save; empty = any
    settles_in: tuple[str, ...]  # vm_states of the site's server that settle it; empty = the server is absent
    refusal_leaves: Leaves
    deadline: int  # s without an outcome until the bridge looks again
    expiry: int | None  # s after issue when the command must no longer run; None = never
    repeat: Repeat


BUILD_TASK_STATES: tuple[str | None, ...] = ("scheduling", None, "networking", "block_device_mapping", "spawning")
REBOOT_TASK_STATES: tuple[str | None, ...] = (
    "rebooting",
    "reboot_pending",
    "reboot_started",
    "rebooting_hard",
    "reboot_pending_hard",
    "reboot_started_hard",
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="build_and_run_instance",
        verb=Verb.CREATE,
        mode=Mode.CAST,
        lane=Lane.NORMAL,
        event="compute__do_build_and_run_instance",
        begun=BUILD_TASK_STATES,
        ends_from=("spawning",),
        settles_in=("active", "stopped", "paused", "suspended"),  # it ran; what became of it since is no failed boot
        refusal_leaves=Leaves.ERROR,
        deadline=60,
        expiry=1800,
        repeat=Repeat.TAG,
    ),
    Operation(
        method="terminate_instance",
        verb=Verb.DELETE,
        mode=Mode.CAST,
        lane=Lane.URGENT,
        event="compute_terminate_instance",
        begun=("deleting",),
        ends_from=(),
        settles_in=(),
        refusal_leaves=Leaves.ERROR,
        deadline=30,
        expiry=None,
        repeat=Repeat.STATE,
    ),
    Operation(
        method="stop_instance",
        verb=Verb.STOP,
        mode=Mode.CAST,
        lane=Lane.URGENT,
        event="compute_stop_instance",
        begun=("powering-off", None),
        ends_from=("powering-off", None),
        settles_in=("stopped",),
        refusal_leaves=Leaves.UNCHANGED,
        deadline=30,
        expiry=3600,
        repeat=Repeat.STATE,
    ),
    Operation(
        method="start_instance",
        verb=Verb.START,
        mode=Mode.CAST,
        lane=Lane.NORMAL,
        event="compute_start_instance",
        begun=("powering-on",),
        ends_from=("powering-on",),
        settles_in=("active",),
        refusal_leaves=Leaves.UNCHANGED,
        deadline=30,
        expiry=3600,
        repeat=Repeat.STATE,
    ),
    Operation(
        method="reboot_instance",
        verb=Verb.REBOOT,
        mode=Mode.CAST,
        lane=Lane.NORMAL,
        event="compute_reboot_instance",
        begun=REBOOT_TASK_STATES,
        ends_from=REBOOT_TASK_STATES,
        settles_in=("active", "rescued"),
        refusal_leaves=Leaves.UNCHANGED,
        deadline=30,
        expiry=900,
        repeat=Repeat.ACTION,
    ),
    Operation(
        method="get_console_output",
        verb=Verb.CONSOLE_OUTPUT,
        mode=Mode.QUERY,
        lane=Lane.NORMAL,
        event="",
        begun=(),
        ends_from=(),
        settles_in=(),
        refusal_leaves=Leaves.UNCHANGED,
        deadline=20,
        expiry=None,
        repeat=Repeat.READ,
    ),
)

BY_METHOD: dict[str, Operation] = {row.method: row for row in OPERATIONS}
BY_VERB: dict[Verb, Operation] = {row.verb: row for row in OPERATIONS}

# CALLs without a row: the nova.exception that nova-api turns into a clean HTTP error (Nova 34, api/openstack/compute).
# Any other CALL without a row answers NotImplementedError, any other cast leaves the fault ``unsupported``.
CALL_REFUSALS: dict[str, str] = {
    "get_vnc_console": "ConsoleTypeUnavailable",
    "get_spice_console": "ConsoleTypeUnavailable",
    "get_serial_console": "ConsoleTypeUnavailable",
    "get_mks_console": "ConsoleTypeUnavailable",
    "set_admin_password": "SetAdminPasswdNotSupported",
    "attach_interface": "InterfaceAttachFailed",
    "check_can_live_migrate_destination": "MigrationPreCheckError",
    "prep_snapshot_based_resize_at_dest": "MigrationPreCheckError",
    "quiesce_instance": "InstanceQuiesceNotSupported",
}
