"""`cascade instance list` and `show`: the records as they are in etcd. Reads only."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.core import keys
from bridge.core.records import InstanceRecord
from bridge.operator.context import Context
from bridge.operator.output import age
from proto import codec
from proto.errors import Misconfigured

if TYPE_CHECKING:
    from bridge.edge.etcd_store import EtcdStore

COLUMNS = (
    "uuid",
    "site",
    "generation",
    "observed",
    "pending",
    "vm_state",
    "seen_s_ago",
    "attempt",
    "trouble",
    "deleted",
)


async def rows(context: Context, site: str | None) -> list[dict[str, Any]]:
    """Return the lines of ``instance list``."""
    store = await context.store()
    found = []
    for name in await sites_named(store, site):
        stored, _ = await store.list(keys.instances(name))
        found += [_row(name, codec.from_json(one.value, InstanceRecord)) for one in stored]
    return found


async def fields(context: Context, uuid: str) -> dict[str, Any]:
    """Return the whole record of an instance; Misconfigured if no site has one."""
    store = await context.store()
    for site in await sites_named(store, None):
        stored = await store.get(keys.instance(site, uuid))
        if stored:
            record = codec.from_json(stored.value, InstanceRecord)
            return {"site": site, **msgspec.to_builtins(record), "revision": stored.revision}
    raise Misconfigured(f"no site has a record of instance {uuid}")


async def sites_named(store: "EtcdStore", site: str | None) -> Iterable[str]:
    """Return the name that was given, or all sites; Misconfigured if there is no such site."""
    if site is None:
        stored, _ = await store.list(keys.SITES)
        return sorted(name for one in stored if (name := keys.site_of_spec(one.key)))
    if not await store.get(keys.spec(site)):
        raise Misconfigured(f"there is no site {site}; see `cascade site list`")
    return [site]


def _row(site: str, record: InstanceRecord) -> dict[str, Any]:
    return {
        "uuid": record.uuid,
        "site": site,
        "generation": record.generation,
        "observed": record.observed_generation,
        "pending": record.pending.verb.value if record.pending else None,
        "vm_state": record.vm_state,
        "seen_s_ago": age(record.seen_at),
        "attempt": record.attempt,
        "trouble": record.trouble,
        "deleted": record.deleted_at is not None,
    }
