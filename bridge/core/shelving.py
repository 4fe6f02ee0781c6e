"""What shelve, offload and unshelve write above (Nova 34, compute/manager.py), and how one leads to the next. Pure.

``instance`` is flattened, with its system_metadata.
"""

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from proto.messages import Rpc, ServerState
from proto.operations import BY_METHOD, BY_VERB, Operation, Verb

Plain = Mapping[str, Any]
Changes = dict[str, Any]

SHELVED, OFFLOADED = "shelved", "shelved_offloaded"  # vm_states
OFFLOADING, UNSHELVING, SPAWNING = "shelving_offloading", "unshelving", "spawning"  # task_states
SHUTDOWN = 4  # nova.compute.power_state
IMAGE_KEY = "shelved_image_id"
KEYS = frozenset({"shelved_at", IMAGE_KEY, "shelved_host"})  # of system_metadata
NO_HOST: Changes = {"host": None, "node": None, "compute_id": None, "launched_on": None, "availability_zone": None}
FOLLOWING = ":offload"  # ends the id of an offload that the bridge asks for itself, once a shelve is done


def shelved(instance: Plain, image_id: str, host: str, moment: float) -> Changes:
    """Return what is saved once the image above is whole; ``moment`` is UTC epoch s. The offload follows at once."""
    at = datetime.datetime.fromtimestamp(moment, datetime.UTC).replace(tzinfo=None).isoformat()
    keys = {"shelved_at": at, IMAGE_KEY: image_id, "shelved_host": host}
    return {
        "vm_state": SHELVED,
        "task_state": OFFLOADING,
        "power_state": SHUTDOWN,
        "system_metadata": {**instance["system_metadata"], **keys},
    }


def is_shelved(instance: Plain, image_id: str) -> bool:
    """Whether an earlier try saved that already."""
    return instance["vm_state"] in (SHELVED, OFFLOADED) and shelved_image(instance) == image_id


def shelved_image(instance: Plain) -> str | None:
    """Return the id of the image above that the instance is kept in."""
    return (instance.get("system_metadata") or {}).get(IMAGE_KEY)


def forgotten(instance: Plain) -> Changes:
    """Return what is saved when the instance is no longer kept in an image."""
    metadata = instance.get("system_metadata") or {}
    return {"system_metadata": {key: value for key, value in metadata.items() if key not in KEYS}}


def unshelved(instance: Plain, server: ServerState, launched_at: str) -> Changes:
    """Return what is saved once the server runs again."""
    return {
        "vm_state": server.vm_state,
        "power_state": server.power_state,
        "task_state": None,
        "launched_at": launched_at,
        **forgotten(instance),
    }


def following(rpc: Rpc, now: float) -> Rpc:
    """Return the offload that follows a shelve, as with Nova's default of shelved_offload_time: it has the same id
    however often it is asked for.
    """
    row = BY_VERB[Verb.SHELVE_OFFLOAD]
    args = {"instance": rpc.args["instance"], "clean_shutdown": False}
    rpc_id = f"{rpc.rpc_id}{FOLLOWING}"
    return msgspec.structs.replace(
        rpc, rpc_id=rpc_id, method=row.method, args=args, received_at=now, secrets=None, redelivered=False
    )


def follows(rpc: Rpc) -> bool:
    """Whether an RPC is such an offload: Nova records no event of its own for it."""
    return rpc.rpc_id.endswith(FOLLOWING)


def event_of(rpc: Rpc) -> str:
    """Return the action event that an RPC ends: that of a shelve goes on until its instance is offloaded."""
    row: Operation | None = BY_VERB[Verb.SHELVE] if follows(rpc) else BY_METHOD.get(rpc.method)
    return row.event if row is not None else f"compute_{rpc.method}"
