"""A round of collection: what the site holds is judged by what is above and under way, then dropped by the site."""

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.collection import Collection, Times
from bridge.core import flavor_digest
from bridge.flight import Flight, Flights
from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Fault, Holding, HoldingKind, Query, Reply, Rpc
from tests.fakes.messages import FLAVOR

F = FLAVOR.flavor_id
RECORD = flavor_digest.seen(None, FLAVOR)
OLD = Holding(HoldingKind.FLAVOR, "old", F, 0, unused_since=1.0)
GONE = Holding(HoldingKind.FLAVOR, "gone", "deleted", 3, unused_since=1.0)
IMAGE = Holding(HoldingKind.IMAGE, "image-here", "image", unused_since=9e9)
KEY = Holding(HoldingKind.KEYPAIR, "key", "aa:bb", unused_since=1.0)


class Site:
    """A site's agent, and what the bridge keeps of its flavors."""

    def __init__(self, *holdings: Holding) -> None:
        self.holdings = list(holdings)
        self.kept = {F, "deleted"}
        self.fault: Fault | None = None

    async def ask(self, query: Query) -> Reply:
        if self.fault:
            return Reply(fault=self.fault)
        if query.verb == "holdings":  # a page each
            page = [one for one in self.holdings if one.site_id > query.marker][:1]
            return Reply(holdings=page, marker=page[0].site_id if page else "")
        self.holdings = [one for one in self.holdings if one not in query.holdings]
        return Reply(holdings=query.holdings)

    def held(self) -> frozenset[str]:
        return frozenset(self.kept)

    async def forget(self, flavor_id: str) -> None:
        self.kept.discard(flavor_id)


def collection(site: Site, flights: Flights | None = None, *, looked: bool = True) -> Collection:
    async def gone(image_id: str) -> bool:
        return True

    async def raise_to(flavor_id: str, number: int) -> None:
        raise AssertionError

    versions = {F: RECORD, "deleted": flavor_digest.gone(flavor_digest.beyond(RECORD, 2), 1.0)}
    catalog: Any = SimpleNamespace(versions=lambda: versions, raise_to=raise_to)
    watch: Any = SimpleNamespace(looked=looked)
    glance: Any = SimpleNamespace(gone=gone)
    presence: Any = SimpleNamespace(clock_offset=0.0)
    flavors: Any = site
    return Collection("paris", flavors, catalog, watch, glance, flights or Flights(), presence, Times())


def flying(**instance: Any) -> Flights:
    flights = Flights()
    flights.begin(Flight(Rpc("r", "paris", "build_and_run_instance", "u", {}, {"instance": instance}, 0.0)))
    return flights


async def test_what_nothing_needs_is_dropped_and_forgotten() -> None:
    site = Site(GONE, IMAGE, KEY, OLD)
    assert {one.site_id for one in await collection(site).round()} == {"gone", "image-here", "key", "old"}
    assert site.holdings == [] and site.kept == {F}


async def test_what_a_boot_under_way_names_stays() -> None:
    site = Site(GONE, IMAGE, KEY, OLD)
    keypairs = [{"name": "k", "fingerprint": "aa:bb"}]
    flights = flying(flavor={"flavorid": F}, image_ref="image", keypairs=keypairs)
    assert [one.site_id for one in await collection(site, flights).round()] == ["gone"]


async def test_an_rpc_without_an_instance_or_with_half_of_one_names_nothing() -> None:
    site = Site(GONE)
    assert await collection(site, flying(flavor=None, image_ref="", keypairs=None)).round() == [GONE]


async def test_nothing_is_collected_before_the_flavors_above_were_seen() -> None:
    with pytest.raises(Unavailable):
        await collection(Site(GONE), looked=False).round()


async def test_an_agent_that_cannot_list_keeps_all() -> None:
    site = Site(GONE)
    site.fault = Fault(FaultCode.UNSUPPORTED, "an older agent")
    with pytest.raises(Refused, match="older"):
        await collection(site).round()
    assert site.kept == {F, "deleted"}
