"""Puts the healing of one owned site together: what looks, decides, acts, and takes an operator's orders."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from bridge.brake import Brake
from bridge.census import Census
from bridge.core import keys
from bridge.core.policies import Policies
from bridge.core.records import CensusFigures, SiteSpec
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.placement import Placement
from bridge.flight import Flights
from bridge.heal_orders import HealOrders
from bridge.healing import Healing
from bridge.instances import Instances, RecordStore
from bridge.lost_builds import LostBuilds
from bridge.lost_resizes import LostResizes
from bridge.owner import Ownership
from bridge.presence import Presence
from bridge.quarantine import Quarantine
from bridge.quarantine_orders import QuarantineOrders
from bridge.repairs import FailBuild, Repairs
from bridge.requests import Requests
from bridge.resizing import Resizing
from bridge.showing import Showing
from bridge.survey import Survey
from proto import codec
from proto.jetstream import JetStream
from proto.messages import Query, Reply
from proto.queries import QueryName
from proto.sealing import PublicKey

Orders = Mapping[str, Callable[[Query], Awaitable[Reply]]]


def healing_of(
    spec: SiteSpec,
    ownership: Ownership,
    *,
    store: RecordStore,
    road: JetStream,
    instances: Instances,
    flights: Flights,
    conductor: NovaConductor,
    placement: Placement,
    presence: Presence,
    resizing: Resizing,
    fail_build: FailBuild,
    key: PublicKey,
    reclaim_interval: int,
) -> tuple[Healing, Orders]:
    """Return the healing of a site, not running yet, and the orders about it by verb.

    ``key``: the bridges' own; ``reclaim_interval``: s that a soft-deleted instance is kept, 0 = for ever.
    """
    hosts = [entry.host for entry in spec.hosts]
    policies = Policies.of(spec, reclaim_interval)
    tell = partial(_tell, ownership, store)
    survey = Survey(hosts, instances, conductor, Census(spec.site, road, instances, tell))
    quarantine = Quarantine(ownership, store, road)
    requests = Requests(spec.site, road, conductor, survey, key, reclaim_interval)
    showing = Showing(spec.site, instances, conductor, quarantine)
    lost_resizes = LostResizes(hosts[0], conductor, resizing, showing)
    repairs = Repairs(
        spec.site, hosts[0], road, instances, flights, quarantine, requests, showing, lost_resizes, policies, fail_build
    )
    lost_builds = LostBuilds(hosts, instances, conductor, placement, presence, repairs, fail_build)
    brake = Brake(ownership, store)
    healing = Healing(spec.site, policies, instances, presence, survey, repairs, quarantine, lost_builds, brake)
    heal = HealOrders(healing, brake)
    fate = QuarantineOrders(spec.hosts, quarantine, instances, conductor, presence, repairs)
    return healing, {
        QueryName.HEAL: heal.heal,
        QueryName.HEAL_APPROVE: heal.approve,
        QueryName.QUARANTINE_ADOPT: fate.adopt,
        QueryName.QUARANTINE_RETURN: fate.give_back,
        QueryName.QUARANTINE_PURGE: fate.purge,
    }


async def _tell(ownership: Ownership, store: RecordStore, figures: CensusFigures) -> None:
    """Show how a census went where `cascade site show` finds it."""
    ownership.check()
    await store.put(keys.census(ownership.site), codec.to_json(figures), guard=ownership.guard)
