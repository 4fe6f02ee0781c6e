"""`cascade flavor list` and `plan`: the versions of flavors, and how far each site is with them. Reads only."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.core import flavor_digest, flavor_plan, keys
from bridge.core.records import FlavorVersion, SiteFlavor
from bridge.operator.context import Context
from proto import codec
from proto.errors import Misconfigured

if TYPE_CHECKING:
    from bridge.edge.etcd_store import EtcdStore

PLAN_COLUMNS = ("flavor", "site", "action", "why")


async def rows(context: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the lines of ``flavor list`` and its columns: one for each site."""
    store = await context.store()
    sites, known = await asyncio.gather(site_names(store, None), versions(store))
    held = dict(zip(sites, await asyncio.gather(*(site_flavors(store, site) for site in sites)), strict=True))
    shown = [
        {
            "flavor": flavor_id,
            "name": record.definition.name if record.definition else None,
            "version": None if record.deleted_at else record.version,
            **{site: _words(record, held[site].get(flavor_id)) for site in sites},
        }
        for flavor_id, record in sorted(known.items())
        if flavor_digest.is_above(record) or any(flavor_id in held[site] for site in sites)
    ]
    return shown, ["flavor", "name", "version", *sites]


async def plan(context: Context, site: str | None) -> list[dict[str, Any]]:
    """Return the lines of ``flavor plan``: what is above now against what was counted and what the sites have."""
    from bridge.edge.nova_api import NovaApi

    store = await context.store()
    sites, known = await asyncio.gather(site_names(store, site), versions(store))
    above = [flavor_digest.of_api(raw) for raw in await NovaApi(await context.cloud()).flavors()]
    changes = flavor_plan.to_count(known, above)
    following = _counted(known, {flavor.flavor_id: flavor for flavor in above})
    for name in sites:
        changes += flavor_plan.to_sync(name, following, await site_flavors(store, name))
    return [
        {"flavor": one.flavor_id, "site": one.site or None, "action": one.action.value, "why": one.why}
        for one in changes
    ]


async def versions(store: "EtcdStore") -> dict[str, FlavorVersion]:
    """Return the record of every flavor."""
    stored, _ = await store.list(keys.FLAVORS)
    return {one.key.removeprefix(keys.FLAVORS): codec.from_json(one.value, FlavorVersion) for one in stored}


async def site_flavors(store: "EtcdStore", site: str) -> dict[str, SiteFlavor]:
    """Return what a site has of the flavors."""
    prefix = keys.site_flavors(site)
    stored, _ = await store.list(prefix)
    return {one.key.removeprefix(prefix): codec.from_json(one.value, SiteFlavor) for one in stored}


async def site_names(store: "EtcdStore", site: str | None) -> list[str]:
    """Return every site, or the one; Misconfigured if there is none of that name."""
    if site is None:
        stored, _ = await store.list(keys.SITES)
        return sorted(name for one in stored if (name := keys.site_of_spec(one.key)))
    if not await store.get(keys.spec(site)):
        raise Misconfigured(f"there is no site {site}; see `cascade site list`")
    return [site]


def _counted(known: Mapping[str, FlavorVersion], above: Mapping[str, Any]) -> dict[str, FlavorVersion]:
    """Return the records as the next look above will leave them."""
    seen = {flavor_id: flavor_digest.seen(known.get(flavor_id), flavor) for flavor_id, flavor in above.items()}
    gone = {i: flavor_digest.gone(r, 1.0) for i, r in known.items() if i not in above and flavor_digest.is_above(r)}
    return {**known, **seen, **gone}


def _words(record: FlavorVersion, held: SiteFlavor | None) -> str:
    """Return "current", "behind (has 2)" or "failed (has 2): why"."""
    if not flavor_digest.is_above(record):
        return "deleted above"
    state = flavor_plan.state(record, held)
    if state is flavor_plan.State.CURRENT:
        return state.value
    has = f" (has {held.version})" if held is not None and held.version else ""
    return f"{state.value}{has}" + (f": {held.reason}" if held is not None and held.reason else "")
