"""`cascade flavor sync`: the bridges that own the sites do now what they would do soon, and this waits for it."""

import asyncio
from dataclasses import dataclass
from typing import Any

from bridge.core import flavor_digest, flavor_plan
from bridge.operator import flavor_view
from bridge.operator.context import Context
from proto import codec, subjects
from proto.errors import Unavailable
from proto.messages import Query, Reply
from proto.queries import QueryName

COLUMNS = ("site", "current", "behind", "failed", "collected", "trouble")
DEADLINE = 180.0  # s


@dataclass(frozen=True, slots=True)
class Result:
    """How a site is with the flavors after its sync."""

    site: str
    current: int
    behind: int
    failed: list[str]  # "flavor: why"
    collected: int  # things dropped in the site
    trouble: str | None  # why it was not brought to an end

    def row(self) -> dict[str, Any]:
        """Return its line."""
        return {column: getattr(self, column) for column in COLUMNS}


async def sync(context: Context, site: str | None) -> list[Result]:
    """Sync all sites or one; what cannot be done is told in its result."""
    sites = await flavor_view.site_names(await context.store(), site)
    return list(await asyncio.gather(*(_sync(context, name) for name in sites)))


async def _sync(context: Context, site: str) -> Result:
    road, store = await context.road(), await context.store()
    query = Query(site=site, verb=QueryName.FLAVOR_SYNC)
    trouble, dropped = None, []
    try:
        data = await road.request(subjects.order(site, query.verb), codec.encode(query), timeout=DEADLINE)
        reply = codec.decode(data, Reply)
        trouble, dropped = (reply.fault.message if reply.fault else None), reply.holdings
    except Unavailable as error:
        trouble = f"its bridge does not answer: {error}"
    versions, held = await flavor_view.versions(store), await flavor_view.site_flavors(store, site)
    left = flavor_plan.to_sync(site, versions, held)
    failed = [f"{one.flavor_id}: {one.why}" for one in left if one.action is flavor_plan.Action.RETRY]
    behind = sum(one.action is flavor_plan.Action.MAKE for one in left)
    above = sum(flavor_digest.is_above(record) for record in versions.values())
    return Result(site, above - behind - len(failed), behind, failed, len(dropped), trouble)
