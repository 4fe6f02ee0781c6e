"""`cascade quarantine`: an operator decides what becomes of a server. Each order may be repeated."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.core import planner, shelving, vendor
from bridge.core.records import Quarantined
from bridge.edge.nova_conductor import NovaConductor, admin_context
from bridge.instances import Instances
from bridge.presence import Presence
from bridge.quarantine import Quarantine
from bridge.repairs import Repairs
from bridge.showing import noted
from proto.errors import FaultCode, Refused, Stale
from proto.messages import CensusEntry, Query, Reply, SiteHost
from proto.queries import QueryName

LOG = logging.getLogger(__name__)


class QuarantineOrders:
    """Orders about the quarantine of one owned site."""

    def __init__(
        self,
        hosts: list[SiteHost],
        quarantine: Quarantine,
        instances: Instances,
        conductor: NovaConductor,
        presence: Presence,
        repairs: Repairs,
    ) -> None:
        self._hosts = hosts
        self._quarantine = quarantine
        self._instances = instances
        self._conductor = conductor
        self._presence = presence
        self._repairs = repairs

    async def adopt(self, query: Query) -> Reply:
        """Make a server the instance's own again, as it runs; Refused where its instance is not above, or elsewhere."""
        entry = self._quarantine.find(query.server_id)
        row = await self._conductor.get_instance(admin_context(), entry.uuid, ["system_metadata"], "yes")
        self._must_take(entry, row)
        assert row is not None
        if await self._repairs.busy(entry.uuid):
            raise Refused(FaultCode.CONFLICT, "something is under way for the instance: try again when it is done")
        LOG.warning("audit: site=%s server=%s is adopted as %s, asked by %s",
                    query.site, entry.server.server_id, entry.uuid, query.asked_by)  # fmt: skip
        await self._record(entry)
        await self._show(entry, row)
        await self._quarantine.drop(entry.server.server_id)
        return Reply(text=f"{entry.server.server_id} is the server of instance {entry.uuid}")

    async def give_back(self, query: Query) -> Reply:
        """Take our tags off a server: it is its site's own from then on."""
        entry = self._quarantine.find(query.server_id)
        await self._must_be_orphan(entry)
        said = await self._act(QueryName.SERVER_RETURN, entry, query)
        await self._quarantine.drop(entry.server.server_id)
        return Reply(text=said)

    async def purge(self, query: Query) -> Reply:
        """Delete a server in its site: the only delete without a tenant. The entry goes when the site lacks it."""
        entry = self._quarantine.find(query.server_id)
        await self._must_be_orphan(entry)
        said = await self._act(QueryName.SERVER_PURGE, entry, query)
        await self._quarantine.put(msgspec.structs.replace(entry, purged_at=time.time()))
        return Reply(text=said)

    async def _act(self, verb: QueryName, entry: Quarantined, query: Query) -> str:
        return await self._quarantine.act(verb, entry.uuid, entry.server.server_id, query.asked_by)

    async def _must_be_orphan(self, entry: Quarantined) -> None:
        row = await self._conductor.get_instance(admin_context(), entry.uuid)
        if row is not None and row["host"] in self._names():
            raise Refused(
                FaultCode.CONFLICT,
                f"instance {entry.uuid} is above, on {row['host']}: delete it there (`openstack server delete`), or "
                f"have its server adopted",
            )

    def _must_take(self, entry: Quarantined, row: Mapping[str, Any] | None) -> None:
        if row is None:
            reason = "the cascading database has no such instance: return its server to the site, or purge it"
        elif row.get("deleted"):
            reason = "it is deleted above: healing deletes its server"
        elif row["task_state"] is not None:
            reason = f"it is {row['vm_state']}/{row['task_state']} above: try again when that is done"
        elif row["host"] is not None and row["host"] not in self._names():
            reason = f"it is on {row['host']} above, and an instance has one server: return or purge this one"
        else:
            return
        raise Refused(FaultCode.CONFLICT, f"instance {entry.uuid} cannot have it: {reason}")

    async def _record(self, entry: Quarantined) -> None:
        async with self._instances.lock(entry.uuid):
            known = self._instances.get(entry.uuid) or entry.record
            generation = max(entry.generation, known.generation if known is not None else 0)
            seen = CensusEntry(entry.uuid, entry.generation, entry.server)
            await self._instances.put(noted(planner.adopted(entry.uuid, generation), seen))

    async def _show(self, entry: Quarantined, row: Mapping[str, Any]) -> None:
        shown = vendor.shown(entry.server)
        changes: dict[str, Any] = shown.changes if shown is not None else {}
        if row["host"] is None:
            node = self._presence.node_of(self._host_for(row.get("availability_zone")))
            there = {"host": node.host, "node": node.node, "compute_id": node.compute_id, "launched_on": node.host}
            changes = {**changes, **there, **shelving.forgotten(row)}
        try:
            await self._conductor.save_instance(admin_context(), entry.uuid, changes, [None], [row["vm_state"]])
        except Stale as error:
            raise Refused(FaultCode.CONFLICT, f"the instance changed meanwhile: {error}") from error

    def _host_for(self, zone: str | None) -> str:
        return next((entry.host for entry in self._hosts if entry.availability_zone == zone), self._hosts[0].host)

    def _names(self) -> set[str]:
        return {entry.host for entry in self._hosts}
