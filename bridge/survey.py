"""Looks at every instance of a site from all sides: above, in the records, in the site. Changes nothing."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.census import Census
from bridge.core.situation import Above, Situation
from bridge.edge.nova_conductor import NovaConductor, admin_context
from bridge.edge.nova_objects import parse_timestamp
from bridge.instances import Instances
from proto.messages import CensusEntry


@dataclass(frozen=True, slots=True)
class _Seen:
    """What rounds saw of an instance for some time now."""

    above: Above | None
    there: bool
    since: float  # monotonic s
    looks: int


class Survey:
    """One owned site. What it remembers of the rounds before is in memory only: after a take-over all is new."""

    def __init__(self, hosts: Iterable[str], instances: Instances, conductor: NovaConductor, census: Census) -> None:
        """``hosts``: of the site, above."""
        self._hosts = list(hosts)
        self._instances = instances
        self._conductor = conductor
        self._census = census
        self._seen: dict[str, _Seen] = {}

    async def look(self) -> list[Situation]:
        """Return how each instance stands that is on our hosts, recorded here or in the site; in order of uuid.

        Unavailable while something that must be asked is away. The census comes first: what the cascading database
        says must be the younger of the two.
        """
        began = time.time()
        census = await self._census.look()
        rows = {above.uuid: above for above in await self._on_our_hosts()}
        records = {record.uuid: record for record in self._instances.all()}
        seen: dict[str, _Seen] = {}
        found: list[Situation] = []
        for uuid in sorted(rows.keys() | records.keys() | census.keys()):
            record, server = records.get(uuid), census.get(uuid)
            if uuid not in rows and server is None and record is not None and record.deleted_at is not None:
                continue  # a tombstone that has only to be dropped
            above = rows.get(uuid) or await self.above(uuid)
            now = seen[uuid] = self._noted(uuid, above, server is not None)
            unchanged = time.monotonic() - now.since
            found.append(Situation(uuid, above, record, server, began, now.looks, unchanged))
        self._seen = seen
        return found

    async def find(self, uuids: Iterable[str]) -> Mapping[str, CensusEntry]:
        """Return those of some instances that have a server in the site now; Unavailable as for look."""
        return await self._census.find(uuids)

    async def above(self, uuid: str) -> Above | None:
        """Return what the cascading database says of one instance now, deleted or not; None if it has no row."""
        row = await self._conductor.get_instance(admin_context(), uuid, read_deleted="yes")
        return above_of(row, self._hosts) if row is not None else None

    async def _on_our_hosts(self) -> list[Above]:
        rows = [row for host in self._hosts for row in await self._conductor.instances_on_host(host)]
        return [above_of(row, self._hosts) for row in rows]

    def _noted(self, uuid: str, above: Above | None, there: bool) -> _Seen:
        before = self._seen.get(uuid)
        if before is not None and (before.above, before.there) == (above, there):
            return _Seen(above, there, before.since, before.looks + 1)
        return _Seen(above, there, time.monotonic(), 1)


def above_of(row: Mapping[str, Any], hosts: Collection[str | None]) -> Above:
    """Return what matters to healing of an instance as nova-conductor gives it."""
    return Above(
        uuid=row["uuid"],
        deleted=bool(row.get("deleted")),
        vm_state=row["vm_state"],
        task_state=row["task_state"],
        updated_at=str(row.get("updated_at")),
        kept_since=_kept_since(row) if row["vm_state"] == "soft-delete" else None,
        host=row.get("host"),
        ours=row.get("host") in hosts,
    )


def _kept_since(row: Mapping[str, Any]) -> float | None:
    """Return when an instance was soft-deleted; a restore that failed took the time away, and it counts from then."""
    moment = parse_timestamp(row.get("deleted_at") or row.get("updated_at"))
    return moment.timestamp() if moment is not None else None
