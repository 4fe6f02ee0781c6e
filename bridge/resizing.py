"""Resize and cold migration inside a site, as Nova's own hosts leave them above: migration, flavors, allocations."""

import logging
import time
from typing import Any

from bridge.catalog import Catalog
from bridge.core import resizing
from bridge.edge.nova_conductor import NovaConductor, TaskStateChanged
from bridge.edge.nova_objects import timestamp, unwrap
from bridge.edge.placement import Placement
from bridge.presence import Presence
from proto.errors import FaultCode, Refused, Stale
from proto.messages import Fault, Rpc, ServerState
from proto.specs import ChangeSpec

LOG = logging.getLogger(__name__)

PREPARED = "resize_prep"
CONFIRMABLE = (None, "deleting", "soft-deleting")  # task_states in which a confirm ends
REVERTING = "resize_reverting"
ATTRIBUTES = ("flavor", "system_metadata")


class Resizing:
    """Resizes of one site's instances. Every method may be repeated: each step finds its work done."""

    def __init__(self, conductor: NovaConductor, placement: Placement, catalog: Catalog, presence: Presence) -> None:
        self._conductor = conductor
        self._placement = placement
        self._catalog = catalog
        self._presence = presence

    async def begin(self, rpc: Rpc) -> ChangeSpec:
        """Show the resize above and return what the site must make; Refused if it would leave the site."""
        instance = await self._instance(rpc)
        flavor, migration = unwrap(rpc.args["flavor"]), unwrap(rpc.args["migration"])
        if instance["task_state"] not in (PREPARED, resizing.MIGRATING):
            raise Stale(f"the resize is over: task_state is {instance['task_state']}")
        if instance["host"] != rpc.host:
            raise Refused(FaultCode.UNSUPPORTED, f"a server stays in its site: it is in {instance['host']}")
        node = self._presence.node_of(rpc.host)
        there = {"dest_compute": node.host, "dest_node": node.node, "dest_compute_id": node.compute_id}
        await self._migration(rpc, {**there, "dest_host": node.host, "status": "migrating"})
        if instance["task_state"] == PREPARED:
            changes = resizing.begun(instance, flavor, migration["id"])
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, (PREPARED,))
        before = instance["old_flavor"] or instance["flavor"]  # an earlier try may have changed the row already
        moves = flavor["flavorid"] == before["flavorid"]
        return ChangeSpec(flavor=None if moves else await self._catalog.flavor(flavor))

    async def finish(self, rpc: Rpc, server: ServerState) -> None:
        """The site's server waits to be confirmed or reverted."""
        await self._migration(rpc, {"status": "finished"})
        launched_at = timestamp(server.launched_at or time.time())
        changes = resizing.finished(await self._instance(rpc), server.power_state, launched_at)
        await self._save(rpc, changes, resizing.MIGRATING)

    async def sent_home(self, rpc: Rpc) -> bool:
        """Return whether the server is in another site, where the resize is now asked for, and goes on.

        The scheduler may choose any host for a server whose tenant named no zone. Not repeated once the allocations
        are back: a bridge that dies right then leaves a lost resize, which healing ends.
        """
        instance = await self._instance(rpc)
        if instance["host"] in (None, rpc.host) or instance["task_state"] != PREPARED:
            return False
        if await self._placement.move_allocations(unwrap(rpc.args["migration"])["uuid"], rpc.uuid):
            LOG.info("the server is in %s: its resize goes on there", instance["host"])
            await self._conductor.resize_instance(rpc.context, rpc.args, instance["host"], instance["node"])
        return True

    async def fail(self, rpc: Rpc, fault: Fault) -> None:
        """The site did not resize: the server is what it was."""
        migration = unwrap(rpc.args["migration"])
        await self._placement.move_allocations(migration["uuid"], rpc.uuid)
        await self._migration(rpc, {"status": "error"})
        await self._save(rpc, resizing.failed(await self._instance(rpc)), PREPARED, resizing.MIGRATING)
        await self._conductor.drop_migration_context(rpc.context, rpc.uuid)
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)

    async def confirm(self, rpc: Rpc, server: ServerState | None) -> None:
        """The old server is given up; without a server seen (a delete waits for this) it is as it was last shown."""
        instance = await self._instance(rpc)
        migration = unwrap(rpc.args["migration"])
        power_state = instance["power_state"] if server is None else server.power_state
        stopped = power_state == resizing.SHUTDOWN if server is None else server.vm_state == "stopped"
        vm_state = "stopped" if stopped else "active"
        await self._migration(rpc, {"status": "confirmed"})
        await self._conductor.drop_migration_context(rpc.context, rpc.uuid)
        await self._placement.delete_allocations(migration["uuid"])
        await self._save(rpc, resizing.confirmed(instance, vm_state, power_state), *CONFIRMABLE)

    async def not_confirmed(self, rpc: Rpc, fault: Fault) -> None:
        """The site refused: it still waits, and its tenant may try again."""
        await self._migration(rpc, {"status": "finished"})
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)

    async def revert(self, rpc: Rpc, server: ServerState) -> None:
        """The server has its old flavor again."""
        migration = unwrap(rpc.args["migration"])
        await self._migration(rpc, {"status": "reverted"})
        await self._placement.move_allocations(migration["uuid"], rpc.uuid)
        launched_at = timestamp(server.launched_at or time.time())
        instance = await self._instance(rpc)
        await self._save(rpc, resizing.reverted(instance, server.vm_state, server.power_state, launched_at), REVERTING)
        await self._conductor.drop_migration_context(rpc.context, rpc.uuid)

    async def not_reverted(self, rpc: Rpc, fault: Fault) -> None:
        """The site has confirmed by itself: the server keeps its new flavor. Or it refused: it still waits."""
        if fault.code is not FaultCode.CONFLICT:
            await self._migration(rpc, {"status": "finished"})
            await self._save(rpc, {"task_state": None}, REVERTING)
            await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)
            return
        instance = await self._instance(rpc)
        await self._migration(rpc, {"status": "confirmed"})
        await self._placement.delete_allocations(unwrap(rpc.args["migration"])["uuid"])
        vm_state = "stopped" if instance["power_state"] == resizing.SHUTDOWN else "active"
        await self._save(rpc, resizing.confirmed(instance, vm_state, instance["power_state"]), REVERTING)
        await self._conductor.drop_migration_context(rpc.context, rpc.uuid)
        await self._conductor.create_fault(rpc.context, rpc.uuid, rpc.host, fault)

    async def abandon(self, rpc: Rpc) -> None:
        """A delete came first: nothing of the migration may stay."""
        await self._migration(rpc, {"status": "error"})
        await self._placement.delete_allocations(unwrap(rpc.args["migration"])["uuid"])

    async def _instance(self, rpc: Rpc) -> dict[str, Any]:
        instance = await self._conductor.get_instance(rpc.context, rpc.uuid, ATTRIBUTES)
        if instance is None:
            raise Stale("the instance is gone")
        return instance

    async def _migration(self, rpc: Rpc, changes: dict[str, Any]) -> None:
        await self._conductor.save_migration(rpc.context, unwrap(rpc.args["migration"])["id"], changes)

    async def _save(self, rpc: Rpc, changes: dict[str, Any], *expected: str | None) -> None:
        try:
            await self._conductor.save_instance(rpc.context, rpc.uuid, changes, expected)
        except TaskStateChanged as error:
            if error.deleting:
                raise  # nothing of the migration may stay
            LOG.info("%s is not saved, an earlier try did: %s", rpc.method, error)
