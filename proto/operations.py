"""The table of Nova operations: one row for each compute RPC method that Cascade carries out, and nothing else.

A row says how the bridge sequences the operation and what Nova's own compute host would have left behind
(Nova 34, compute/manager.py). A method without a row is answered with the fault ``unsupported``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verb(StrEnum):
    """What a site is asked to do; the names of the agent's handlers."""

    CREATE = "create"
    DELETE = "delete"
    STOP = "stop"
    START = "start"
    REBOOT = "reboot"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SUSPEND = "suspend"
    RESUME = "resume"
    REBUILD = "rebuild"
    RESCUE = "rescue"
    UNRESCUE = "unrescue"
    RESIZE = "resize"
    CONFIRM_RESIZE = "confirm_resize"
    REVERT_RESIZE = "revert_resize"
    SET_ADMIN_PASSWORD = "set_admin_password"
    ATTACH_INTERFACE = "attach_interface"
    DETACH_INTERFACE = "detach_interface"
    SNAPSHOT = "snapshot"
    BACKUP = "backup"
    SHELVE = "shelve"
    SHELVE_OFFLOAD = "shelve_offload"
    UNSHELVE = "unshelve"
    EVACUATE = "evacuate"
    SOFT_DELETE = "soft_delete"
    RESTORE = "restore"
    CONSOLE_OUTPUT = "console_output"
    VNC_CONSOLE = "vnc_console"
    DIAGNOSTICS = "diagnostics"
    INSTANCE_DIAGNOSTICS = "instance_diagnostics"


class Mode(StrEnum):
    """How an RPC is answered."""

    CAST = "cast"  # durable: stored in INTAKE, becomes a command
    AWAITED = "awaited"  # a CALL with an effect: durable as a cast, answered when it has ended
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
    IMAGE = "image"  # an image in the site names the one above that it was taken for
    READ = "read"  # nothing changes, so nothing needs recognising


class Finish(StrEnum):
    """Who ends the operation above once the site has carried it out."""

    OBSERVATION = "observation"  # the observation that settles it: one save
    WORKER = "worker"  # the instance's worker: more than one save belongs to it


