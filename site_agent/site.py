"""What a handler works with: the site's APIs, the road up, and what the agent remembers."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

from proto import tracing
from proto.errors import Expired, FaultCode, Malformed, Refused
from proto.jetstream import JetStream
from proto.messages import Bundle, Command
from proto.sealing import PrivateKey
from proto.specs import Sealed, ServerSecrets
from proto.transfer import Transfers
from site_agent.core.clock import SiteClock
from site_agent.edge.cloud import Cloud
from site_agent.edge.flavors import Flavors, Keypairs
from site_agent.edge.hosts import Hosts
from site_agent.edge.images import Images
from site_agent.edge.names import Names
from site_agent.edge.networks import Networks
from site_agent.edge.quotas import Quotas
from site_agent.edge.server_groups import ServerGroups
from site_agent.edge.servers import Servers
from site_agent.edge.uses import ServerUses
from site_agent.epoch import Epoch
from site_agent.listings import Listings
from site_agent.memory import Memory
from site_agent.problems import Problems
from site_agent.reports import Reports
from site_agent.resources.shelf import Shelf
from site_agent.stock import Stock

SHELF_LIFE = 120.0  # s
LOOK_AFTER = 3.0  # s after a command that its server is looked at by itself if no page showed it


@dataclass(frozen=True, slots=True)
class Site:
    """One site as one agent sees it. Made once in __main__."""

    bundle: Bundle
    key: PrivateKey
    cloud: Cloud
    road: JetStream
    servers: Servers
    groups: ServerGroups
    uses: ServerUses
    flavors: Flavors
    keypairs: Keypairs
    images: Images
    networks: Networks
    hosts: Hosts
    quotas: Quotas
    names: Names
    epoch: Epoch
    reports: Reports
    memory: Memory
    clock: SiteClock
    transfers: Transfers  # of images, down
    shared: bool = False  # other agents serve this site too
    problems: Problems = field(default_factory=Problems)
    shelf: Shelf = field(default_factory=lambda: Shelf(SHELF_LIFE))
    stock: Stock = field(default_factory=Stock)
    listings: Listings = field(default_factory=Listings)
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))  # by id above

    @property
    def name(self) -> str:
        """The site's name."""
        return self.bundle.site

    def begin(self, command: Command) -> None:
        """Raise Expired or Stale if the command must not begin any more; call right before the first change."""
        self.epoch.check(command)
        if command.not_after is not None and time.time() > command.not_after:
            raise Expired(f"{command.verb} came {time.time() - command.not_after:.0f} s after it expired")

    def opened(self, secrets: Sealed | None) -> ServerSecrets:
        """Return what was sealed to this site; Refused if it was sealed to a former key of the site."""
        try:
            return self.key.open(secrets) if secrets else ServerSecrets()
        except Malformed as error:
            raise Refused(FaultCode.REJECTED, f"{error}; was the site enrolled anew?") from error

    def carried_out(self, command: Command) -> None:
        """The site accepted the command; the observer tells what comes of it."""
        self.memory.carried_out(command, tracing.inject(), time.monotonic() + LOOK_AFTER)


def make(
    bundle: Bundle, key: PrivateKey, cloud: Cloud, road: JetStream, transfers: Transfers, *, shared: bool = False
) -> Site:
    """Return the site behind a session and a connection."""
    memory = Memory()
    return Site(
        bundle=bundle,
        key=key,
        cloud=cloud,
        road=road,
        servers=Servers(cloud),
        groups=ServerGroups(cloud),
        uses=ServerUses(cloud),
        flavors=Flavors(cloud),
        keypairs=Keypairs(cloud),
        images=Images(cloud),
        networks=Networks(cloud),
        hosts=Hosts(cloud),
        quotas=Quotas(cloud),
        names=Names(cloud),
        epoch=Epoch(bundle.site, bundle.epoch, road),
        reports=Reports(bundle.site, road, memory),
        memory=memory,
        clock=SiteClock(cloud.clock_offset, time.time()),
        transfers=transfers,
        shared=shared,
    )
