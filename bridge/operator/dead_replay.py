"""`cascade dead replay` and `drop`: a letter is carried out after all by the bridge that owns its site, or goes."""

import getpass

from bridge.core import keys
from bridge.operator import dead_view
from bridge.operator.context import Context
from proto import codec, streams, subjects
from proto.errors import Misconfigured, Unavailable
from proto.messages import Query, Reply
from proto.queries import QueryName

DEADLINE = 60.0  # s


async def replay(context: Context, number: int) -> str:
    """Have a letter carried out and return what comes of it; Misconfigured or Unavailable with the reason if not.

    May be repeated: a letter that was stored anew and not yet removed is taken for the same.
    """
    road, store = await context.road(), await context.store()
    site = (await dead_view.one(road, number)).site
    if not await store.get(keys.spec(site)):
        raise Misconfigured(f"site {site} is gone: its letters can only be dropped (`cascade dead drop {number}`)")
    if not await store.get(keys.owner(site)):
        raise Unavailable(f"no bridge works for site {site} now: start one and repeat the command")
    query = Query(site=site, verb=QueryName.DEAD_REPLAY, marker=str(number), asked_by=getpass.getuser())
    data = await road.request(subjects.order(site, query.verb), codec.encode(query), timeout=DEADLINE)
    reply = codec.decode(data, Reply)
    if reply.fault is not None:
        raise Misconfigured(f"dead letter {number} is not replayed: {reply.fault.message}")
    return reply.text


async def drop(context: Context, number: int) -> None:
    """Remove a letter for good; Misconfigured if there is none of that number."""
    if not await (await context.road()).delete_stored(streams.DEAD.name, number):
        raise Misconfigured(f"there is no dead letter {number}; see `cascade dead list`")