class Leaves(StrEnum):
    """The vm_state a refusal leaves above."""

    ERROR = "error"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. Times in s; task_states as Nova spells them, None = no task."""

    method: str  # Nova RPC method; see method_of
    verb: Verb
    event: str  # the instance action event that Nova records for it
    begun: tuple[str | None, ...]  # task_states nova-api leaves the instance in when it sends the RPC
    ends_from: tuple[str | None, ...]  # expected_task_state of the final save; empty = any
    settles_in: tuple[str, ...]  # vm_states of the site's server that settle it; empty = the server is absent
    deadline: int  # s without an outcome until the bridge looks again
    expiry: int | None  # s after issue when the command must no longer run; None = never
    repeat: Repeat
    mode: Mode = Mode.CAST
    lane: Lane = Lane.NORMAL
    refusal_leaves: Leaves = Leaves.UNCHANGED
    finish: Finish = Finish.OBSERVATION
    shown_as: str | None = None  # vm_state above once settled; None = the site's


BUILD_TASK_STATES: tuple[str | None, ...] = ("scheduling", None, "networking", "block_device_mapping", "spawning")
REBOOT_TASK_STATES: tuple[str | None, ...] = (
    "rebooting",
    "reboot_pending",
    "reboot_started",
    "rebooting_hard",
    "reboot_pending_hard",
    "reboot_started_hard",
)
REBUILD_TASK_STATES: tuple[str | None, ...] = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")


def _seeking(verb: Verb, task_state: str, vm_state: str) -> Operation:
    """Return the row of a verb that seeks one state of the server and may be repeated until it has it."""
    return Operation(
        method=f"{verb}_instance",
        verb=verb,
        event=f"compute_{verb}_instance",
        begun=(task_state,),
        ends_from=(task_state,),
        settles_in=(vm_state,),
        deadline=30,
        expiry=3600,
        repeat=Repeat.STATE,
    )


def _imaging(method: str, verb: Verb, task_states: tuple[str | None, ...]) -> Operation:
    """Return the row of a verb whose image goes up once the site has taken it."""
    return Operation(
        method=method,
        verb=verb,
        event=f"compute_{method}",
        begun=task_states,
        ends_from=task_states,
        settles_in=("active", "stopped", "paused", "suspended"),
        deadline=60,
        expiry=3600,
        repeat=Repeat.IMAGE,
        finish=Finish.WORKER,
    )


def _reading(method: str, verb: Verb) -> Operation:
    """Return the row of a CALL that one request to the site answers."""
    return Operation(
        method=method,
        verb=verb,
        mode=Mode.QUERY,
        event="",
        begun=(),
        ends_from=(),
        settles_in=(),
        deadline=20,
        expiry=None,
        repeat=Repeat.READ,
    )


EVACUATION = "evacuate_instance"  # method of the row for a rebuild_instance that another host's server comes with
MAKING = frozenset({Verb.CREATE, Verb.UNSHELVE, Verb.EVACUATE})  # verbs that make a server

SNAPSHOT_TASK_STATES: tuple[str | None, ...] = (
    "image_snapshot_pending",
    "image_backup",
    "image_snapshot",
    "image_pending_upload",
    "image_uploading",
)
SHELVE_TASK_STATES: tuple[str | None, ...] = (
    "shelving",
    "shelving_image_pending_upload",
    "shelving_image_uploading",
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="build_and_run_instance",
        verb=Verb.CREATE,
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
        method="soft_delete_instance",
        verb=Verb.SOFT_DELETE,
        lane=Lane.URGENT,
        event="compute_soft_delete_instance",
        begun=("soft-deleting",),
        ends_from=("soft-deleting",),
        settles_in=("stopped", "shelved", "shelved_offloaded"),  # the latter two by its vendor: it does not run
        deadline=30,
        expiry=None,
        repeat=Repeat.STATE,
        shown_as="soft-delete",
    ),
    _seeking(Verb.RESTORE, "restoring", "active"),
    Operation(
        method="stop_instance",
        verb=Verb.STOP,
        lane=Lane.URGENT,
        event="compute_stop_instance",
        begun=("powering-off", None),
        ends_from=("powering-off", None),
        settles_in=("stopped",),
        deadline=30,
        expiry=3600,
        repeat=Repeat.STATE,
    ),
    _seeking(Verb.START, "powering-on", "active"),
    _seeking(Verb.PAUSE, "pausing", "paused"),
    _seeking(Verb.UNPAUSE, "unpausing", "active"),
    _seeking(Verb.SUSPEND, "suspending", "suspended"),
    _seeking(Verb.RESUME, "resuming", "active"),
    Operation(
        method="reboot_instance",
        verb=Verb.REBOOT,
        event="compute_reboot_instance",
        begun=REBOOT_TASK_STATES,
        ends_from=REBOOT_TASK_STATES,
        settles_in=("active", "rescued"),
        deadline=30,
        expiry=900,
        repeat=Repeat.ACTION,
    ),
    _imaging("snapshot_instance", Verb.SNAPSHOT, SNAPSHOT_TASK_STATES),
    _imaging("backup_instance", Verb.BACKUP, SNAPSHOT_TASK_STATES),
    _imaging("shelve_instance", Verb.SHELVE, SHELVE_TASK_STATES),
    Operation(
        method="shelve_offload_instance",
        verb=Verb.SHELVE_OFFLOAD,
        lane=Lane.URGENT,
        event="compute_shelve_offload_instance",
        begun=("shelving", "shelving_offloading"),
        ends_from=("shelving", "shelving_offloading"),
        settles_in=(),
        deadline=30,
        expiry=None,
        repeat=Repeat.STATE,
        finish=Finish.WORKER,
    ),
    Operation(
        method="unshelve_instance",
        verb=Verb.UNSHELVE,
        event="compute_unshelve_instance",
        begun=("unshelving", "spawning"),
        ends_from=("spawning",),
        settles_in=("active", "stopped", "paused", "suspended"),
        deadline=60,
        expiry=1800,
        repeat=Repeat.TAG,
        finish=Finish.WORKER,
    ),
    Operation(
        method=EVACUATION,
        verb=Verb.EVACUATE,
        event="compute_rebuild_instance",
        begun=REBUILD_TASK_STATES,
        ends_from=("rebuild_spawning",),
        settles_in=("active", "stopped", "paused", "suspended"),
        refusal_leaves=Leaves.ERROR,
        deadline=60,
        expiry=1800,
        repeat=Repeat.TAG,
        finish=Finish.WORKER,
    ),
    _seeking(Verb.RESCUE, "rescuing", "rescued"),
    _seeking(Verb.UNRESCUE, "unrescuing", "active"),
    Operation(
        method="rebuild_instance",
        verb=Verb.REBUILD,
        event="compute_rebuild_instance",
        begun=REBUILD_TASK_STATES,
        ends_from=REBUILD_TASK_STATES,
        settles_in=("active", "stopped"),
        deadline=60,
        expiry=1800,
        repeat=Repeat.ACTION,
    ),
    Operation(
        method="prep_resize",
        verb=Verb.RESIZE,
        event="compute_prep_resize",
        begun=("resize_prep", "resize_migrating"),
        ends_from=("resize_migrating",),
        settles_in=("resized",),
        deadline=60,
        expiry=1800,
        repeat=Repeat.ACTION,
        finish=Finish.WORKER,
    ),
    Operation(
        method="confirm_resize",
        verb=Verb.CONFIRM_RESIZE,
        event="compute_confirm_resize",
        begun=(None, "deleting", "soft-deleting"),
        ends_from=(None, "deleting", "soft-deleting"),
        settles_in=("active", "stopped"),
        deadline=30,
        expiry=86400,
        repeat=Repeat.STATE,
        finish=Finish.WORKER,
    ),
    Operation(
        method="revert_resize",
        verb=Verb.REVERT_RESIZE,
        event="compute_revert_resize",
        begun=("resize_reverting",),
        ends_from=("resize_reverting",),
        settles_in=("active", "stopped"),
        deadline=60,
        expiry=3600,
        repeat=Repeat.ACTION,
        finish=Finish.WORKER,
    ),
    Operation(
        method="set_admin_password",
        verb=Verb.SET_ADMIN_PASSWORD,
        mode=Mode.AWAITED,
        event="compute_set_admin_password",
        begun=("updating_password",),
        ends_from=("updating_password",),
        settles_in=("active",),
        deadline=20,
        expiry=45,
        repeat=Repeat.STATE,
    ),
    Operation(
        method="attach_interface",
        verb=Verb.ATTACH_INTERFACE,
        mode=Mode.AWAITED,
        event="compute_attach_interface",
        begun=(None,),
        ends_from=(None,),
        settles_in=("active", "paused", "stopped"),
        deadline=20,
        expiry=45,
        repeat=Repeat.TAG,
        finish=Finish.WORKER,
    ),
    Operation(
        method="detach_interface",
        verb=Verb.DETACH_INTERFACE,
        lane=Lane.URGENT,
        event="compute_detach_interface",
        begun=(None,),
        ends_from=(None,),
        settles_in=("active", "paused", "stopped"),
        deadline=30,
        expiry=None,
        repeat=Repeat.TAG,
        finish=Finish.WORKER,
    ),
    _reading("get_console_output", Verb.CONSOLE_OUTPUT),
    _reading("get_vnc_console", Verb.VNC_CONSOLE),
    _reading("get_diagnostics", Verb.DIAGNOSTICS),  # as microversions below 2.48 show them
    _reading("get_instance_diagnostics", Verb.INSTANCE_DIAGNOSTICS),
)

BY_METHOD: dict[str, Operation] = {row.method: row for row in OPERATIONS}
BY_VERB: dict[Verb, Operation] = {row.verb: row for row in OPERATIONS}


def method_of(rpc: str, args: Mapping[str, Any]) -> str:
    """Return the method of the row that an RPC of Nova belongs to: an evacuation comes as a rebuild (``recreate``)."""
    return EVACUATION if rpc == "rebuild_instance" and args.get("recreate") else rpc


# Casts that the bridge ends alone: what Neutron above then has goes to the site as any change there (bridge/networks).
ADDRESS_CHANGES = frozenset({"add_fixed_ip_to_instance", "remove_fixed_ip_from_instance", "inject_network_info"})

# CALLs without a row: the nova.exception that nova-api turns into a clean HTTP error (Nova 34, api/openstack/compute).
# Any other CALL without a row answers NotImplementedError, any other cast leaves the fault ``unsupported``.
CALL_REFUSALS: dict[str, str] = {
    "get_spice_console": "ConsoleTypeUnavailable",
    "get_serial_console": "ConsoleTypeUnavailable",
    "get_mks_console": "ConsoleTypeUnavailable",
    "check_can_live_migrate_destination": "MigrationPreCheckError",
    "prep_snapshot_based_resize_at_dest": "MigrationPreCheckError",
    "quiesce_instance": "InstanceQuiesceNotSupported",
    "reserve_block_device_name": "InvalidVolume",
}
