"""`cascade site disable` and `enable`: keeps new servers away from a site; everything else goes on."""

import time

from bridge.core.records import SiteSpec
from bridge.operator import site_set
from bridge.operator.context import Context
from bridge.operator.site_view import one_site


async def disable(context: Context, site: str, reason: str) -> SiteSpec:
    """Drain a site until ``enable``; its hosts are disabled within seconds. May be repeated with another reason."""
    before = (await one_site(context, site)).spec
    since = before.drained_at if before.draining else time.time()
    return await site_set.change(context, site, {"draining": True, "drain_reason": reason, "drained_at": since})


async def enable(context: Context, site: str) -> SiteSpec:
    """End a drain; what an operator disabled in Nova stays so. May be repeated."""
    return await site_set.change(context, site, {"draining": False, "drain_reason": "", "drained_at": 0.0})
