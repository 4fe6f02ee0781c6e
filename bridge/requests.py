"""What healing asks for in a tenant's place: it goes the way of every other RPC, through INTAKE and its worker."""

import logging
import time
import uuid as uuid_module
from typing import Any

from bridge.core import reconciler
from bridge.core.situation import Above, Situation
from bridge.edge.nova_conductor import NovaConductor, admin_context
from bridge.edge.nova_objects import parse_timestamp, primitive
from bridge.survey import Survey
from proto import codec, subjects
from proto.errors import Stale
from proto.jetstream import JetStream
from proto.messages import Rpc
from proto.operations import BY_VERB, Verb
from proto.sealing import PublicKey
from proto.specs import ServerSecrets

LOG = logging.getLogger(__name__)

REBUILDING = BY_VERB[Verb.EVACUATE].begun[0]
MIGRATING = {Verb.REVERT_RESIZE: "reverting", Verb.CONFIRM_RESIZE: "confirming"}  # status of the migration meanwhile


class Requests:
    """Requests about the instances of one owned site."""

    def __init__(
        self,
        site: str,
        road: JetStream,
        conductor: NovaConductor,
        survey: Survey,
        key: PublicKey,
        reclaim_interval: int,
    ) -> None:
        """``key``: the bridges'; what only Nova's database keeps secret is sealed to it."""
        self._site = site
        self._road = road
        self._conductor = conductor
        self._survey = survey
        self._key = key
        self._reclaim_interval = reclaim_interval

    async def delete(self, host: str, uuid: str) -> None:
        """Ask for a delete: somebody else asked for it before."""
        await self._ask(rpc(host, uuid, Verb.DELETE))

    async def offload(self, host: str, uuid: str) -> None:
        """Ask for the offload that follows a shelve."""
        await self._ask(rpc(host, uuid, Verb.SHELVE_OFFLOAD))

    async def reclaim(self, host: str, uuid: str) -> None:
        """Delete an instance that its tenant soft-deleted long ago, and that still is when this is called.

        A restore keeps it: of its save and this one, which is the delete's beginning, only one can be made.
        """
        above = await self._survey.above(uuid)
        if above is None or not reconciler.reclaimable(above, self._reclaim_interval, time.time()):
            return
        try:
            begun = {"task_state": "deleting"}
            await self._conductor.save_instance(admin_context(), uuid, begun, [None], ["soft-delete"])
        except Stale as error:
            LOG.info("instance=%s is not reclaimed: %s", uuid, error)
            return
        await self.delete(host, uuid)

    async def enforce(self, above: Above) -> None:
        """Have the site start or stop a server, as it is above; what its tenant asks for meanwhile comes first."""
        verb = Verb.START if above.vm_state == "active" else Verb.STOP
        begun = {"task_state": BY_VERB[verb].begun[0]}
        try:
            await self._conductor.save_instance(admin_context(), above.uuid, begun, [None], [above.vm_state])
        except Stale as error:
            LOG.info("instance=%s is left as it is: %s", above.uuid, error)
            return
        await self._ask(rpc(_host(above), above.uuid, verb))

    async def again(self, now: Situation) -> bool:
        """Ask again, under its own id, for what was lost with its stream; False if it is not wanted any more."""
        above = now.above
        verb = reconciler.repeatable(now.record, above) if above is not None else None
        if above is None or verb is None:
            return False
        args: dict[str, Any] = {"instance": primitive("Instance", {"uuid": now.uuid, "vm_state": above.vm_state})}
        if verb in MIGRATING:
            migration = await self._conductor.migration_in(now.uuid, MIGRATING[verb])
            if migration is None:
                return False
            args["migration"] = primitive("Migration", {name: migration[name] for name in ("id", "uuid")})
        if verb is Verb.UNSHELVE:
            args |= await self._unshelve(now.uuid)
        await self._ask(_lost(now, above, verb, args))
        return True

    async def rebuild(self, above: Above) -> None:
        """Ask for the server again, made of the instance's image, as an evacuation to its own site would.

        What Nova keeps of the instance comes with it, user data too; files and a password that came with the boot are
        nowhere any more.
        """
        row = await self._conductor.get_instance(admin_context(), above.uuid)
        if row is None or await self._survey.find([above.uuid]):
            return
        kept = ("uuid", "host", "node", "compute_id", "vm_state", "availability_zone")
        asked = primitive("Instance", {name: row.get(name) for name in kept})
        secrets = ServerSecrets(user_data=row.get("user_data"))
        sealed = self._key.seal(secrets) if secrets != ServerSecrets() else None
        try:
            begun = {"task_state": REBUILDING}
            await self._conductor.save_instance(admin_context(), above.uuid, begun, [None], [above.vm_state])
        except Stale as error:
            LOG.info("instance=%s is not made again: %s", above.uuid, error)
            return
        await self._ask(rpc(_host(above), above.uuid, Verb.EVACUATE, args={"instance": asked}, secrets=sealed))

    async def _unshelve(self, uuid: str) -> dict[str, Any]:
        """Return what an unshelve came with, as far as the instance itself still says it."""
        row = await self._conductor.get_instance(admin_context(), uuid, ["system_metadata"])
        if row is None:
            raise Stale("the instance is gone")
        kept = ("uuid", "vm_state", "availability_zone")
        image_id = (row.get("system_metadata") or {}).get("shelved_image_id")
        return {"instance": primitive("Instance", {name: row.get(name) for name in kept}), "image": {"id": image_id}}

    async def _ask(self, asked: Rpc) -> None:
        await self._road.publish(subjects.intake(self._site, asked.uuid), codec.encode(asked))


def rpc(host: str, uuid: str, verb: Verb, **fields: Any) -> Rpc:
    """Return an RPC of our own making."""
    defaults: dict[str, Any] = {
        "rpc_id": f"heal-{uuid_module.uuid4().hex}",
        "context": admin_context(),
        "args": {},
        "received_at": time.time(),
    }
    return Rpc(host=host, method=BY_VERB[verb].method, uuid=uuid, **(defaults | fields))


def _lost(now: Situation, above: Above, verb: Verb, args: dict[str, Any]) -> Rpc:
    """Return the RPC that was lost; without a record, one that counts as asked when its task_state was saved."""
    pending = now.record.pending if now.record is not None else None
    if pending is None:
        saved = parse_timestamp(above.updated_at)
        return rpc(_host(above), now.uuid, verb, args=args, received_at=saved.timestamp() if saved else now.looked_at)
    context = {**admin_context(), "request_id": pending.request_id}
    same = {"rpc_id": pending.rpc_id, "context": context, "received_at": pending.issued_at}
    return rpc(_host(above), now.uuid, verb, args=args, **same)


def _host(above: Above) -> str:
    assert above.host is not None
    return above.host
