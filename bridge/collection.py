"""Collects what a site carries for us and nothing refers to: flavor versions, copies of images, keypairs."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge.catalog import Catalog
from bridge.core import collector, flavor_digest, translate
from bridge.core.collector import Above, Needs
from bridge.core.inventory import Liveness
from bridge.edge.glance import Glance
from bridge.edge.nova_objects import unwrap
from bridge.flavor_watch import FlavorWatch
from bridge.flavors import SiteFlavors
from bridge.flight import Flights
from bridge.presence import Presence
from proto.errors import Refused, Unavailable
from proto.messages import Holding, Query, Reply, Rpc
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

AT_ONCE = 200  # things of one drop


@dataclass(frozen=True, slots=True)
class Times:
    """How often and how soon."""

    interval: float = 300.0  # s between two rounds
    image_keep: float = 7 * 86400.0  # s an unused copy of an image stays


class Collection:
    """One owned site. Only a site that answers is looked at, and it looks once more itself before it deletes."""

    def __init__(
        self,
        site: str,
        flavors: SiteFlavors,
        catalog: Catalog,
        watch: FlavorWatch,
        glance: Glance,
        flights: Flights,
        presence: Presence,
        times: Times,
    ) -> None:
        self._site = site
        self._flavors = flavors
        self._catalog = catalog
        self._watch = watch
        self._glance = glance
        self._flights = flights
        self._presence = presence
        self._times = times

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            await asyncio.sleep(self._times.interval)
            if self._presence.liveness is not Liveness.ONLINE:
                continue
            try:
                await self.round()
            except (Unavailable, Refused) as error:
                LOG.info("site=%s nothing is collected now: %s", self._site, error)

    async def round(self) -> list[Holding]:
        """Collect once and return what was dropped; Unavailable while something that must be asked is away.

        The flavors above must have been seen by this bridge: what it does not know it would take for deleted.
        """
        if not self._watch.looked:
            raise Unavailable("the flavors above were not seen yet")
        held = await self._holdings()
        for flavor_id, number in collector.taken_numbers(held, self._catalog.versions()).items():
            await self._catalog.raise_to(flavor_id, number)
        gone = {image for image in collector.images_to_look_up(held, self._needs()) if await self._glance.gone(image)}
        above = Above(self._catalog.versions(), gone, self._times.image_keep)
        now = time.time() + self._presence.clock_offset
        found = collector.unneeded(held, above, self._needs(), now)  # needs: as they are now, after the look-ups
        dropped = await self._drop([holding for holding, _ in found])
        reasons = {holding.site_id: reason for holding, reason in found}
        for one in dropped:
            LOG.info("site=%s dropped %s %s: %s", self._site, one.kind, one.site_id, reasons.get(one.site_id, ""))
        await self._forget_flavors(held, dropped)
        return dropped

    async def _holdings(self) -> list[Holding]:
        found: list[Holding] = []
        marker = ""
        while True:
            reply = await self._asked(Query(site=self._site, verb=QueryName.HOLDINGS, marker=marker))
            found += reply.holdings
            marker = reply.marker
            if not marker:
                return found

    async def _drop(self, holdings: Sequence[Holding]) -> list[Holding]:
        dropped: list[Holding] = []
        for first in range(0, len(holdings), AT_ONCE):
            query = Query(site=self._site, verb=QueryName.DROP, holdings=list(holdings[first : first + AT_ONCE]))
            dropped += (await self._asked(query)).holdings
        return dropped

    async def _asked(self, query: Query) -> Reply:
        reply = await self._flavors.ask(query)
        if reply.fault is not None:
            raise Refused(reply.fault.code, reply.fault.message)
        return reply

    async def _forget_flavors(self, held: Sequence[Holding], dropped: Sequence[Holding]) -> None:
        gone = {one.site_id for one in dropped}
        left = {one.source for one in held if one.site_id not in gone}
        versions = self._catalog.versions()
        for flavor_id in self._flavors.held() - left:
            record = versions.get(flavor_id)
            if record is None or not flavor_digest.is_above(record):
                await self._flavors.forget(flavor_id)

    def _needs(self) -> Needs:
        instances = [_instance(flight.rpc) for flight in self._flights.all()]
        specs = [unwrap(flight.rpc.args.get("request_spec") or {}) for flight in self._flights.all()]
        return Needs(
            flavors=frozenset(str(one["flavor"]["flavorid"]) for one in instances if one.get("flavor")),
            images=frozenset(str(one["image_ref"]) for one in instances if one.get("image_ref")) | self._snapshots(),
            keypairs=frozenset(str(pair["fingerprint"]) for one in instances for pair in one.get("keypairs") or []),
            groups=frozenset(group.group_id for spec in specs if (group := translate.server_group(spec))),
        )

    def _snapshots(self) -> frozenset[str]:
        """Images above that are on their way up."""
        return frozenset(str(one.rpc.args["image_id"]) for one in self._flights.all() if one.rpc.args.get("image_id"))


def _instance(rpc: Rpc) -> dict[str, Any]:
    instance: dict[str, Any] = unwrap(rpc.args.get("instance") or {})
    return instance
