"""The two programs as their __main__ wires them, on edges that are fakes: each runs until its process is killed."""

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.__main__ import site_of
from bridge.catalog import Catalog
from bridge.core.notices import ActionEvent
from bridge.core.records import SiteSpec
from bridge.flavor_watch import FlavorWatch
from bridge.heartbeats import Heartbeats
from bridge.intake import Intake
from bridge.noticed import ServerWatch
from bridge.notifications import Telling
from bridge.owner import Ownership, share_sites
from bridge.site import Edges, Site
from proto import streams
from proto.jetstream import JetStream
from proto.messages import Bundle
from proto.operations import Lane
from proto.sealing import PrivateKey
from proto.transfer import Transfers
from site_agent import queries, site
from site_agent.executor import Executor
from site_agent.heartbeat import Heartbeat
from site_agent.observer import Observer, Pace
from tests.fakes.conductor import FakeConductor
from tests.fakes.etcd import FakeEtcdStore
from tests.fakes.flavors import FakeFlavors
from tests.fakes.glance import FakeGlance
from tests.fakes.neutron import FakeNeutron
from tests.fakes.placement import FakePlacement
from tests.fakes.process import Edge, Process
from tests.fakes.rabbit import FakeRabbit
from tests.fakes.servers import FakeServers
from tests.fakes.spool import Disk, FakeSpool
from tests.scenario.telling import Teller, point

PACE = Pace(fast=0.6, slow=2.0, overlap=4.0, resync=600.0)
SLOTS = 8
TTL = 15  # s
RECLAIM = 3600  # s that a soft-deleted instance is kept


class Above:
    """The cascading cloud and the middle: everything a bridge talks to."""

    def __init__(self, rabbit: FakeRabbit, conductor: FakeConductor, teller: Teller, key: PrivateKey) -> None:
        self.rabbit = rabbit
        self.conductor = conductor
        self.neutron = FakeNeutron()
        self.glance = FakeGlance()
        self.placement = FakePlacement()
        self.flavors = FakeFlavors()
        self.servers = FakeServers(conductor)
        self.teller = teller
        self.key = key
        self.disk = Disk("above")  # of the machine that the bridges run on
        self.telling: Telling | None = None


async def bridge(process: Process, above: Above, store: FakeEtcdStore, road: JetStream) -> None:
    """Run a bridge; bridge/__main__.py is what it stands for."""
    intake = Intake(road, above.key.public(), site_of)
    conductor: Any = ConductorEdge(process, above.conductor, point("conductor"), above.teller.conductor)
    catalog = Catalog(store)
    edges = Edges(
        road=road,
        store=StoreEdge(process, store, point("etcd"), above.teller.store),  # type: ignore[arg-type]
        rpc=above.rabbit.client(process, intake.store),  # type: ignore[arg-type]
        intake=intake,
        conductor=conductor,
        placement=Edge(process, above.placement, point("placement")),  # type: ignore[arg-type]
        nova_api=conductor,
        neutron=Edge(process, above.neutron, point("neutron")),  # type: ignore[arg-type]
        glance=Edge(process, above.glance, point("glance")),  # type: ignore[arg-type]
        heartbeats=Heartbeats(conductor),
        catalog=catalog,
        flavor_watch=FlavorWatch(Edge(process, above.flavors, point("nova")), catalog),  # type: ignore[arg-type]
        server_watch=ServerWatch(Edge(process, above.servers, point("nova"))),  # type: ignore[arg-type]
        key=above.key,
        spool=FakeSpool(above.disk),  # type: ignore[arg-type]
        telling=above.telling,
        reclaim_interval=RECLAIM,
    )
    await road.ensure_stream(streams.DEAD)

    async def run_site(spec: SiteSpec, ownership: Ownership) -> None:
        await Site(spec, ownership, edges).run()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(edges.heartbeats.run())
        tasks.create_task(catalog.follow())
        tasks.create_task(edges.flavor_watch.run())
        tasks.create_task(edges.server_watch.run())
        tasks.create_task(share_sites(edges.store, process.name, run_site))


class ConductorEdge(Edge):
    """nova-conductor as one bridge sees it; ``telling`` as NovaConductor's."""

    def telling(self, heard: Callable[[ActionEvent], None]) -> Edge:
        """Have action events told as well."""

        def said(process: Process, method: str, args: Any, kwargs: Any, result: Any) -> None:
            above = self._said
            if above is not None:
                above(process, method, args, kwargs, result)
            if method in ("event_start", "event_finish"):
                context, uuid, name, *host = args
                began = method == "event_start"
                heard(ActionEvent(context, uuid, name, host[0] if host else None, began, kwargs.get("error")))

        told = Edge(self._process, self._outside, self._describe, said)
        told.tell = lambda *args, **kwargs: heard(ActionEvent(*args, **kwargs))  # type: ignore[attr-defined]
        return told


class StoreEdge(Edge):
    """etcd as one bridge sees it: when it dies, its leases run out."""

    def __getattr__(self, name: str) -> Any:
        if name != "grant":
            return super().__getattr__(name)

        async def grant(ttl: int, *, kept: bool = True) -> Any:
            lease = await self._outside.grant(ttl, kept=kept)
            if kept:
                self._process.on_silence.append((ttl, lease.expire))
            return LeaseEdge(self._process, lease, point("etcd"))

        return grant


class LeaseEdge(Edge):
    """A lease as one bridge sees it: without etcd nobody confirms it."""

    def __getattr__(self, name: str) -> Any:
        if name != "confirmed_at":
            return super().__getattr__(name)
        if "etcd" not in self._process.lost:
            self.confirmed = self._outside.confirmed_at
        return self.confirmed


async def agent(bundle: Bundle, cloud: Any, road: JetStream, disk: Disk) -> None:
    """Run an agent; site_agent/__main__.py is what it stands for."""
    spool: Any = FakeSpool(disk)
    here = site.make(bundle, PrivateKey(bundle.sealing_key), cloud, road, Transfers(spool, 2))
    executor = Executor(here, SLOTS)
    await queries.serve(here)
    heartbeat = Heartbeat(here, lambda: executor.busy, status_interval=5.0, capacity_interval=60.0)
    async with asyncio.TaskGroup() as tasks:
        for lane in Lane:
            tasks.create_task(executor.pull(lane))
        tasks.create_task(here.epoch.run())
        tasks.create_task(Observer(here, PACE, lambda: executor.busy).run())
        tasks.create_task(heartbeat.beat())
        tasks.create_task(heartbeat.measure())
