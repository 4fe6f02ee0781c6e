"""cascade-bridge: settings, edges, the sites it owns, and an orderly end at SIGTERM."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from bridge import settings
from bridge.catalog import Catalog
from bridge.collection import Times
from bridge.core.records import SiteSpec
from bridge.edge import nova_notifications, nova_rpc
from bridge.edge.cloud_session import CloudSession
from bridge.edge.etcd_store import EtcdStore
from bridge.edge.glance import Glance
from bridge.edge.neutron import Neutron
from bridge.edge.nova_api import NovaApi
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_rpc import IncomingRpc, NovaRpc
from bridge.edge.nova_servers import NovaServers
from bridge.edge.placement import Placement
from bridge.flavor_watch import FlavorWatch
from bridge.heartbeats import Heartbeats
from bridge.intake import Intake
from bridge.noticed import ServerWatch
from bridge.notifications import Telling
from bridge.owner import Ownership, share_sites
from bridge.site import Edges, Site
from proto import streams, tracing
from proto.errors import Misconfigured, Unavailable
from proto.jetstream import JetStream
from proto.sealing import PrivateKey
from proto.spool import Spool

LOG = logging.getLogger(__name__)

UNSET_TRANSPORT = "rabbit://"  # oslo.messaging's default


class Bridge:
    """One process: many sites over one set of connections."""

    def __init__(self, conf: Any) -> None:
        self._conf = conf
        self._sites: dict[str, Site] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; Misconfigured if something is missing or unreachable at start."""
        conf = self._conf
        transport = nova_rpc.transport(None)
        if conf.transport_url == UNSET_TRANSPORT:
            raise Misconfigured("[DEFAULT] transport_url is not set: it must be that of the cascading cell's Nova")
        key_text = settings.read_secret_file(conf.bridge.sealing_key_file, "[bridge] sealing_key_file")
        key = PrivateKey.parse(key_text, "[bridge] sealing_key_file")
        session = CloudSession.from_clouds_yaml(conf.cascading.cloud)
        await session.check("compute", "placement", "network", "image")
        store = await EtcdStore.connect(conf.etcd.endpoints, conf.etcd.ca_file, conf.etcd.cert_file, conf.etcd.key_file)
        road = await connect_road(conf)
        intake = Intake(road, key.public(), site_of)
        rpc = NovaRpc(transport, lambda incoming: self._receive(intake, incoming))
        await rpc.start()
        conductor = NovaConductor(transport)
        nova_api, catalog = NovaApi(session), Catalog(store)
        edges = Edges(
            road=road,
            store=store,
            rpc=rpc,
            intake=intake,
            conductor=conductor,
            placement=Placement(session),
            nova_api=nova_api,
            neutron=Neutron(session),
            glance=Glance(session),
            heartbeats=Heartbeats(conductor, interval=conf.bridge.report_interval),
            catalog=catalog,
            flavor_watch=FlavorWatch(nova_api, catalog),
            server_watch=ServerWatch(NovaServers(session)),
            key=key,
            spool=Spool(settings.spool_directory(conf)),
            networks_in_several_sites=conf.cascading.networks_in_several_sites == "allow",
            times=Times(conf.bridge.collection_interval, conf.bridge.image_keep * 86400.0),
            reclaim_interval=conf.bridge.reclaim_instance_interval,
            resize_confirm_window=conf.bridge.resize_confirm_window,
            telling=telling(conf, session),
        )
        await self._serve(edges, stop)
        if edges.telling is not None:
            await edges.telling.sender.close(conf.bridge.shutdown_grace)
        await rpc.stop(conf.bridge.shutdown_grace)
        await road.close()
        await store.close()
        session.close()

    async def _serve(self, edges: Edges, stop: asyncio.Event) -> None:
        await edges.road.ensure_stream(streams.DEAD)

        async def run_site(spec: SiteSpec, ownership: Ownership) -> None:
            site = Site(spec, ownership, edges)
            self._sites[spec.site] = site
            try:
                await site.run()
            finally:
                if self._sites.get(spec.site) is site:
                    del self._sites[spec.site]

        def replaced(name: str) -> None:
            """Another bridge's heart beats for the site now, or the site is no more."""
            for host in edges.heartbeats.hosts():
                if site_of(host) == name:
                    edges.heartbeats.drop(host)

        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(edges.heartbeats.run(), name="heartbeats"),
                tasks.create_task(edges.catalog.follow(), name="catalog"),
                tasks.create_task(edges.flavor_watch.run(), name="flavors above"),
                tasks.create_task(edges.server_watch.run(), name="servers above"),
                tasks.create_task(
                    share_sites(edges.store, self._conf.bridge.id, run_site, on_replaced=replaced), name="sites"
                ),
            ]
            notify("READY=1")
            LOG.info("bridge %s is up", self._conf.bridge.id)
            await stop.wait()
            LOG.info("bridge %s stops", self._conf.bridge.id)
            notify("STOPPING=1")
            for task in work:
                task.cancel()

    async def _receive(self, intake: Intake, incoming: IncomingRpc) -> Any:
        if not incoming.is_call:
            await intake.store(incoming)
            return None
        site = self._sites.get(site_of(incoming.host))
        if site is None:
            raise Unavailable(f"host {incoming.host} is being taken over")
        return await site.calls.answer(incoming)


def site_of(host: str) -> str:
    """Return the site a Nova host stands for: ``<site>`` or ``<site>.<AZ>``."""
    return host.partition(".")[0]


async def connect_road(conf: Any) -> JetStream:
    """Return the bridges' connection to NATS; Misconfigured if it cannot be had."""
    path = conf.nats.credentials_file
    credentials = settings.read_secret_file(path, "[nats] credentials_file") if path else None
    return await JetStream.connect(
        conf.nats.servers, f"bridge {conf.bridge.id}", credentials=credentials, ca_file=conf.nats.ca_file
    )


def telling(conf: Any, session: CloudSession) -> Telling | None:
    """Return how notifications are sent, None if they are off; after ``session`` was checked."""
    sender = nova_notifications.of(conf)
    if sender is None:
        return None
    audit, period = conf.DEFAULT.instance_usage_audit, conf.DEFAULT.instance_usage_audit_period
    return Telling(sender, session.endpoint("image").removesuffix("/v2"), period, audit)


def notify(state: str) -> None:
    """Tell systemd, if it listens (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


async def _run(conf: Any) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Bridge(conf).run(stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bridge; return 0 when stopped, 1 with one clear line when it cannot start."""
    try:
        conf = settings.load(sys.argv[1:] if arguments is None else arguments, "cascade-bridge")
        settings.log_to_stderr("cascade-bridge")
        settings.validate(conf)
        if conf.tracing.enabled:
            tracing.set_up("cascade-bridge", conf.tracing.otlp_endpoint, {"service.instance.id": conf.bridge.id})
        asyncio.run(_run(conf))
    except Misconfigured as error:
        print(f"cascade-bridge: {error}", file=sys.stderr)
        return 1
    finally:
        tracing.shut_down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
