"""What one owned site runs: its streams, its hosts above, and one TaskGroup of named tasks."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bridge.addresses import Addresses
from bridge.asks import Asks
from bridge.auto_confirm import AutoConfirm
from bridge.awaited import AwaitedCalls
from bridge.boot import Boot
from bridge.calls import Calls
from bridge.cards import Cards
from bridge.catalog import Catalog
from bridge.changes import Changes
from bridge.collection import Collection, Times
from bridge.commands import Commands
from bridge.core.records import SiteSpec
from bridge.creation import Creation
from bridge.dead_letters import DeadLetters
from bridge.edge.etcd_store import Conflict, EtcdStore, OwnershipLost
from bridge.edge.glance import Glance
from bridge.edge.neutron import Neutron
from bridge.edge.nova_api import NovaApi
from bridge.edge.nova_audit import NovaAudit
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_rpc import NovaRpc
from bridge.edge.placement import Placement
from bridge.evacuated import Evacuated
from bridge.evacuation import Evacuation
from bridge.flavor_watch import FlavorWatch
from bridge.flavors import SiteFlavors
from bridge.flight import Flights
from bridge.healing_parts import healing_of
from bridge.heartbeats import Heartbeats
from bridge.image_upload import ImageUploads
from bridge.instances import Instances
from bridge.intake import Intake
from bridge.interfaces import Interfaces
from bridge.kept_ports import KeptPorts
from bridge.lives import Lives
from bridge.network_info import NetworkInfo
from bridge.networks import Networks
from bridge.noticed import Noticed, ServerWatch
from bridge.notifications import Notifications, Telling
from bridge.observations import Observations
from bridge.operations import Operations
from bridge.orders import Orders
from bridge.owner import Ownership
from bridge.pace import Pace
from bridge.presence import Presence
from bridge.publisher import Publisher
from bridge.removal import Removal
from bridge.resizing import Resizing
from bridge.shelving import Shelving
from bridge.snapshots import Snapshots
from bridge.stages import Stages
from bridge.stream_watch import StreamWatch
from bridge.unshelving import Unshelving
from bridge.usage_audit import UsageAudit
from proto import codec, streams, subjects
from proto.errors import Malformed, Unavailable
from proto.jetstream import JetStream, Pull
from proto.messages import Query, Reply, SiteStatus
from proto.operations import Lane
from proto.queries import QueryName
from proto.sealing import PrivateKey, PublicKey
from proto.spool import Spool
from proto.streams import Durable

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Edges:
    """Everything outside, made once per process and shared by its sites."""

    road: JetStream
    store: EtcdStore
    rpc: NovaRpc
    intake: Intake
    conductor: NovaConductor
    placement: Placement
    nova_api: NovaApi
    neutron: Neutron
    glance: Glance
    heartbeats: Heartbeats
    catalog: Catalog
    flavor_watch: FlavorWatch
    server_watch: ServerWatch
    key: PrivateKey
    spool: Spool
    networks_in_several_sites: bool = True
    times: Times = field(default_factory=Times)
    reclaim_interval: int = 0  # s
    resize_confirm_window: int = 0  # s; 0 = resizes wait for their tenants
    telling: Telling | None = None  # None: no notifications


class Site:
    """One ownership of one site, from take-over to loss."""

    def __init__(self, spec: SiteSpec, ownership: Ownership, edges: Edges) -> None:
        self._spec = spec
        self._edges = edges
        self._ownership = ownership
        flights = Flights()
        self._notifications: Notifications | None = None
        if edges.telling is not None:
            self._notifications = Notifications(edges.conductor, edges.glance, flights, edges.telling)
            edges = dataclasses.replace(edges, conductor=edges.conductor.telling(self._notifications.heard))
        self.presence = Presence(
            spec,
            conductor=edges.conductor,
            placement=edges.placement,
            nova_api=edges.nova_api,
            store=edges.store,
            heartbeats=edges.heartbeats,
            guard=ownership.guard,
        )
        awaited = AwaitedCalls(spec.site, edges.intake, self.presence, edges.conductor)
        resizing = Resizing(edges.conductor, edges.placement, edges.catalog, self.presence)
        self.calls = Calls(spec.site, edges.road, self.presence, awaited, resizing)
        self._instances = Instances(ownership, edges.store)
        hosts = [entry.host for entry in spec.hosts]
        publisher = Publisher(ownership, spec.epoch, edges.road, self._instances, lambda: self.presence.clock_offset)
        addresses = Addresses(spec.site, hosts, edges.neutron)
        self._networks = Networks(
            spec.site, hosts, spec.networks, edges.networks_in_several_sites, edges.neutron, addresses, edges.road
        )
        cards = Cards(edges.neutron, addresses, self._networks)
        boot = Boot(
            spec.site,
            spec.hosts,
            edges.conductor,
            cards,
            edges.glance,
            edges.placement,
            self.presence,
            edges.catalog,
            edges.key,
            PublicKey(spec.sealing_public_key),
        )
        removal = Removal(edges.conductor, edges.neutron, addresses, self._networks, edges.placement)
        network_info = NetworkInfo(edges.conductor, edges.neutron, self._networks)
        interfaces = Interfaces(edges.conductor, edges.neutron, cards, network_info)
        pace = Pace(spec.image_rate * 1024**2)
        uploads = ImageUploads(spec.site, edges.road, edges.glance, edges.spool, pace)
        self.presence.uploads = uploads.shown
        snapshots = Snapshots(ownership, self._instances, edges.conductor, uploads)
        shelving = Shelving(
            spec.site, edges.road, edges.conductor, snapshots, uploads, edges.glance, cards, edges.placement
        )
        kept_ports = KeptPorts(edges.conductor, edges.neutron, cards)
        unshelving = Unshelving(edges.conductor, boot, cards, kept_ports, edges.placement, self.presence, shelving)
        evacuation = Evacuation(
            spec.site, edges.road, edges.conductor, boot, cards, kept_ports, edges.placement, self.presence
        )
        changes = Changes(
            edges.conductor,
            edges.glance,
            resizing,
            interfaces,
            snapshots,
            shelving,
            edges.key,
            PublicKey(spec.sealing_public_key),
        )
        self._lives = Lives(spec, ownership, edges.store, self.presence)
        self._evacuated = Evacuated(hosts, edges.conductor, edges.placement, self.presence)
        stages = Stages(spec, self._instances, publisher, edges.conductor)
        creation = Creation(ownership, self._instances, publisher, stages, boot, unshelving, evacuation, removal)
        operations = Operations(
            ownership,
            self._instances,
            publisher,
            edges.conductor,
            stages,
            creation,
            removal,
            network_info,
            changes,
            awaited,
        )
        self._commands = Commands(ownership, edges.road, self._instances, flights, stages, operations, changes, awaited)
        self._observations = Observations(
            ownership,
            edges.road,
            self._instances,
            flights,
            publisher,
            edges.conductor,
            hosts,
            hurry=lambda: self._healing.hurry(),
            enforces=spec.drift == "enforce",
        )
        self._asks = Asks(spec.site, spec.epoch, edges.glance, self._instances, flights, pace)
        self._flavors = SiteFlavors(ownership, edges.store, edges.road, edges.catalog, self.presence)
        self._collection = Collection(
            spec.site,
            self._flavors,
            edges.catalog,
            edges.flavor_watch,
            edges.glance,
            flights,
            self.presence,
            edges.times,
        )
        self._auto_confirm = AutoConfirm(
            hosts, edges.conductor, edges.nova_api, self.presence, edges.resize_confirm_window
        )
        self._noticed = Noticed(spec.site, hosts, edges.server_watch, edges.road)
        self._healing, orders = healing_of(
            spec,
            ownership,
            store=edges.store,
            road=edges.road,
            instances=self._instances,
            flights=flights,
            conductor=edges.conductor,
            placement=edges.placement,
            presence=self.presence,
            resizing=resizing,
            fail_build=creation.fail_lost,
            key=edges.key.public(),
            reclaim_interval=edges.reclaim_interval,
        )
        dead = DeadLetters(ownership, spec.epoch, hosts, edges.road, self._instances, edges.conductor)
        orders = {**orders, QueryName.FLAVOR_SYNC: self._sync_flavors, QueryName.DEAD_REPLAY: dead.replay}
        self._orders = Orders(spec.site, orders)

    async def run(self) -> None:
        """Take the site over and work until cancelled; any error ends it, and the owner starts it again."""
        hosts = [entry.host for entry in self._spec.hosts]
        intake, events = await self._take_over()
        await self._instances.load()
        await self._edges.rpc.serve(hosts)  # before Nova can see the hosts: a cast without a queue is lost
        try:
            async with self._listening(), asyncio.TaskGroup() as tasks:
                for name, work in (
                    ("presence", self.presence.run()),
                    ("commands", self._commands.run(intake)),
                    ("lives", self._lives.run()),
                    ("evacuated", self._evacuated.run()),
                    ("observations", self._observations.run(events)),
                    ("healing", self._healing.run()),
                    ("streams", StreamWatch(self._spec.site, self._edges.road, self._durables()).run()),
                    ("networks", self._networks.run()),
                    ("names", self._noticed.run()),
                    ("flavors", self._flavors.run()),
                    ("collection", self._collection.run()),
                    ("auto-confirm", self._auto_confirm.run()),
                    ("usage audit", self._audit_usage(hosts)),
                ):
                    tasks.create_task(work, name=f"{name} {self._spec.site}")
        except BaseExceptionGroup as group:
            lost, others = group.split((OwnershipLost, Conflict))
            if lost is not None and others is None:
                raise OwnershipLost(f"site {self._spec.site} may be another bridge's by now") from None
            away, others = group.split(Unavailable)
            if away is not None and others is None:
                raise Unavailable(str(_first(away))) from None
            raise
        finally:
            await self._edges.rpc.forget(hosts)
            await intake.close()
            await events.close()
            if self._notifications is not None:
                await self._notifications.close()

    async def _take_over(self) -> tuple[Pull, Pull]:
        """Make the site's streams and consumers exist; deleting older owners' durables returns what they had taken."""
        road, site = self._edges.road, self._spec.site
        for stream in streams.of_site(site):
            await road.ensure_stream(stream)
        await road.ensure_stream(streams.DEAD)
        for durable in self._durables()[2:]:
            await road.ensure_durable(durable)
        if self._spec.given_up:  # what was sent to its former life; what goes on for other hosts is sent again
            await road.purge(streams.commands(site).name, subjects.commands_of_site(site))
        pulls: list[Pull] = []
        for durable in self._durables()[:2]:
            await road.delete_durables(durable.stream, streams.bridge_durable_prefix(site))
            await road.ensure_durable(durable)
            pulls.append(await road.pull(durable))
        LOG.info("site=%s taken over, revision %d", site, self._ownership.revision)
        return pulls[0], pulls[1]

    def _durables(self) -> list[Durable]:
        """Return what INTAKE and EVENTS are pulled by in this ownership, and what the agents pull by."""
        site, revision = self._spec.site, self._ownership.revision
        ours = [streams.intake_durable(site, revision), streams.events_durable(site, revision)]
        return [*ours, *(streams.agent_durable(site, lane) for lane in Lane)]

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        road, site = self._edges.road, self._spec.site
        status = await road.subscribe(subjects.status(site), self._on_status)
        own_inbox = f"{subjects.inbox_prefix(site)}."
        asks = await road.subscribe(subjects.ask_filter(site), self._asks.answer, replies_to=own_inbox)
        orders = await road.subscribe(subjects.order_filter(site), self._orders.answer)
        try:
            yield
        finally:
            await status.stop()
            await asks.stop()
            await orders.stop()

    async def _audit_usage(self, hosts: list[str]) -> None:
        telling = self._edges.telling
        if self._notifications is not None and telling is not None and telling.audit:
            audit = NovaAudit(self._edges.conductor.rpc)
            await UsageAudit(hosts, audit, self._notifications, telling.period).run()

    async def _sync_flavors(self, _order: Query) -> Reply:
        """Look above, ask the site for all it lacks, drop what it has too much; the reply tells what was dropped."""
        await self._edges.flavor_watch.look()
        await self._flavors.sync()
        return Reply(holdings=await self._collection.round())

    async def _on_status(self, _subject: str, data: bytes) -> None:
        try:
            status = codec.decode(data, SiteStatus)
        except Malformed as error:
            LOG.warning("site=%s status: %s", self._spec.site, error)
            return
        if status.site == self._spec.site:
            await self.presence.on_status(status)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
