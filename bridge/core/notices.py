"""Which notifications follow from an instance action event, as Nova's own host sends them.

The table is Nova 34's compute/manager.py: one row for each action event, in the order in which the host tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """The last word of a notification's event type."""

    START = "start"
    END = "end"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ActionEvent:
    """An instance action event that was begun or ended above; at its end the host may be unknown."""

    context: Mapping[str, Any]  # of the request it belongs to
    uuid: str
    name: str  # Nova's, compute_stop_instance say
    host: str | None
    began: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """What is told of one thing that happens to an instance."""

    legacy: str = ""  # compute.instance.<legacy>.<phase>; empty: it has only a versioned notification
    action: str = ""  # instance.<action>.<phase>; empty: it has only an unversioned one
    payload: str = "InstanceActionPayload"
    addresses: tuple[Phase, ...] = ()  # phases in which the unversioned payload lists the addresses
    exists: Phase | None = None  # the usage of the present period is told before this phase
    block_devices: bool = False  # the host has them at hand, so that they are told whatever the options say


BOTH = (Phase.START, Phase.END)


def _plain(name: str, block_devices: bool = False) -> Kind:
    return Kind(name, name, block_devices=block_devices)


CREATE = Kind("create", "create", "InstanceCreatePayload", (Phase.END,), block_devices=True)
DELETE = _plain("delete", block_devices=True)
SHUTDOWN = _plain("shutdown", block_devices=True)
REBOOT = _plain("reboot", block_devices=True)
REBUILD = Kind("rebuild", "rebuild", "InstanceActionRebuildPayload", (Phase.END,), Phase.START, True)
RESCUE = Kind("rescue", "rescue", "InstanceActionRescuePayload", BOTH, Phase.END)
SNAPSHOT = Kind("snapshot", "snapshot", "InstanceActionSnapshotPayload")
RESIZE_PREP = Kind("resize.prep", "resize_prep", "InstanceActionResizePrepPayload", exists=Phase.START)
RESIZE = Kind("resize", "resize", addresses=BOTH, block_devices=True)
REVERT = Kind("resize.revert", "resize_revert", exists=Phase.START, block_devices=True)
ATTACH = Kind(action="interface_attach")
SOFT_DELETE = _plain("soft_delete")
SHELVE = Kind("shelve", "shelve", exists=Phase.START)
OFFLOAD = _plain("shelve_offload", block_devices=True)
EXISTS = Kind("exists", "exists", "InstanceExistsPayload")

# What begins first ends last.
KINDS: dict[str, tuple[Kind, ...]] = {
    "compute__do_build_and_run_instance": (CREATE,),
    "compute_terminate_instance": (DELETE, SHUTDOWN),
    "compute_stop_instance": (_plain("power_off"),),
    "compute_start_instance": (_plain("power_on"),),
    "compute_pause_instance": (_plain("pause"),),
    "compute_unpause_instance": (_plain("unpause"),),
    "compute_suspend_instance": (_plain("suspend"),),
    "compute_resume_instance": (_plain("resume", block_devices=True),),
    "compute_reboot_instance": (REBOOT,),
    "compute_rebuild_instance": (REBUILD,),
    "compute_rescue_instance": (RESCUE,),
    "compute_unrescue_instance": (Kind("unrescue", "unrescue", addresses=BOTH),),
    "compute_snapshot_instance": (SNAPSHOT,),
    "compute_backup_instance": (SNAPSHOT,),
    "compute_prep_resize": (RESIZE_PREP,),
    "compute_resize_instance": (RESIZE,),
    "compute_finish_resize": (Kind("finish_resize", "resize_finish", addresses=BOTH, block_devices=True),),
    "compute_confirm_resize": (Kind("resize.confirm", "resize_confirm", addresses=(Phase.END,)),),
    "compute_revert_resize": (REVERT,),
    "compute_shelve_instance": (SHELVE,),
    "compute_shelve_offload_instance": (OFFLOAD,),
    "compute_unshelve_instance": (_plain("unshelve", block_devices=True),),
    "compute_soft_delete_instance": (SOFT_DELETE,),
    "compute_restore_instance": (_plain("restore"),),
    "compute_attach_interface": (ATTACH,),
    "compute_detach_interface": (Kind(action="interface_detach"),),
    "compute_add_fixed_ip_to_instance": (Kind("create_ip", addresses=(Phase.END,)),),
    "compute_remove_fixed_ip_from_instance": (Kind("delete_ip", addresses=(Phase.END,)),),
}
# Ends that are more than one: an instance that is shelved is offloaded within the same event.
ENDED: dict[str, tuple[tuple[Kind, Phase], ...]] = {
    "compute_shelve_instance": ((SHELVE, Phase.END), (OFFLOAD, Phase.START), (OFFLOAD, Phase.END)),
}
# What is told instead of the end when it failed; of anything else Nova's host tells nothing then.
FAILED: dict[str, tuple[tuple[Kind, Phase], ...]] = {
    "compute__do_build_and_run_instance": ((CREATE, Phase.ERROR),),
    "compute_reboot_instance": ((REBOOT, Phase.ERROR), (REBOOT, Phase.END)),
    "compute_rebuild_instance": ((REBUILD, Phase.ERROR),),
    "compute_prep_resize": ((RESIZE, Phase.ERROR), (RESIZE_PREP, Phase.END)),
    "compute_attach_interface": ((ATTACH, Phase.ERROR),),
    "compute_soft_delete_instance": ((SOFT_DELETE, Phase.END),),
}


def notices(event: ActionEvent) -> list[tuple[Kind, Phase | None]]:
    """Return what an action event has Nova's host tell, in its order; ``exists`` has no phase."""
    if event.error is not None:
        return [*FAILED.get(event.name, ())]
    if not event.began and event.name in ENDED:
        return [*ENDED[event.name]]
    kinds = KINDS.get(event.name, ())
    phase = Phase.START if event.began else Phase.END
    told: list[tuple[Kind, Phase | None]] = []
    for kind in kinds if event.began else reversed(kinds):
        told += [(EXISTS, None)] if kind.exists is phase else []
        told.append((kind, phase))
    return told


def legacy_type(kind: Kind, phase: Phase | None) -> str | None:
    """Return the event type of the unversioned notification, None if there is none."""
    return _joined("compute.instance", kind.legacy, phase) if kind.legacy else None


def versioned_type(kind: Kind, phase: Phase | None) -> str | None:
    """Return the event type of the versioned notification, None if there is none."""
    return _joined("instance", kind.action, phase) if kind.action else None


def _joined(prefix: str, name: str, phase: Phase | None) -> str:
    return ".".join([prefix, name, *([phase] if phase else [])])
