"""`cascade site add --wait`: until Nova can schedule to the hosts of a new site."""

import asyncio
import time
from collections.abc import Callable

from bridge.operator.above import Above
from proto.errors import Unavailable
from proto.messages import SiteHost

INTERVAL = 2.0  # s between two looks

NOT_REGISTERED = "host {host} is not registered in Nova: does a bridge run? (`cascade site show` names the owner)"
NOT_MAPPED = (
    "host {host} is not mapped to its cell: set [scheduler] discover_hosts_in_cells_interval in nova.conf of the "
    "scheduler, or run `nova-manage cell_v2 discover_hosts`"
)
NOT_IN_ZONE = "host {host} is not in availability zone {zone} yet: see the bridge's log"


async def until_schedulable(above: Above, hosts: list[SiteHost], seconds: float, say: Callable[[str], None]) -> None:
    """Return once every host is registered, mapped and in its zone; Unavailable, naming what lacks, after ``seconds``.

    ``say`` is told whenever what is waited for changes.
    """
    give_up = time.monotonic() + seconds
    said = ""
    while obstacle := await _obstacle(above, hosts):
        if obstacle != said:
            say(obstacle)
            said = obstacle
        if time.monotonic() + INTERVAL > give_up:
            raise Unavailable(f"after {seconds:.0f} s: {obstacle}")
        await asyncio.sleep(INTERVAL)


async def _obstacle(above: Above, hosts: list[SiteHost]) -> str | None:
    """Return the first thing that keeps Nova from scheduling to the hosts, None if there is none."""
    try:
        for host in hosts:
            names = {"host": host.host, "zone": host.availability_zone}
            if not await above.nova.services(host.host):
                return NOT_REGISTERED.format(**names)
            if not await above.nova.mapped(host.host):
                return NOT_MAPPED.format(**names)
            if not await above.in_zone(host.host, host.availability_zone):
                return NOT_IN_ZONE.format(**names)
    except Unavailable as error:
        return str(error)
    return None
