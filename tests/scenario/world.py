"""The cascading cloud, its bridges, the middle, and sites with their agents, all in memory and on virtual time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bridge.core import keys
from bridge.core.records import InstanceRecord, SiteSpec
from proto import codec, streams, subjects
from proto.messages import Bundle, SiteHost
from proto.sealing import PrivateKey
from tests.fakes.clock import Clock
from tests.fakes.cloud import FakeCloud, describe
from tests.fakes.cloud_nova import SiteServer
from tests.fakes.conductor import FakeConductor
from tests.fakes.etcd import FakeEtcd
from tests.fakes.nova import FakeNova
from tests.fakes.process import Edge, Process
from tests.fakes.rabbit import FakeRabbit
from tests.fakes.road import Road
from tests.fakes.spool import Disk
from tests.scenario import programs
from tests.scenario.telling import Teller

QUIET = 4.0  # virtual s without news after which a step is over
LONGEST = 60.0  # virtual s of a step with news all the time
BRIDGE = "bridge"
ONCE = {  # what is asked, and the site's action of which there must not be more than were asked for
    "reboot": "reboot", "hard reboot": "reboot", "rebuild": "rebuild", "resize": "resize", "confirm": "confirmResize",
    "revert": "revertResize", "rescue": "rescue", "snapshot": "createImage", "backup": "createImage",
    "shelve": "createImage",
}  # fmt: skip

BRIDGE_KEY = PrivateKey.generate()
SITE_KEY = PrivateKey.generate()


@dataclass(slots=True)
class Cascaded:
    """A site; ``agents`` are its processes by their names: ``agent paris``, ``agent2 paris``."""

    name: str
    cloud: FakeCloud
    bundle: Bundle
    agents: dict[str, Process] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)  # by agent


@dataclass(slots=True)
class Asked:
    """What tenants asked for, for the invariants."""

    built: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    shelved: set[str] = field(default_factory=set)
    evacuated: set[str] = field(default_factory=set)
    restored: set[str] = field(default_factory=set)  # their rows above are those of an older dump
    launched: set[str] = field(default_factory=set)  # were shown running once
    deeds: Counter[tuple[str, str]] = field(default_factory=Counter)  # uuid, what a site may do for it that often


class World:
    """Everything. ``pause`` is the length of a way between a program and the world outside."""

    def __init__(self, clock: Clock, pause: Callable[[], Awaitable[None]]) -> None:
        self.clock = clock
        self.teller = Teller()
        self.road = Road()
        self.etcd = FakeEtcd()
        rabbit, conductor = FakeRabbit(), FakeConductor(clock.true_time)
        self.above = programs.Above(rabbit, conductor, self.teller, BRIDGE_KEY)
        self.nova = FakeNova(conductor, rabbit, self.above.placement, self.above.neutron)
        self.sites: dict[str, Cascaded] = {}
        self.bridges: dict[str, Process] = {}
        self.asked = Asked()
        self.backups: dict[str, Any] = {}  # by what they are of
        self._ahead: dict[str, float] = {}  # s, of a bridge or a site
        self._pause = pause

    # -- sites and programs --------------------------------------------------------------------------------------------

    def add_site(self, name: str, hosts: list[str]) -> None:
        """Enrol a site as `cascade site add` does."""
        spec = SiteSpec(name, [SiteHost(host, host) for host in hosts], SITE_KEY.public().base64, "")
        self.etcd.write(keys.spec(name), codec.to_json(spec), 0)
        bundle = Bundle(name, spec.epoch, spec.hosts, ["nats://fake"], "", SITE_KEY.base64)
        self.sites[name] = Cascaded(name, FakeCloud(), bundle)

    def start_bridge(self, name: str = BRIDGE) -> Process:
        """Run a bridge."""
        process = self.bridges[name] = self._process(name)
        road: Any = self.road.link(process, self.teller.road)
        process.run(programs.bridge(process, self.above, self.etcd.store(), road))
        return process

    def start_agent(self, name: str) -> Process:
        """Run an agent of the site that the name ends in."""
        site = name.split()[1]
        here = self.sites[site]
        process = here.agents[name] = self._process(name)

        def said(_process: Process, method: str, args: Any, kwargs: Any, result: Any) -> None:
            if method == "request":
                self.teller.site(site, args, kwargs, result)

        cloud = Edge(process, here.cloud, describe, said)
        road: Any = self.road.link(process, self.teller.road, subjects.inbox_prefix(site))
        process.run(programs.agent(here.bundle, cloud, road, here.disks.setdefault(name, Disk(name))))
        return process

    def process(self, name: str) -> Process:
        """Return a program by the name stories give it: ``bridge``, ``bridge2``, ``agent paris``, ``agent2 paris``."""
        return self.sites[name.split()[1]].agents[name] if " " in name else self.bridges[name]

    def start(self, name: str) -> Process:
        """Start a program by its name; whatever ran under it is gone."""
        return self.start_agent(name) if " " in name else self.start_bridge(name)

    def programs(self) -> list[Process]:
        """Return every program that was started last under its name."""
        agents = [agent for site in self.sites.values() for agent in site.agents.values()]
        return [*self.bridges.values(), *agents]

    async def end(self) -> None:
        """Kill everything."""
        for process in self.programs():
            process.kill()
        for process in self.programs():
            await process.ended()

    def _process(self, name: str) -> Process:
        process = Process(name, self._pause)
        process.on_crash = lambda where: self.teller.say("stop", f"{name} {where}")
        process.ahead = self._ahead.get(name.split()[-1], 0.0)
        return process

    def set_clock(self, whose: str, ahead: float) -> None:
        """Set the clock of a bridge, or of a site with its agents, so many s ahead of everybody else's."""
        self._ahead[whose] = ahead
        for process in self.programs():
            if process.name.split()[-1] == whose:
                process.ahead = ahead
        if whose in self.sites:
            self.sites[whose].cloud.nova.ahead = ahead

    # -- time ----------------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Let things happen until nothing new is told for a while."""
        give_up = self.clock.seconds + LONGEST
        told = -1
        while told != len(self.teller.lines) and self.clock.seconds < give_up:
            told = len(self.teller.lines)
            await asyncio.sleep(QUIET)

    # -- what is there -------------------------------------------------------------------------------------------------

    def uuid(self, name: str) -> str:
        """Return the uuid of a name like i7."""
        uuid = f"{int(name[1:]):08d}-0000-4000-8000-000000000000"
        self.teller.names[uuid] = name
        return uuid

    def record(self, site: str, uuid: str) -> InstanceRecord | None:
        """Return what etcd holds of an instance."""
        stored = self.etcd.keys.get(keys.instance(site, uuid))
        return codec.from_json(stored.value, InstanceRecord) if stored else None

    def records(self) -> Iterable[tuple[str, InstanceRecord]]:
        """Return every record with its site."""
        for name in self.sites:
            for key, stored in sorted(self.etcd.keys.items()):
                if key.startswith(keys.instances(name)):
                    yield name, codec.from_json(stored.value, InstanceRecord)

    def servers(self, uuid: str | None = None) -> list[tuple[str, SiteServer]]:
        """Return the servers of all sites, or of one instance, with their site."""
        found = [(name, server) for name, site in self.sites.items() for server in site.cloud.nova.alive()]
        return [(n, s) for n, s in found if uuid is None or f"cascade:{uuid}" in s.tags]

    def waiting(self) -> list[str]:
        """Return the subjects of messages that wait for a bridge or an agent."""
        kinds = (streams.intake, streams.commands, streams.events)
        names = {kind(site).name for site in self.sites for kind in kinds}
        return [m.subject for name, q in self.road.queues.items() if name in names for m in q.messages.values()]

    def dead(self) -> int:
        """Return how many messages were put aside."""
        return len(self.road.waiting(f"{subjects.PREFIX}.dead.>"))
