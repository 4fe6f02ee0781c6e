"""`cascade site list` and `show`: what etcd and JetStream say of the sites. Reads only."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.core import inventory, keys, standing
from bridge.core.inventory import LastStatus
from bridge.core.policies import CHOICES
from bridge.core.records import Braked, CensusFigures, Owner, SiteLife, SiteSpec
from bridge.core.standing import State
from bridge.operator.context import Context
from bridge.operator.output import age
from proto import codec, streams, subjects
from proto.errors import Misconfigured, Unavailable
from proto.messages import Capacity

if TYPE_CHECKING:
    from bridge.edge.etcd_store import EtcdStore, Stored
    from proto.jetstream import JetStream

COLUMNS = (
    "name", "hosts", "availability_zones", "owner", "state", "state_age_s", "status_age_s", "clock_offset_s",
    "vcpus_used", "vcpus", "records", "waiting", "pending",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """What is under way; None = JetStream does not say."""

    records: int
    waiting: int | None = None  # RPCs in INTAKE
    pending: int | None = None  # commands the site has not finished
    trouble: str | None = None  # why JetStream does not say


@dataclass(frozen=True, slots=True)
class SiteView:
    """One site as it is known here now."""

    spec: SiteSpec
    owner: Owner | None
    status: LastStatus | None  # gone 30 s after the site's last word
    counts: Counts
    census: CensusFigures | None = None  # the last one
    braked: Braked | None = None  # what healing waits with for an operator
    life: SiteLife | None = None  # as its owner saw it last

    @property
    def standing(self) -> tuple[State, float | None]:
        """How it stands and since when; None = that is not known."""
        fresh = self.status is not None and (self.status_age or 0) <= inventory.SILENT_AFTER
        return standing.shown(self.spec, self.owner is not None, fresh, bool(fresh and self._problem), self.life)

    @property
    def state(self) -> State:
        """How it stands."""
        return self.standing[0]

    @property
    def _problem(self) -> str | None:
        return self.status.problem if self.status else None

    @property
    def status_age(self) -> int | None:
        """Seconds since the site's last word, by the bridge's clock."""
        return age(self.status.received_at) if self.status else None

    @property
    def capacity(self) -> Capacity | None:
        """The whole site's capacity, or the sum over its zones."""
        by_zone = self.status.capacity if self.status else {}
        return by_zone.get("") or (_sum(list(by_zone.values())) if by_zone else None)

    def row(self) -> dict[str, Any]:
        """Return the line of ``site list``."""
        capacity, (state, since) = self.capacity, self.standing
        return {
            "name": self.spec.site,
            "hosts": [host.host for host in self.spec.hosts],
            "availability_zones": [host.availability_zone for host in self.spec.hosts],
            "owner": self.owner.bridge if self.owner else None,
            "state": state.value,
            "state_age_s": age(since) if since else None,
            "status_age_s": self.status_age,
            "clock_offset_s": round(self.status.clock_offset, 3) if self.status else None,
            "vcpus_used": capacity.vcpus_used if capacity else None,
            "vcpus": capacity.vcpus if capacity else None,
            "records": self.counts.records,
            "waiting": self.counts.waiting,
            "pending": self.counts.pending,
        }

    def fields(self) -> dict[str, Any]:
        """Return what ``site show`` tells: the line of the list and the rest."""
        capacity, status = self.capacity, self.status
        more: dict[str, Any] = {
            "site_availability_zones": [host.site_availability_zone for host in self.spec.hosts],
            "owned_for_s": age(self.owner.since) if self.owner else None,
            "problem": status.problem if status else None,
            "degraded": status.degraded if status else [],
            "breakers": dict(status.breakers) if status else {},
            "agent": status.agent if status else None,
            "agent_up_s": age(status.started_at) if status else None,
            "busy": status.busy if status else None,
            "versions": dict(status.versions) if status else {},
            "memory_mb_used": capacity.memory_mb_used if capacity else None,
            "memory_mb": capacity.memory_mb if capacity else None,
            "disk_gb_used": capacity.disk_gb_used if capacity else None,
            "disk_gb": capacity.disk_gb if capacity else None,
            "image_rate_mib_s": self.spec.image_rate or None,
            **_census_fields(self.census),
            "policies": {name: getattr(self.spec, name) for name in CHOICES},
            "braked_actions": self.braked.actions if self.braked else 0,
            "drain_reason": self.spec.drain_reason or None,
            "given_up_s_ago": {host: age(since) for host, since in self.spec.given_up.items()},
            "epoch": self.spec.epoch,
            "agent_epoch": status.epoch or None if status else None,
            "credential": self.spec.credential_public_key,
            "added_s_ago": age(self.spec.created_at),
        }
        return self.row() | more


