"""What an evacuation saves above, and when. Pure; Nova 34, compute/manager.py rebuild_instance with ``recreate``."""

from collections.abc import Mapping
from typing import Any

import msgspec

from proto.messages import Rpc, ServerState
from proto.operations import BY_VERB, REBUILD_TASK_STATES, Verb

Plain = Mapping[str, Any]
Changes = dict[str, Any]

BEGUN = "rebuilding"  # as nova-api leaves it
SPAWNING = "rebuild_spawning"
POWERING_OFF = "powering-off"
STOP = "-stop"  # RPC id of the stop that follows, behind that of the evacuation


def is_claimed(row: Plain, host: str) -> bool:
    """Whether the instance is this host's already, and not done."""
    return bool(row["host"] == host) and row["task_state"] == SPAWNING


def is_waiting(row: Plain, asked: Plain) -> bool:
    """Whether no host has claimed it yet; ``asked``: the instance as nova-api sent it."""
    return bool(row["host"] == asked["host"]) and row["task_state"] in REBUILD_TASK_STATES


def stops(asked: Plain, target_state: str | None) -> bool:
    """Whether the server is stopped in its new site: as it was or, from microversion 2.95 on, always."""
    before = asked["vm_state"]
    return (target_state if target_state and before != "error" else before) == "stopped"


def evacuated(asked: Plain, server: ServerState, launched_at: str, stopping: bool) -> Changes:
    """Return what is saved once the server runs in its new site."""
    stopping = stopping and server.vm_state == "active"
    return {
        "vm_state": server.vm_state,
        "power_state": server.power_state,
        "task_state": POWERING_OFF if stopping else None,
        "launched_at": launched_at,
        "availability_zone": asked.get("availability_zone"),
    }


def failed(asked: Plain) -> Changes:
    """Return what is saved once nothing of it is left in the site: in ERROR where it was before."""
    home = {key: asked.get(key) for key in ("host", "node", "compute_id")}
    return {"vm_state": "error", "task_state": None, **home}


def following(rpc: Rpc, now: float) -> Rpc:
    """Return the stop that follows; it has the same id however often it is asked for."""
    method = BY_VERB[Verb.STOP].method
    args = {"instance": rpc.args["instance"], "clean_shutdown": False}
    return msgspec.structs.replace(
        rpc, rpc_id=f"{rpc.rpc_id}{STOP}", method=method, args=args, received_at=now, secrets=None, redelivered=False
    )
