"""`cascade image list`: which image is where, and how far those are that are on their way. Reads only."""

import asyncio
from typing import TYPE_CHECKING, Any

from bridge.operator.context import Context
from bridge.operator.output import age
from bridge.operator.site_view import SiteView, all_sites
from proto import codec, subjects
from proto.errors import Malformed, Misconfigured, Unavailable
from proto.messages import ImageTransfer, Query, Reply, SiteImage, TransferState
from proto.queries import QueryName

if TYPE_CHECKING:
    from proto.jetstream import JetStream

COLUMNS = ("image", "name", "site", "direction", "state", "percent", "size_mib", "mib_s", "age_s", "trouble")
ANSWER = 10.0  # s a site may take to say what it holds
MIB = 1024**2


async def rows(context: Context) -> list[dict[str, Any]]:
    """Return the lines of ``image list``, site by site: what is on its way, then what is there."""
    views = await all_sites(context)
    try:
        road = await context.road()
    except Misconfigured as error:  # what etcd knows is shown all the same
        return [row for view in views for row in [*_transfers(view), _untold(view, str(error))]]
    found = await asyncio.gather(*(_site(road, view) for view in views))
    return [row for of_site in found for row in of_site]


async def _site(road: "JetStream", view: SiteView) -> list[dict[str, Any]]:
    site = view.spec.site
    query = Query(site=site, verb=QueryName.IMAGES)
    try:
        data = await road.request(subjects.query(site, query.verb), codec.encode(query), ANSWER)
        reply = codec.decode(data, Reply)
    except (Unavailable, Malformed) as error:
        return [*_transfers(view), _untold(view, str(error))]
    if reply.fault is not None:
        return [*_transfers(view), _untold(view, reply.fault.message)]
    return [*_transfers(view), *(_held(site, image) for image in reply.images)]


def _transfers(view: SiteView) -> list[dict[str, Any]]:
    """What the site's last status told; it vanishes with the status when the site falls silent."""
    return [_moving(view.spec.site, transfer) for transfer in (view.status.transfers if view.status else [])]


def _moving(site: str, transfer: ImageTransfer) -> dict[str, Any]:
    return {
        "image": transfer.image_id,
        "name": transfer.name,
        "site": site,
        "direction": transfer.direction.value,
        "state": transfer.state.value,
        "percent": int(100 * transfer.carried / transfer.size) if transfer.size else 0,
        "size_mib": round(transfer.size / MIB, 1),
        "mib_s": round(transfer.rate / MIB, 1) if transfer.state is TransferState.CARRYING else None,
        "age_s": age(transfer.since),
        "trouble": transfer.trouble,
    }


def _held(site: str, image: SiteImage) -> dict[str, Any]:
    there = "taken here" if image.snapshot else "carried"
    return {
        "image": image.above,
        "name": image.name,
        "site": site,
        "state": there if image.status == "active" else image.status,
        "percent": 100 if image.status == "active" else None,
        "size_mib": round(image.size / MIB, 1),
        "age_s": age(image.created_at),
    }


def _untold(view: SiteView, why: str) -> dict[str, Any]:
    """A site that does not say what it holds."""
    return {"site": view.spec.site, "state": view.state.value, "age_s": view.status_age, "trouble": why}
