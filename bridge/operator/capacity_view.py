"""`cascade capacity`: what each zone of each site holds, offers above, and fits of a flavor now, with its age."""

import time
from typing import Any

from bridge.core import inventory, keys
from bridge.core.inventory import LastStatus
from bridge.core.records import SiteSpec
from bridge.operator import flavor_view
from bridge.operator.context import Context
from proto import codec
from proto.errors import Misconfigured
from proto.messages import Capacity

_SIZES = ("vcpus", "memory_mb", "disk_gb")
COLUMNS = ("site", "zone", "state", "age_s", "hosts", *_SIZES, "largest_host", "offered", "classes", "fits")
STALE = 180.0  # s after which figures are called stale: three readings of the agent


async def rows(context: Context, flavor: str | None) -> list[dict[str, Any]]:
    """Return a line for each zone of each site. A silent site shows no figures: its last ones are not kept."""
    store = await context.store()
    wanted = await _flavor_id(context, flavor) if flavor else None
    found: list[dict[str, Any]] = []
    for site in await flavor_view.site_names(store, None):
        spec, alive = await store.get(keys.spec(site)), await store.get(keys.alive(site))
        if spec is None:
            continue
        status = codec.from_json(alive.value, LastStatus) if alive else None
        found += _site_rows(codec.from_json(spec.value, SiteSpec), status, wanted)
    return found


async def _flavor_id(context: Context, flavor: str) -> str:
    known = await flavor_view.versions(await context.store())
    named = [i for i, record in known.items() if record.definition is not None and record.definition.name == flavor]
    if flavor not in known and not named:
        raise Misconfigured(f"there is no flavor {flavor}; see `cascade flavor list`")
    return flavor if flavor in known else named[0]


def _site_rows(spec: SiteSpec, status: LastStatus | None, flavor: str | None) -> list[dict[str, Any]]:
    if status is None or time.time() - status.received_at > inventory.SILENT_AFTER:
        return [{"site": spec.site, "state": "silent"}]
    offers = inventory.offers(status, spec.hosts, spec.caps)
    zones = {host.site_availability_zone or "": host.host for host in spec.hosts}
    return [
        _row(spec.site, zone, status, capacity, offers.get(zones.get(zone, "")), flavor)
        for zone, capacity in sorted(status.capacity.items())
        if zone in zones or len(status.capacity) == 1
    ] or [{"site": spec.site, "state": "no figures", "age_s": None}]


def _row(
    site: str, zone: str, status: LastStatus, seen: Capacity, offer: inventory.Inventory | None, flavor: str | None
) -> dict[str, Any]:
    old = _age(status, seen)
    row: dict[str, Any] = {"site": site, "zone": zone or "(whole site)", "state": _state(status, old), "age_s": old}
    row |= {name: _amounts(getattr(seen, name), getattr(seen, f"{name}_used")) for name in _SIZES}
    row["hosts"] = seen.hosts
    row["largest_host"] = {"vcpus": seen.max_vcpus, "memory_mb": seen.max_memory_mb, "disk_gb": seen.max_disk_gb}
    row["offered"] = {name: inventory.usable(values) for name, values in (offer or {}).items()}
    row["classes"] = {name: _amounts(one.total, one.used) for name, one in sorted(seen.classes.items())}
    row["fits"] = dict(seen.fits) if flavor is None else seen.fits.get(flavor)
    return row


def _amounts(total: int, used: int) -> dict[str, int]:
    return {"total": total, "used": used, "free": max(0, total - used)}


def _state(status: LastStatus, old: int | None) -> str:
    if status.problem:
        return "trouble"
    return "current" if old is not None and old <= STALE else "stale"


def _age(status: LastStatus, seen: Capacity) -> int | None:
    """Seconds since the agent read them: what had passed when it spoke, by its clock, and since, by ours."""
    if not seen.measured_at:
        return None
    return max(0, round(status.sent_at - seen.measured_at + time.time() - status.received_at))
