"""Ends evacuations from a site that is back, as Nova's own host does when it starts: allocations and migrations."""

import asyncio
import logging

from bridge.edge.nova_conductor import NovaConductor, admin_context
from bridge.edge.placement import Placement
from bridge.presence import Presence
from proto.errors import CascadeError, Unavailable

LOG = logging.getLogger(__name__)

LOOK = 300.0  # s between two looks: an operator must have given the site up between two evacuations
SOON = 5.0  # s until the next, while the site may not be asked about


class Evacuated:
    """One owned site. The old servers are healing's: rows of ARCHITECTURE 8."""

    def __init__(self, hosts: list[str], conductor: NovaConductor, placement: Placement, presence: Presence) -> None:
        self._hosts = hosts
        self._conductor = conductor
        self._placement = placement
        self._presence = presence

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            looked = True
            for host in self._hosts:
                try:
                    looked = await self._look(host) and looked
                except Unavailable as error:
                    LOG.info("host=%s evacuations from it are ended later: %s", host, error)
                    looked = False
                except CascadeError:
                    LOG.exception("host=%s evacuations from it", host)
            await asyncio.sleep(LOOK if looked else SOON)

    async def _look(self, host: str) -> bool:
        """Nova 34, compute/manager.py _destroy_evacuated_instances; may be repeated. False: look again soon.

        As soon as the site speaks: before that is done, Nova lets nobody say that the host is up again.
        """
        if not self._presence.speaks:
            return False
        provider = self._presence.node_of(host).provider
        for migration in await self._conductor.evacuations_from(host):
            await self._placement.remove_allocation(migration["instance_uuid"], provider)
            await self._conductor.save_migration(admin_context(), migration["id"], {"status": "completed"})
            LOG.info("host=%s instance=%s was evacuated: its allocation here is gone", host, migration["instance_uuid"])
        return not self._presence.forced_down().get(host, True)
