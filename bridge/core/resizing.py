"""What a resize writes above at each of its turns (Nova 34, compute/manager.py); host and site stay the same. Pure.

``instance`` is flattened, with its flavors and system_metadata; the three flavors are one column and always written
together.
"""

from collections.abc import Mapping
from typing import Any

Plain = Mapping[str, Any]
Changes = dict[str, Any]

OLD_STATE = "old_vm_state"  # key of system_metadata: what the server was before, so what it is again afterwards
MIGRATING = "resize_migrating"
SHUTDOWN = 4  # nova.compute.power_state


def begun(instance: Plain, flavor: Plain, migration_id: int) -> Changes:
    """Return what is saved before the site is asked: from then on the row shows a resize."""
    state = instance["vm_state"]
    return {
        "task_state": MIGRATING,
        "flavor": instance["flavor"],
        "old_flavor": instance["flavor"],
        "new_flavor": flavor,
        "system_metadata": {**instance["system_metadata"], OLD_STATE: state},
        "migration_context": _context(instance["uuid"], migration_id),
    }


def finished(instance: Plain, power_state: int, launched_at: str) -> Changes:
    """Return what is saved once the site's server waits for its tenant's word."""
    flavor = instance["new_flavor"] or instance["flavor"]
    return {
        "vm_state": "resized",
        "task_state": None,
        "power_state": power_state,
        "launched_at": launched_at,
        **_sizes(flavor),
        "flavor": flavor,
        "old_flavor": instance["old_flavor"],
        "new_flavor": instance["new_flavor"],
    }


def confirmed(instance: Plain, vm_state: str, power_state: int) -> Changes:
    """Return what is saved after a confirm; the task_state may be that of a delete that waits for it."""
    return {"vm_state": vm_state, "power_state": power_state, "task_state": None, **_forgotten(instance)}


def reverted(instance: Plain, vm_state: str, power_state: int, launched_at: str) -> Changes:
    """Return what is saved after a revert: the old flavor again."""
    flavor = instance["old_flavor"] or instance["flavor"]
    return {
        "vm_state": vm_state,
        "power_state": power_state,
        "task_state": None,
        "launched_at": launched_at,
        **_sizes(flavor),
        **_forgotten({**instance, "flavor": flavor}),
    }


def failed(instance: Plain) -> Changes:
    """Return what is saved when the site did not resize: everything as it was."""
    state = instance["system_metadata"].get(OLD_STATE) or instance["vm_state"]
    return {"vm_state": state, "task_state": None, **_forgotten(instance)}


def _forgotten(instance: Plain) -> Changes:
    metadata = {key: value for key, value in instance["system_metadata"].items() if key != OLD_STATE}
    return {"flavor": instance["flavor"], "old_flavor": None, "new_flavor": None, "system_metadata": metadata}


def _sizes(flavor: Plain) -> Changes:
    return {
        "instance_type_id": flavor["id"],
        "vcpus": flavor["vcpus"],
        "memory_mb": flavor["memory_mb"],
        "root_gb": flavor["root_gb"],
        "ephemeral_gb": flavor["ephemeral_gb"],
    }


def _context(uuid: str, migration_id: int) -> Changes:
    """Return the migration context that makes nova-api route external events to both hosts of a move."""
    empty = ("numa_topology", "pci_devices", "pci_requests", "resources")
    return {
        "instance_uuid": uuid,
        "migration_id": migration_id,
        **{f"{age}_{name}": None for age in ("old", "new") for name in empty},
    }
