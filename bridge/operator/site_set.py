"""`cascade site set`: changes what the operator says of a site. Its bridge takes the site over anew with it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.core import keys
from bridge.core.records import SiteSpec
from bridge.operator.context import Context
from proto import codec
from proto.errors import Misconfigured


async def change(
    context: Context, site: str, fields: Mapping[str, Any], networks: Mapping[str, str] | None = None
) -> SiteSpec:
    """Replace fields of a site's spec and return it; Misconfigured if there is no such site. May be repeated.

    ``networks`` goes on top of the networks mapped so far; an empty name takes one out.
    """
    from bridge.edge.etcd_store import Conflict

    store = await context.store()
    while True:
        stored = await store.get(keys.spec(site))
        if stored is None:
            raise Misconfigured(f"there is no site {site}; see `cascade site list`")
        before = codec.from_json(stored.value, SiteSpec)
        mapped = {above: here for above, here in {**before.networks, **(networks or {})}.items() if here}
        after = msgspec.structs.replace(before, **fields, networks=mapped)
        if after == before:
            return before
        try:
            await store.put(keys.spec(site), codec.to_json(after), expected=stored.revision)
        except Conflict:
            continue  # somebody else changed it just now: on top of that
        return after
