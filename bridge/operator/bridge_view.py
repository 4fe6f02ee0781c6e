"""`cascade bridge list`: the bridges that live, and the sites each works for."""

from typing import Any

from bridge.core import keys
from bridge.core.records import LiveBridge, Owner
from bridge.operator.context import Context
from bridge.operator.output import age
from proto import codec

COLUMNS = ("name", "lease", "up_s", "sites", "site_names", "taken", "given", "lost")


async def rows(context: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the live bridges by name, and the sites that none works for.

    A bridge of a release that does not announce itself is known by its sites alone.
    """
    store = await context.store()
    announced, _ = await store.list(keys.BRIDGES)
    stored, _ = await store.list(keys.SITES)
    owners = {site: one for one in stored if (site := keys.site_of_owner(one.key)) is not None}
    bridges = {one.lease: codec.from_json(one.value, LiveBridge) for one in announced}
    for one in owners.values():
        if one.lease not in bridges:
            owner = codec.from_json(one.value, Owner)
            bridges[one.lease] = LiveBridge(owner.bridge, owner.since)
    found = [
        _row(lease, bridge, sorted(site for site, one in owners.items() if one.lease == lease))
        for lease, bridge in bridges.items()
    ]
    sites = {site for one in stored if (site := keys.site_of_spec(one.key)) is not None}
    return sorted(found, key=lambda row: (row["name"], row["lease"])), sorted(sites - owners.keys())


def _row(lease: int, bridge: LiveBridge, sites: list[str]) -> dict[str, Any]:
    return {
        "name": bridge.bridge,
        "lease": f"{lease:x}",
        "up_s": age(bridge.since),
        "sites": len(sites),
        "site_names": sites,
        "taken": bridge.taken,
        "given": bridge.given,
        "lost": bridge.lost,
    }
