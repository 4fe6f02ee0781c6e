"""What follows once a site has taken a snapshot: the image goes up, and the instance above through Nova's own states.

The RPC stays in INTAKE and its command pending until the image above has its content. A bridge that takes over asks
the site again, which finds that it took the snapshot, and goes on from the part that is on its disk.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from bridge.core.reducer import COPIED_STATES
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_objects import unwrap
from bridge.flight import Flight
from bridge.image_upload import ImageUploads
from bridge.instances import Instances
from bridge.owner import Ownership
from bridge.publisher import Superseded
from proto.errors import FaultCode, Refused
from proto.messages import Fault, Rpc
from proto.operations import SHELVE_TASK_STATES, SNAPSHOT_TASK_STATES

LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class States:
    """The task_states of an operation whose image goes up."""

    pending_upload: str
    uploading: str
    every: tuple[str | None, ...]


SNAPSHOT = States("image_pending_upload", "image_uploading", SNAPSHOT_TASK_STATES)
SHELVE = States("shelving_image_pending_upload", "shelving_image_uploading", SHELVE_TASK_STATES)


class Snapshots:
    """Snapshots of one owned site."""

    def __init__(
        self, ownership: Ownership, instances: Instances, conductor: NovaConductor, uploads: ImageUploads
    ) -> None:
        self._ownership = ownership
        self._instances = instances
        self._conductor = conductor
        self._uploads = uploads

    async def begin(self, rpc: Rpc) -> None:
        """Show that the site is taking it; Stale if the instance is in no snapshot any more."""
        await self._show(rpc, {"task_state": "image_snapshot"})

    async def finish(self, flight: Flight) -> None:
        """Carry the site's image into the one above and end the operation there; as ``carry_up``."""
        rpc = flight.rpc
        await self.carry_up(flight, SNAPSHOT)
        await self._show(rpc, {"task_state": None, **self._site_state(rpc.uuid)})
        if rpc.args.get("rotation") is not None:
            await self._uploads.rotate(rpc.uuid, str(rpc.args.get("backup_type") or ""), int(rpc.args["rotation"]))

    async def carry_up(self, flight: Flight, states: States) -> None:
        """Carry the site's image into the one above, through these states. May be repeated.

        Refused if that cannot be; Stale if the instance is not in them any more; Superseded by a delete.
        """
        rpc = flight.rpc
        image_id = image_of(rpc)
        began = time.monotonic()
        if not await self._uploads.finished(image_id):
            await self._show(rpc, {"task_state": states.pending_upload}, states)
            carried = await _unless_superseded(flight, self._uploads.carry(image_id))
            try:
                await self._show(rpc, {"task_state": states.uploading}, states)
                owner = str(unwrap(rpc.args["instance"])["project_id"])
                await _unless_superseded(flight, self._uploads.store(image_id, owner, carried))
            finally:
                carried.release()
        LOG.info("image %s has its content, %.1f s after the site took it", image_id, time.monotonic() - began)

    async def fail(self, rpc: Rpc, fault: Fault, states: States = SNAPSHOT) -> None:
        """Leave no image and no task, as Nova's own host does, and say why."""
        await self.discard(rpc)
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
        await self._show(rpc, {"task_state": None, **self._site_state(rpc.uuid)}, states)

    async def discard(self, rpc: Rpc) -> None:
        """Delete the image above of an RPC that failed, unless it has its content. May be repeated, for any RPC."""
        image_id = rpc.args.get("image_id")
        if isinstance(image_id, str):
            self._ownership.check()
            try:
                await self._uploads.discard(image_id)
            except Refused as error:  # a protected one, say: an image left above holds nobody up
                LOG.warning("image %s stays above without content: %s", image_id, error)

    async def _show(self, rpc: Rpc, changes: dict[str, Any], states: States = SNAPSHOT) -> None:
        self._ownership.check()
        await self._conductor.save_instance(rpc.context, rpc.uuid, changes, states.every)

    def _site_state(self, uuid: str) -> dict[str, Any]:
        """Return what the site showed meanwhile and nobody saved, as the snapshot was pending."""
        record = self._instances.get(uuid)
        if record is None or record.vm_state not in COPIED_STATES:
            return {}
        return {"vm_state": record.vm_state, "power_state": record.power_state}


def image_of(rpc: Rpc) -> str:
    """Return the id of the image above that a snapshot is for; Refused if there is none."""
    image_id = rpc.args.get("image_id")
    if not isinstance(image_id, str) or not image_id:
        raise Refused(FaultCode.REJECTED, "a snapshot for no image")
    return image_id


async def _unless_superseded(flight: Flight, work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns; it is cancelled when a delete of the instance comes first."""
    task = asyncio.ensure_future(work)
    superseded = asyncio.ensure_future(flight.superseded.wait())
    try:
        await asyncio.wait({task, superseded}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Superseded
        return task.result()
    finally:
        superseded.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(BaseException):
                await task
