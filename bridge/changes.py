"""Operations on a server that need more than a verb: what the site is sent, and what is saved above at their end."""

import logging
from typing import Any

from bridge.core import translate
from bridge.core.shelving import SHELVED, event_of
from bridge.edge.etcd_store import OwnershipLost
from bridge.edge.glance import Glance
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_objects import unwrap
from bridge.flight import Flight
from bridge.interfaces import Interfaces
from bridge.resizing import Resizing
from bridge.shelving import Shelving
from bridge.snapshots import SHELVE, Snapshots
from proto.errors import FaultCode, Refused, Stale
from proto.messages import Fault, Rpc
from proto.operations import BY_METHOD, Operation, Verb
from proto.sealing import PrivateKey, PublicKey
from proto.specs import ChangeSpec, KeypairSpec, Sealed

LOG = logging.getLogger(__name__)

# Events that Nova's hosts record one after the other for what is one operation here.
FURTHER_EVENTS = {
    Verb.RESIZE: ("compute_resize_instance", "compute_finish_resize"),
    Verb.REVERT_RESIZE: ("compute_finish_revert_resize",),
}
RESIZING = frozenset({Verb.RESIZE, Verb.CONFIRM_RESIZE, Verb.REVERT_RESIZE})


class Changes:
    """Changes to the servers of one site. Every method may be repeated after a crash."""

    def __init__(
        self,
        conductor: NovaConductor,
        glance: Glance,
        resizing: Resizing,
        interfaces: Interfaces,
        snapshots: Snapshots,
        shelving: Shelving,
        bridge_key: PrivateKey,
        site_key: PublicKey,
    ) -> None:
        self._conductor = conductor
        self._glance = glance
        self._resizing = resizing
        self._interfaces = interfaces
        self._snapshots = snapshots
        self._shelving = shelving
        self._bridge_key = bridge_key
        self._site_key = site_key

    async def begin(self, rpc: Rpc, verb: Verb, again: bool) -> ChangeSpec | None:
        """Return what a command of this verb carries, None if it needs nothing; Refused if it cannot be done.

        ``again``: an earlier try is recorded.
        """
        match verb:
            case Verb.REBUILD:
                return await self._rebuild(rpc)
            case Verb.RESCUE:
                image_id = rpc.args.get("rescue_image_ref")
                image = translate.image_spec(await self._glance.image(str(image_id))) if image_id else None
                return ChangeSpec(image=image, secrets=self._resealed(rpc.secrets))
            case Verb.SNAPSHOT | Verb.BACKUP:
                if not again:
                    await self._snapshots.begin(rpc)
            case Verb.SHELVE_OFFLOAD:
                await self._shelving.begin_offload(rpc, again)
            case Verb.SET_ADMIN_PASSWORD:
                return ChangeSpec(secrets=self._resealed(rpc.secrets))
            case Verb.RESIZE:
                return await self._resizing.begin(rpc)
            case Verb.ATTACH_INTERFACE:
                return await self._interfaces.attach(rpc)
            case Verb.DETACH_INTERFACE:
                return await self._interfaces.detach(rpc)
        return None

    async def end(self, flight: Flight, row: Operation, fault: Fault | None) -> tuple[Fault | None, Any]:
        """End above an operation whose row says that the worker does it; return how it ended and what is awaited.

        ``fault``: why the site did not carry it out.
        """
        rpc, result = flight.rpc, None
        if fault is not None and row.verb is Verb.RESIZE and await self._resizing.sent_home(rpc):
            await self._conductor.event_finish(rpc.context, rpc.uuid, row.event, rpc.host)
            return None, None
        try:
            if fault is None:
                result = await self._succeeded(flight, row)
        except Refused as error:
            fault = Fault(error.code, error.message)
        except OwnershipLost:
            raise
        except Stale as error:
            LOG.info("%s is not shown above: %s", rpc.method, error)
            await self.abandon(rpc)
            await self._conductor.event_finish(rpc.context, rpc.uuid, event_of(rpc), rpc.host, error=str(error))
            return Fault(FaultCode.REJECTED, str(error)), None
        if fault is not None:
            await self._failed(rpc, row.verb, fault)
        error_text = fault.message if fault is not None else None
        if fault is not None or row.verb is not Verb.SHELVE:  # the offload that follows a shelve ends its event
            await self._conductor.event_finish(rpc.context, rpc.uuid, event_of(rpc), rpc.host, error=error_text)
        for event in FURTHER_EVENTS.get(row.verb, ()) if fault is None else ():
            await self._conductor.event_start(rpc.context, rpc.uuid, event, rpc.host)
            await self._conductor.event_finish(rpc.context, rpc.uuid, event, rpc.host)
        return fault, result

    async def started(self, rpc: Rpc) -> None:
        """The server runs: one that was never offloaded is not kept in its image any more."""
        if unwrap(rpc.args.get("instance") or {}).get("vm_state") == SHELVED:
            await self._shelving.forget(rpc)

    async def abandon(self, rpc: Rpc) -> None:
        """Clean up above behind an operation that a delete superseded."""
        await self.discard(rpc)
        row = BY_METHOD.get(rpc.method)
        if row is not None and row.verb in RESIZING:
            await self._resizing.abandon(rpc)
        if row is not None and row.verb is Verb.SHELVE:
            await self._shelving.abandon(rpc)

    async def discard(self, rpc: Rpc) -> None:
        """Delete the image that nova-api made for an RPC which failed. May be repeated, and for any RPC."""
        await self._snapshots.discard(rpc)

    async def _succeeded(self, flight: Flight, row: Operation) -> Any:
        server = flight.server
        if row.verb is Verb.SHELVE_OFFLOAD:
            await self._shelving.offloaded(flight.rpc)
            return None
        assert server is not None
        match row.verb:
            case Verb.SHELVE:
                await self._shelving.finish(flight)
            case Verb.SNAPSHOT | Verb.BACKUP:
                await self._snapshots.finish(flight)
            case Verb.ATTACH_INTERFACE:
                return await self._interfaces.attached(flight.rpc)
            case Verb.DETACH_INTERFACE:
                await self._interfaces.detached(flight.rpc)
            case Verb.RESIZE:
                await self._resizing.finish(flight.rpc, server)
            case Verb.CONFIRM_RESIZE:
                await self._resizing.confirm(flight.rpc, server)
            case Verb.REVERT_RESIZE:
                await self._resizing.revert(flight.rpc, server)
        return None

    async def _failed(self, rpc: Rpc, verb: Verb, fault: Fault) -> None:
        try:
            await self._show_failed(rpc, verb, fault)
        except OwnershipLost:
            raise
        except Stale as error:
            LOG.info("the failed %s is not shown above: %s", rpc.method, error)
            await self.abandon(rpc)

    async def _show_failed(self, rpc: Rpc, verb: Verb, fault: Fault) -> None:
        match verb:
            case Verb.SNAPSHOT | Verb.BACKUP:
                await self._snapshots.fail(rpc, fault)
            case Verb.SHELVE:
                await self._snapshots.fail(rpc, fault, SHELVE)
            case Verb.SHELVE_OFFLOAD:
                await self._shelving.not_offloaded(rpc, fault)
            case Verb.RESIZE:
                await self._resizing.fail(rpc, fault)
            case Verb.CONFIRM_RESIZE:
                await self._resizing.not_confirmed(rpc, fault)
            case Verb.REVERT_RESIZE:
                await self._resizing.not_reverted(rpc, fault)
            case Verb.ATTACH_INTERFACE:
                await self._interfaces.not_attached(rpc, fault)
            case Verb.DETACH_INTERFACE:
                await self._interfaces.not_detached(rpc, fault)

    async def _rebuild(self, rpc: Rpc) -> ChangeSpec:
        if rpc.args.get("recreate"):
            raise Refused(FaultCode.UNSUPPORTED, "an evacuation that an older bridge took: ask for it again")
        instance = unwrap(rpc.args["instance"])
        return ChangeSpec(
            image=translate.image_spec(await self._glance.image(str(rpc.args["image_ref"]))),
            name=str(instance.get("display_name") or rpc.uuid),
            description=instance.get("display_description"),
            hostname=instance.get("hostname"),
            metadata={str(k): str(v) for k, v in (instance.get("metadata") or {}).items()},
            keypair=await self._keypair(rpc, instance),
            preserve_ephemeral=bool(rpc.args.get("preserve_ephemeral")),
            secrets=self._resealed(rpc.secrets),
        )

    async def _keypair(self, rpc: Rpc, instance: dict[str, Any]) -> KeypairSpec | None:
        """Return the key that the instance has now; nova-api saves a new one before it sends the RPC."""
        if not instance.get("key_name"):
            return None
        found = await self._conductor.get_instance(rpc.context, rpc.uuid, ["keypairs"])
        keypair = translate.keypair_spec(found) if found is not None else None
        if keypair is None:
            raise Refused(FaultCode.KEYPAIR, f"keypair {instance['key_name']} is not kept with the instance")
        return keypair

    def _resealed(self, secrets: Sealed | None) -> Sealed | None:
        return None if secrets is None else self._site_key.seal(self._bridge_key.open(secrets))
