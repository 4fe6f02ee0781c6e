"""Records and observations of one instance, as short as a test wants them."""

from typing import Any

import msgspec

from bridge.core import planner
from bridge.core.records import InstanceRecord
from proto.messages import Observation, Rpc, ServerState
from proto.operations import BY_VERB, Verb

UUID = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01"
T0 = 0.0  # generations are at least the clock in ms: at 0 they count from 1
METHODS = {verb: row.method for verb, row in BY_VERB.items()}


def rpc(method: str = "stop_instance", rpc_id: str = "rpc-1", **fields: Any) -> Rpc:
    """An RPC about UUID."""
    defaults: dict[str, Any] = {"context": {"request_id": "req-1"}, "args": {}, "received_at": T0}
    return Rpc(rpc_id=rpc_id, host="paris", method=method, uuid=UUID, **(defaults | fields))


def record(**fields: Any) -> InstanceRecord:
    """A settled record of an active server, with the fields given."""
    known = InstanceRecord(
        UUID, generation=1, observed_generation=1, server_id="srv-1", vm_state="active", power_state=1, seen_at=T0
    )
    return msgspec.structs.replace(known, **fields)


def pending(verb: Verb, known: InstanceRecord | None = None) -> InstanceRecord:
    """The record after ``verb`` has begun; a create begins without one."""
    if known is None and verb is not Verb.CREATE:
        known = record()
    return planner.begun(rpc(METHODS[verb]), BY_VERB[verb], known, T0)


def server(vm_state: str = "active", power_state: int = 1, task_state: str | None = None, **fields: Any) -> ServerState:
    """What the site says of srv-1."""
    return ServerState("srv-1", vm_state, task_state, power_state, vm_state.upper(), **fields)


def seen(state: ServerState | None, generation: int = 2, at: float = T0 + 10, **fields: Any) -> Observation:
    """An observation of UUID; without a state the server was not looked at."""
    return Observation("paris", UUID, generation, at, state, **fields)


def absent(generation: int = 2, at: float = T0 + 10) -> Observation:
    """Looked, and not there."""
    return seen(None, generation, at, absent=True)
