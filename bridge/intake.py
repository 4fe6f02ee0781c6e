"""Nova's RPCs into INTAKE: the token goes, secrets are sealed, one message per instance is stored.

RabbitMQ hears an acknowledgement only after that. Any bridge may store for any site: only planning needs
the site's ownership.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from bridge.core.planner import EXTERNAL_EVENT
from bridge.edge.nova_objects import unwrap
from bridge.edge.nova_rpc import IncomingRpc
from proto import codec, failpoints, subjects, tracing
from proto.jetstream import JetStream
from proto.messages import Rpc
from proto.operations import method_of
from proto.sealing import PublicKey
from proto.specs import ServerSecrets

# Request context keys that our own conductor calls need (NOVA-RPC 3.2); the token and the catalog are not among them.
CONTEXT_KEYS = (
    "request_id",
    "global_request_id",
    "user_id",
    "project_id",
    "user_name",
    "project_name",
    "is_admin",
    "roles",
    "read_deleted",
    "timestamp",
    "remote_address",
    "quota_class",
    "traceparent",
    "tracestate",
)
# Arguments that hold passwords, files, or a volume's connection (bdms, block_device_info: CHAP secrets).
PASSWORD_ARGS = ("admin_password", "new_pass", "rescue_password")  # of boot, rebuild and rescue
SECRET_ARGS = frozenset({*PASSWORD_ARGS, "injected_files", "bdms", "block_device_info"})
# Events of Neutron after which the addresses shown above may be wrong. The others (plugged, unplugged) tell the
# compute host what it did itself.
EVENTS_OF_INTEREST = frozenset({"network-changed", "network-vif-deleted"})


class Intake:
    """Stores casts; ``site_of`` names the site of a Nova host."""

    def __init__(self, road: JetStream, key: PublicKey, site_of: Callable[[str], str]) -> None:
        self._road = road
        self._key = key
        self._site_of = site_of

    async def store(self, incoming: IncomingRpc) -> None:
        """Return once every instance's message is durable; Unavailable to be tried again. May be repeated."""
        with tracing.continued(incoming.context), tracing.span("receive", method=incoming.method, host=incoming.host):
            for rpc in split(incoming, self._key, time.time()):
                site = self._site_of(incoming.host)
                await self._road.publish(
                    subjects.intake(site, rpc.uuid), codec.encode(rpc), message_id=f"{rpc.rpc_id}:{rpc.uuid}"
                )
        failpoints.reach(failpoints.STORED)


def split(incoming: IncomingRpc, key: PublicKey, now: float) -> list[Rpc]:
    """Return one Rpc for each instance an incoming cast is about; none if it tells us nothing."""
    if incoming.method == EXTERNAL_EVENT:
        return _events(incoming, now)
    args = dict(incoming.args)
    instance = args.get("instance")
    if not isinstance(instance, dict):
        return []
    secrets, _ = _without_secrets(args)
    rpc = about_instance(incoming, now)
    return [msgspec.structs.replace(rpc, secrets=key.seal(secrets)) if secrets != ServerSecrets() else rpc]


def about_instance(incoming: IncomingRpc, now: float) -> Rpc:
    """Return the Rpc of a message about one instance, without its secrets."""
    return Rpc(
        rpc_id=incoming.rpc_id,
        host=incoming.host,
        method=method_of(incoming.method, incoming.args),
        uuid=str(incoming.args["instance"]["nova_object.data"]["uuid"]),
        context=_context(incoming),
        args=_without_secrets(dict(incoming.args))[1],
        received_at=now,
        redelivered=incoming.redelivered,
    )


def _events(incoming: IncomingRpc, now: float) -> list[Rpc]:
    events = [unwrap(event) for event in incoming.args.get("events") or []]
    uuids = {str(e["instance_uuid"]) for e in events if e.get("name") in EVENTS_OF_INTEREST}
    return [
        Rpc(
            rpc_id=incoming.rpc_id,
            host=incoming.host,
            method=EXTERNAL_EVENT,
            uuid=uuid,
            context=_context(incoming),
            args={},
            received_at=now,
            redelivered=incoming.redelivered,
        )
        for uuid in sorted(uuids)
    ]


def _context(incoming: IncomingRpc) -> dict[str, Any]:
    return {key: incoming.context[key] for key in CONTEXT_KEYS if incoming.context.get(key) is not None}


def _without_secrets(args: dict[str, Any]) -> tuple[ServerSecrets, dict[str, Any]]:
    instance = args["instance"]
    data = instance["nova_object.data"]
    secrets = ServerSecrets(
        user_data=data.get("user_data"),
        admin_password=next((args[name] for name in PASSWORD_ARGS if args.get(name)), None),
        injected_files=[list(entry) for entry in args.get("injected_files") or []],
    )
    clean = {**instance, "nova_object.data": {**data, "user_data": None, "admin_pass": None}}
    kept = {k: v for k, v in args.items() if k not in SECRET_ARGS}
    return secrets, {**kept, "instance": clean}