def _census_fields(census: CensusFigures | None) -> dict[str, Any]:
    """Return how the last census went; without parts it was told by pages, as the agent knows no digests."""
    return {
        "census_s_ago": age(census.at) if census else None,
        "census_took_s": round(census.took, 1) if census else None,
        "census_servers": census.servers if census else None,
        "census_bytes": census.bytes if census else None,
        "census_parts_differing": census.parts if census else None,
    }


async def all_sites(context: Context) -> list[SiteView]:
    """Return every site, by name."""
    store = await context.store()
    stored, _ = await store.list(keys.SITES)
    by_key = {one.key: one for one in stored}
    names = sorted(site for key in by_key if (site := keys.site_of_spec(key)))
    if not names:
        return []
    more = [key(name) for name in names for key in (keys.alive, keys.life)]
    by_key |= {one.key: one for one in await asyncio.gather(*map(store.get, more)) if one}
    road = await _road(context)
    return list(await asyncio.gather(*(_view(store, road, name, by_key) for name in names)))


async def one_site(context: Context, site: str) -> SiteView:
    """Return one site; Misconfigured if there is none of that name."""
    store = await context.store()
    found = await asyncio.gather(*(store.get(key) for key in _keys(site)))
    by_key = {one.key: one for one in found if one}
    if keys.spec(site) not in by_key:
        raise Misconfigured(f"there is no site {site}; see `cascade site list`")
    return await _view(store, await _road(context), site, by_key)


def _keys(site: str) -> tuple[str, ...]:
    return keys.spec(site), keys.owner(site), keys.alive(site), keys.census(site), keys.brake(site), keys.life(site)


async def _road(context: Context) -> "JetStream | Unavailable":
    """Return NATS, or why it is not there: what etcd knows is shown all the same."""
    try:
        return await context.road()
    except Misconfigured as error:
        return Unavailable(str(error))


async def _view(
    store: "EtcdStore", road: "JetStream | Unavailable", site: str, by_key: dict[str, "Stored"]
) -> SiteView:
    owner, alive, census, braked, life = (by_key.get(key) for key in _keys(site)[1:])
    return SiteView(
        spec=codec.from_json(by_key[keys.spec(site)].value, SiteSpec),
        owner=codec.from_json(owner.value, Owner) if owner else None,
        status=codec.from_json(alive.value, LastStatus) if alive else None,
        counts=await _counts(store, road, site),
        census=codec.from_json(census.value, CensusFigures) if census else None,
        braked=codec.from_json(braked.value, Braked) if braked else None,
        life=codec.from_json(life.value, SiteLife) if life else None,
    )


async def _counts(store: "EtcdStore", road: "JetStream | Unavailable", site: str) -> Counts:
    records = await store.count(keys.instances(site))
    if isinstance(road, Unavailable):
        return Counts(records, trouble=str(road))
    try:
        waiting, pending = await asyncio.gather(
            road.count(streams.intake(site).name, subjects.intake_filter(site)),
            road.count(streams.commands(site).name, subjects.commands_of_site(site)),
        )
    except Unavailable as error:
        return Counts(records, trouble=str(error))
    return Counts(records, waiting, pending)


def _sum(zones: list[Capacity]) -> Capacity:
    return Capacity(
        vcpus=sum(zone.vcpus for zone in zones),
        memory_mb=sum(zone.memory_mb for zone in zones),
        disk_gb=sum(zone.disk_gb for zone in zones),
        max_vcpus=max(zone.max_vcpus for zone in zones),
        max_memory_mb=max(zone.max_memory_mb for zone in zones),
        max_disk_gb=max(zone.max_disk_gb for zone in zones),
        hosts=sum(zone.hosts for zone in zones),
        vcpus_used=sum(zone.vcpus_used for zone in zones),
        memory_mb_used=sum(zone.memory_mb_used for zone in zones),
        disk_gb_used=sum(zone.disk_gb_used for zone in zones),
    )
