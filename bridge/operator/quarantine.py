"""`cascade quarantine`: the servers that an operator has to decide about, and what he decides."""

from typing import Any

import msgspec

from bridge.core import keys
from bridge.core.records import Quarantined
from bridge.operator.context import Context
from bridge.operator.instance_view import sites_named
from bridge.operator.ordering import order
from bridge.operator.output import age
from proto import codec
from proto.errors import Misconfigured
from proto.queries import QueryName

COLUMNS = ("uuid", "site", "server", "state", "held_for_s", "why", "purging")
ORDERS = {
    "adopt": QueryName.QUARANTINE_ADOPT,
    "return": QueryName.QUARANTINE_RETURN,
    "purge": QueryName.QUARANTINE_PURGE,
}
DEADLINE = 90.0  # s


async def rows(context: Context, site: str | None) -> list[dict[str, Any]]:
    """Return the lines of ``quarantine list``."""
    return [_row(name, entry) for name, entry in await _entries(context, site)]


async def fields(context: Context, name: str, site: str | None) -> dict[str, Any]:
    """Return all that is known of one server."""
    where, entry = await _one(context, name, site)
    return {"site": where, **msgspec.to_builtins(entry)}


async def decide(context: Context, what: str, name: str, site: str | None) -> str:
    """Have a server adopted, returned or purged, and return what its site says of it."""
    where, entry = await _one(context, name, site)
    reply = await order(context, where, ORDERS[what], DEADLINE, server_id=entry.server.server_id)
    return f"{where}: {reply.text}"


async def _one(context: Context, name: str, site: str | None) -> tuple[str, Quarantined]:
    """Return the only server of that instance, or of that id in its site."""
    found = [one for one in await _entries(context, site) if name in (one[1].uuid, one[1].server.server_id)]
    if not found:
        raise Misconfigured(f"no server of {name} is in quarantine; see `cascade quarantine list`")
    if len(found) > 1:
        places = ", ".join(f"{entry.server.server_id} in {where}" for where, entry in found)
        raise Misconfigured(f"{name} has several servers in quarantine, name one by its id: {places}")
    return found[0]


async def _entries(context: Context, site: str | None) -> list[tuple[str, Quarantined]]:
    store = await context.store()
    found = []
    for name in await sites_named(store, site):
        stored, _ = await store.list(keys.quarantine(name))
        found += [(name, codec.from_json(one.value, Quarantined)) for one in stored]
    return found


def _row(site: str, entry: Quarantined) -> dict[str, Any]:
    return {
        "uuid": entry.uuid,
        "site": site,
        "server": entry.server.server_id,
        "state": entry.server.vm_state,
        "held_for_s": age(entry.since),
        "why": entry.why,
        "purging": entry.purged_at is not None,
    }
