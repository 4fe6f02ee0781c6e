"""Carries out what the reconciler finds: at take-over and then every ROUND s, and tombstones soon after a delete."""

import asyncio
import logging
import time
import uuid as uuid_module
from collections.abc import Awaitable, Callable
from typing import Any

from bridge.core import planner, reconciler, vendor
from bridge.core.reconciler import Above, Repair
from bridge.core.records import InstanceRecord
from bridge.core.shelving import OFFLOADED
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.edge.nova_conductor import NovaConductor, request_context
from bridge.edge.nova_objects import parse_timestamp
from bridge.edge.placement import Placement
from bridge.flight import Flights
from bridge.instances import Instances
from bridge.presence import Presence
from proto import codec, streams, subjects
from proto.errors import CascadeError, FaultCode, Stale, Unavailable
from proto.jetstream import JetStream
from proto.messages import CensusEntry, Fault, Query, Reply, Rpc, SiteHost
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

ROUND = 60.0  # s between two looks: what an RPC under way may take is told by INTAKE, not by this
FIRST_ROUND = 5.0  # s after take-over
TOMBSTONE_ROUND = 5.0  # s between two looks at tombstones while there are any
CENSUS_TIMEOUT = 20.0  # s for one page


class Healing:
    """One owned site."""

    def __init__(
        self,
        site: str,
        hosts: list[SiteHost],
        road: JetStream,
        instances: Instances,
        flights: Flights,
        conductor: NovaConductor,
        placement: Placement,
        presence: Presence,
        fail_build: Callable[[Rpc, Fault], Any],
        reclaim_interval: int,
    ) -> None:
        """``reclaim_interval``: s that a soft-deleted instance is kept; 0 = for ever."""
        self._site = site
        self._hosts = [entry.host for entry in hosts]
        self._road = road
        self._instances = instances
        self._flights = flights
        self._conductor = conductor
        self._placement = placement
        self._presence = presence
        self._fail_build = fail_build
        self._reclaim_interval = reclaim_interval
        self._before: dict[str, Above] = {}
        self._lost_before: set[str] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        next_round = time.monotonic() + FIRST_ROUND
        while True:
            await asyncio.sleep(TOMBSTONE_ROUND)
            try:
                if any(record.deleted_at is not None for record in self._instances.all()):
                    await self._bury_tombstones()
                if time.monotonic() >= next_round:
                    await self.round()
                    next_round = time.monotonic() + ROUND
            except (OwnershipLost, Conflict):
                raise
            except Unavailable as error:
                LOG.info("site=%s healing waits: %s", self._site, error)
            except CascadeError:
                LOG.exception("site=%s healing", self._site)

    async def round(self) -> None:
        """Look at every instance on our hosts once; Unavailable while something that must be asked is away."""
        census = {entry.uuid: entry for entry in await self.census()}
        seen: dict[str, Above] = {}
        for host in self._hosts:
            for instance in await self._conductor.instances_on_host(host):
                above = _above(instance)
                seen[above.uuid] = above
                await self._guarded(above.uuid, self._repair(host, above, census.get(above.uuid)))
        for uuid in census.keys() - seen.keys():
            await self._guarded(uuid, self._not_on_our_hosts(uuid, census[uuid]))
        for record in self._instances.all():
            if record.uuid not in seen and record.uuid not in census:
                await self._guarded(record.uuid, self._nowhere(record))
        self._before = seen
        await self._lost_builds(seen)

    async def census(self) -> list[CensusEntry]:
        """Return every tagged server of the site; Unavailable while it is silent."""
        servers: list[CensusEntry] = []
        marker = ""
        while True:
            query = Query(site=self._site, verb=QueryName.CENSUS, marker=marker)
            subject = subjects.query(self._site, query.verb)
            data = await self._road.request(subject, codec.encode(query), timeout=CENSUS_TIMEOUT)
            reply = codec.decode(data, Reply)
            if reply.fault is not None:
                raise Unavailable(f"census of {self._site}: {reply.fault.message}")
            servers += reply.servers
            marker = reply.marker
            if not marker:
                return servers

    async def _guarded(self, uuid: str, work: Awaitable[None]) -> None:
        """Trouble with one instance stops neither the others nor the site; only a lost ownership does."""
        try:
            await work
        except (OwnershipLost, Conflict, Unavailable):
            raise
        except CascadeError:
            LOG.exception("site=%s instance=%s cannot be healed now", self._site, uuid)

    async def _bury_tombstones(self) -> None:
        began = time.time()
        present = {entry.uuid for entry in await self.census()}
        for uuid in [record.uuid for record in self._instances.all() if record.deleted_at is not None]:
            await self._drop_if(uuid, lambda record: reconciler.droppable(record, began, record.uuid in present))

    async def _nowhere(self, record: InstanceRecord) -> None:
        """Forget a record of an instance that is neither above nor in the site: nova-api deleted it by itself."""
        context = request_context(_request_id(), None, None, is_admin=True)
        instance = await self._conductor.get_instance(context, record.uuid, read_deleted="yes")
        if instance is None or instance.get("deleted"):
            await self._drop_if(record.uuid, lambda now: now.deleted_at is None and now == record)

    async def _drop_if(self, uuid: str, condition: Callable[[InstanceRecord], bool]) -> None:
        """Drop a record if the condition holds and no RPC can come back for it."""
        if await self._busy(uuid):
            return
        async with self._instances.lock(uuid):
            record = self._instances.get(uuid)
            if record is not None and condition(record):
                await self._instances.drop(uuid)
        self._instances.forget_lock(uuid)

    async def _busy(self, uuid: str) -> bool:
        """Whether an RPC of the instance is under way or waits in INTAKE."""
        if self._flights.get(uuid) is not None:
            return True
        return await self._road.count(streams.intake(self._site).name, subjects.intake(self._site, uuid)) > 0

    async def _repair(self, host: str, above: Above, server: CensusEntry | None) -> None:
        if reconciler.reclaimable(above, self._reclaim_interval, time.time()):
            await self._reclaim(host, above.uuid)
            return
        record = self._instances.get(above.uuid)
        what = reconciler.repair(above, self._before.get(above.uuid), record, server)
        if what is Repair.NOTHING or await self._busy(above.uuid):
            return
        LOG.warning("site=%s instance=%s %s: %s", self._site, above.uuid, what.value, above)
        if what is Repair.DELETE:
            await self._delete(host, above.uuid)
        elif what is Repair.FAULT_BUILD:
            fault = Fault(FaultCode.SITE_FAULT, "the build was interrupted and nothing of it is in the site")
            method = "unshelve_instance" if above.vm_state == OFFLOADED else "build_and_run_instance"
            await self._fail_build(_rpc(host, above.uuid, method), fault)
            await self._drop_if(above.uuid, lambda now: now == record)
        elif what is Repair.OFFLOAD:
            await self._ask(_rpc(host, above.uuid, "shelve_offload_instance"))
        else:
            await self._show_site(above, server, record)

    async def _show_site(self, above: Above, server: CensusEntry | None, seen: InstanceRecord | None) -> None:
        """Show what the site has, and settle the record that was ``seen`` with it; what has changed since is left."""
        if above.task_state is not None or above.vm_state in vendor.OVERWRITTEN | {"error"}:
            try:
                await self._save_site(above, server)
            except Stale as error:
                LOG.info("instance=%s changed meanwhile: %s", above.uuid, error)
                return
        async with self._instances.lock(above.uuid):
            record = self._instances.get(above.uuid)
            if record is not None and seen is not None and record.pending == seen.pending:
                await self._instances.put(planner.settled(record))
            elif record is None and server is not None:
                await self._instances.put(planner.adopted(above.uuid, server.generation))

    async def _save_site(self, above: Above, server: CensusEntry | None) -> None:
        context = request_context(_request_id(), None, None, is_admin=True)
        shown = vendor.ending(above.task_state, server.server) if server is not None else None
        changes = {"task_state": None, **(shown.changes if shown is not None else {})}
        states = [above.task_state], [above.vm_state]
        row = await self._conductor.save_instance(context, above.uuid, changes, *states)
        if shown is not None and shown.fault is not None:
            await self._conductor.create_fault(context, above.uuid, row["host"] or self._site, shown.fault)

    async def _reclaim(self, host: str, uuid: str) -> None:
        """Delete an instance that its tenant soft-deleted long ago.

        A restore keeps it: of its save and this one, which is the delete's beginning, only one can be made.
        """
        if await self._busy(uuid):
            return
        context = request_context(_request_id(), None, None, is_admin=True)
        try:
            await self._conductor.save_instance(context, uuid, {"task_state": "deleting"}, [None], ["soft-delete"])
        except Stale as error:
            LOG.info("instance=%s is not reclaimed: %s", uuid, error)
            return
        LOG.info("site=%s instance=%s was soft-deleted long ago: deleting it", self._site, uuid)
        await self._delete(host, uuid)

    async def _not_on_our_hosts(self, uuid: str, server: CensusEntry) -> None:
        """Only the cascading database's own deleted row deletes; anything else is left alone and told."""
        context = request_context(_request_id(), None, None, is_admin=True)
        instance = await self._conductor.get_instance(context, uuid, read_deleted="yes")
        if instance is not None and instance.get("deleted") and not await self._busy(uuid):
            LOG.warning("site=%s instance=%s is deleted above but still there: deleting it", self._site, uuid)
            await self._delete(self._hosts[0], uuid)
        elif instance is None:
            LOG.error("site=%s server=%s is tagged %s, which nobody above knows: left alone",
                      self._site, server.server.server_id, uuid)  # fmt: skip

    async def _delete(self, host: str, uuid: str) -> None:
        await self._ask(_rpc(host, uuid, "terminate_instance"))

    async def _ask(self, rpc: Rpc) -> None:
        """Put an RPC into INTAKE: it goes the way of every other one."""
        await self._road.publish(subjects.intake(self._site, rpc.uuid), codec.encode(rpc), message_id=rpc.rpc_id)

    async def _lost_builds(self, seen: dict[str, Above]) -> None:
        """Nova 34, _error_out_instances_whose_build_was_interrupted: allocations here of builds without a host."""
        lost: set[str] = set()
        for host in self._hosts:
            for consumer in await self._placement.consumers(self._presence.node_of(host).provider):
                if consumer in seen or self._instances.get(consumer) is not None:
                    continue
                if method := await self._lost_method(consumer):
                    lost.add(consumer)
                    if consumer in self._lost_before and not await self._busy(consumer):
                        fault = Fault(FaultCode.SITE_FAULT, "the build was lost before it reached the site's host")
                        await self._fail_build(_rpc(host, consumer, method), fault)
        self._lost_before = lost

    async def _lost_method(self, uuid: str) -> str | None:
        """Return the RPC that never reached a host, None if the instance waits for none."""
        context = request_context(_request_id(), None, None, is_admin=True)
        instance = await self._conductor.get_instance(context, uuid)
        if instance is None or instance["host"]:
            return None
        if (instance["vm_state"], instance["task_state"]) == (OFFLOADED, "unshelving"):
            return "unshelve_instance"
        return "build_and_run_instance" if instance["vm_state"] == "building" else None


def _above(instance: dict[str, Any]) -> Above:
    return Above(
        uuid=instance["uuid"],
        deleted=bool(instance.get("deleted")),
        vm_state=instance["vm_state"],
        task_state=instance["task_state"],
        updated_at=str(instance.get("updated_at")),
        kept_since=_kept_since(instance) if instance["vm_state"] == "soft-delete" else None,
    )


def _kept_since(instance: dict[str, Any]) -> float | None:
    """Return when an instance was soft-deleted; a restore that failed took the time away, and it counts from then."""
    moment = parse_timestamp(instance.get("deleted_at") or instance.get("updated_at"))
    return moment.timestamp() if moment is not None else None


def _request_id() -> str:
    return f"req-{uuid_module.uuid4()}"


def _rpc(host: str, uuid: str, method: str) -> Rpc:
    """Return an RPC of our own making: healing asks for it instead of a tenant."""
    context = request_context(_request_id(), None, None, is_admin=True)
    return Rpc(
        rpc_id=f"heal-{uuid_module.uuid4().hex}",
        host=host,
        method=method,
        uuid=uuid,
        context=context,
        args={},
        received_at=time.time(),
    )
