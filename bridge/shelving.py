"""Shelving: the guest is kept in an image above, then its server leaves the site.

A shelve is a snapshot whose image goes up; the offload that follows it is an RPC of its own in INTAKE, so each of the
two has one command, and each may be begun again after a crash. Nothing is deleted in the site before the image above
is seen whole. There is no wait between them, as with Nova's default ``shelved_offload_time = 0``.
"""

import logging
import time
from typing import Any

from bridge.cards import Cards
from bridge.core import shelving
from bridge.edge.glance import Glance
from bridge.edge.nova_conductor import NovaConductor, TaskStateChanged
from bridge.edge.placement import Placement
from bridge.flight import Flight
from bridge.image_upload import ImageUploads
from bridge.snapshots import SHELVE, Snapshots, image_of
from proto import codec, subjects
from proto.errors import FaultCode, Refused, Stale, Unavailable
from proto.jetstream import JetStream
from proto.messages import Fault, Rpc
from proto.operations import BY_VERB, SHELVE_TASK_STATES, Verb

LOG = logging.getLogger(__name__)

OFFLOAD_TASK_STATES = BY_VERB[Verb.SHELVE_OFFLOAD].begun
ATTRIBUTES = ("system_metadata",)


class Shelving:
    """Shelves and offloads of one site's instances. Every method may be repeated: each step finds its work done."""

    def __init__(
        self,
        site: str,
        road: JetStream,
        conductor: NovaConductor,
        snapshots: Snapshots,
        uploads: ImageUploads,
        glance: Glance,
        cards: Cards,
        placement: Placement,
    ) -> None:
        self._site = site
        self._road = road
        self._conductor = conductor
        self._snapshots = snapshots
        self._uploads = uploads
        self._glance = glance
        self._cards = cards
        self._placement = placement

    async def finish(self, flight: Flight) -> None:
        """The site took the image: carry it up, show the instance shelved, and ask for its offload."""
        rpc = flight.rpc
        await self._snapshots.carry_up(flight, SHELVE)
        instance = await self._instance(rpc)
        try:
            changes = shelving.shelved(instance, image_of(rpc), rpc.host, time.time())
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, SHELVE_TASK_STATES)
        except TaskStateChanged as error:
            if error.deleting or not shelving.is_shelved(instance, image_of(rpc)):
                raise
            LOG.info("an earlier try has shown it shelved: %s", error)
        await self.ask_offload(shelving.following(rpc, time.time()))

    async def ask_offload(self, rpc: Rpc) -> None:
        """Put an offload into INTAKE: it goes the way of every other RPC."""
        subject = subjects.intake(self._site, rpc.uuid)
        await self._road.publish(subject, codec.encode(rpc), message_id=f"{rpc.rpc_id}:{rpc.uuid}")

    async def abandon(self, rpc: Rpc) -> None:
        """A delete came before the end of a shelve: its image is of no use any more, even whole."""
        await self._snapshots.discard(rpc)
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid)
        if instance is None or instance["task_state"] == "deleting":
            await self.drop_image(image_of(rpc))

    async def begin_offload(self, rpc: Rpc, again: bool) -> None:
        """Refuse an offload that would lose the guest; Stale if the instance is not being offloaded (any more)."""
        instance = await self._instance(rpc)
        if again and instance["vm_state"] == shelving.OFFLOADED:
            return  # shown above already, but perhaps not all of it
        if instance["vm_state"] != shelving.SHELVED or instance["task_state"] not in OFFLOAD_TASK_STATES:
            raise Stale(f"the instance is {instance['vm_state']}/{instance['task_state']}, not being offloaded")
        image_id = shelving.shelved_image(instance)
        if not image_id or not await self._uploads.finished(image_id):
            raise Refused(FaultCode.IMAGE, "the instance is not whole in an image yet: its server stays in the site")

    async def offloaded(self, rpc: Rpc) -> None:
        """The server is gone: give back all but ports and image, in Nova's order."""
        instance = await self._instance(rpc)
        if instance["host"] != rpc.host:
            return  # an earlier try ended it; it may be anywhere by now
        if instance["vm_state"] == shelving.SHELVED:
            try:
                await self._cards.unbind(rpc)
                await self._placement.delete_allocations(rpc.uuid)
            except Refused as error:  # the server is gone: nothing may show it as still there
                raise Unavailable(f"what {rpc.uuid} held above cannot be given back: {error}", 30.0) from error
            shown = {"vm_state": shelving.OFFLOADED, "task_state": None}
            await self._conductor.save_instance(rpc.context, rpc.uuid, shown, OFFLOAD_TASK_STATES)
        await self._conductor.save_instance(rpc.context, rpc.uuid, shelving.NO_HOST, (None,), (shelving.OFFLOADED,))

    async def not_offloaded(self, rpc: Rpc, fault: Fault) -> None:
        """The site refused, or the image is not whole: the instance stays shelved, its server in the site."""
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
        await self._conductor.save_instance(rpc.context, rpc.uuid, {"task_state": None}, OFFLOAD_TASK_STATES)

    async def forget(self, rpc: Rpc) -> None:
        """An instance that was never offloaded starts again: the server has all that is in its image."""
        instance = await self._instance(rpc)
        if image_id := shelving.shelved_image(instance):
            await self.drop_image(image_id)
            await self._conductor.save_instance(rpc.context, rpc.uuid, shelving.forgotten(instance))

    async def drop_image(self, image_id: str) -> None:
        """Delete an image above that an instance was kept in; one that cannot be deleted holds nobody up."""
        try:
            await self._glance.delete(image_id)
        except Refused as error:
            LOG.warning("image %s stays above: %s", image_id, error)

    async def _instance(self, rpc: Rpc) -> dict[str, Any]:
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid, ATTRIBUTES)
        if instance is None:
            raise Stale("the instance is gone")
        return instance
