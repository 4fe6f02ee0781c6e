"""One agent on an in-memory site and road, on virtual time: what the tests of this folder play with."""

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from proto import codec, streams, subjects
from proto.errors import FaultCode
from proto.messages import Ask, Bundle, Command, Fault, Observation, Query, Reply, SiteHost
from proto.operations import BY_VERB, Lane, Verb
from proto.queries import QueryName
from proto.sealing import PrivateKey
from proto.specs import (
    FixedIp,
    FlavorSpec,
    ImageSpec,
    KeypairSpec,
    NetworkSpec,
    PortSpec,
    ServerSecrets,
    ServerSpec,
    SubnetSpec,
)
from proto.transfer import Transfers
from site_agent import queries, site
from site_agent.executor import Executor
from site_agent.observer import Observer, Pace
from tests.fakes import clock
from tests.fakes.cloud import FakeCloud
from tests.fakes.process import Process, task_factory
from tests.fakes.road import Road
from tests.fakes.spool import Disk, FakeSpool

PARIS = "paris"
UUID = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01"
OTHER = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a02"
CONTENT = bytes(range(256)) * 5000  # 1.28 MB: three chunks
HASH = hashlib.sha512(CONTENT).hexdigest()
FLAVOR = FlavorSpec("42", "m1.small", 3, 2, 2048, 20, 5, 512, {"hw:cpu_policy": "shared"})
IMAGE = ImageSpec("img-1", "cirros", len(CONTENT), "sha512", HASH, "raw", "bare", 1, 64, {"hw_disk_bus": "virtio"})
SUBNET = SubnetSpec("sub-1", "private-4", "10.0.0.0/24", 4, "10.0.0.1", True, ["9.9.9.9"], [], ["10.0.0.2", "10.0.0.3"])
NETWORK = NetworkSpec("net-1", "private", "project-1", 1442, True, [SUBNET])
KEYPAIR = KeypairSpec("mine", "ssh-ed25519 AAAA aa:bb", "aa:bb", "ssh")
PORT = PortSpec("port-1", "net-1", "fa:16:3e:00:00:01", [FixedIp("10.0.0.17", "sub-1")], tag="front")
KEY = PrivateKey(base64="x" * 43 + "=")


def server_spec(**changes: Any) -> ServerSpec:
    """A server with a card of its own."""
    fields: dict[str, Any] = {
        "name": "web-1",
        "description": "front end",
        "project_id": "project-1",
        "user_id": "user-1",
        "flavor": FLAVOR,
        "image": IMAGE,
        "networks": [NETWORK],
        "ports": [PORT],
        "keypair": KEYPAIR,
        "metadata": {"role": "web"},
        "config_drive": True,
        "availability_zone": "north",
        "scheduler_hints": {"group": "above", "vendor_rack": "7"},
        "secrets": None,
        **changes,
    }
    return ServerSpec(**fields)


def card(number: int) -> PortSpec:
    """A card for the next server."""
    mac, address = f"fa:16:3e:00:00:{number:02x}", f"10.0.0.{100 + number}"
    return PortSpec(f"port-{number}", "net-1", mac, [FixedIp(address, "sub-1")])


class World:
    """A site, the road, one agent's parts, and a bridge that answers asks for images."""

    def __init__(self, time: clock.Clock, cloud: FakeCloud | None = None, slots: int = 8, shared: bool = False) -> None:
        self.time = time
        self.road = Road()
        self.key = PrivateKey.generate()
        self.cloud = cloud or FakeCloud()
        self.bridge = self.road.link(Process("bridge"))
        self.process = Process("agent")
        self.slots = slots
        self.shared = shared
        self.chunks_asked = 0
        self.content = CONTENT
        self.disk = Disk()
        self.fault: Fault | None = None  # answer to asks for chunks
        self.glance_away = 0  # asks that find Glance above away
        self.restart()

    def restart(self) -> None:
        """Kill the agent and make a new one: it remembers nothing. Let it run with ``run_agent``."""
        self.process.kill()
        self.process = Process("agent")
        self.runs = False
        bundle = Bundle(PARIS, 2, [SiteHost("paris", "eu")], ["nats://x"], "", self.key.base64)
        link: Any = self.road.link(self.process)
        cloud: Any = self.cloud
        spool: Any = FakeSpool(self.disk)
        self.site = site.make(bundle, self.key, cloud, link, Transfers(spool, 2), shared=self.shared)
        self.site.epoch.heard(2, float("inf"))
        self.executor = Executor(self.site, self.slots)
        self.observer = Observer(self.site, Pace(0.5, 2.0, 4.0, 600.0), lambda: self.executor.busy)

    async def start(self) -> None:
        """Make the streams and durables as the bridge does, and answer asks."""
        for stream in streams.of_site(PARIS):
            await self.bridge.ensure_stream(stream)
        for lane in Lane:
            await self.bridge.ensure_durable(streams.agent_durable(PARIS, lane))
        await self.bridge.subscribe(subjects.ask_filter(PARIS), self._answer)

    async def _answer(self, _subject: str, data: bytes) -> bytes:
        ask = codec.decode(data, Ask)
        if ask.verb == QueryName.EPOCH:
            return codec.encode(Reply(epoch=2))
        if ask.verb == "command_pending":
            return codec.encode(Reply(text="yes" if self.pending() else ""))
        self.chunks_asked += 1
        if self.fault:
            return codec.encode(Reply(fault=self.fault))
        if self.glance_away:
            self.glance_away -= 1
            return codec.encode(Reply(fault=Fault(FaultCode.SITE_SILENT, "glance is away")))
        return codec.encode(Reply(data=self.content[ask.offset : ask.offset + ask.length]))

    def run_agent(self) -> None:
        """Let all of the agent run in the background, if it does not yet."""
        if self.runs:
            return
        self.runs = True
        self.process.spawn(queries.serve(self.site))
        self.process.spawn(self.site.epoch.run())
        for lane in Lane:
            self.process.spawn(self.executor.pull(lane))
        self.process.spawn(self.observer.run())

    def command(self, verb: Verb, generation: int = 1, uuid: str = UUID, **fields: Any) -> Command:
        """A command as the bridge makes it."""
        fields.setdefault("epoch", 2)
        fields.setdefault("not_after", None)
        if verb is Verb.CREATE:
            fields.setdefault("server", server_spec())
        issued = fields.pop("issued_at", self.time.time())
        return Command(
            site=PARIS, uuid=uuid, generation=generation, verb=verb, issued_at=issued, request_id="req-1", **fields
        )

    def seal(self, **secrets: Any) -> Any:
        """Secrets sealed to the site."""
        return self.key.public().seal(ServerSecrets(**secrets))

    async def send(self, command: Command) -> None:
        """Publish a command."""
        lane = BY_VERB[command.verb].lane
        await self.bridge.publish(subjects.command(PARIS, lane, command.uuid), codec.encode(command))

    async def ask(self, verb: str, uuid: str = UUID, **fields: Any) -> Reply:
        """Send a query and return its reply; the agent must run."""
        query = Query(PARIS, verb, uuid, "req-2", **fields)
        return codec.decode(await self.bridge.request(subjects.query(PARIS, verb), codec.encode(query), 5), Reply)

    def observations(self, uuid: str = UUID) -> list[Observation]:
        """What was told of an instance, in order."""
        return [codec.decode(m.data, Observation) for m in self.road.waiting(subjects.event(PARIS, uuid))]

    def pending(self) -> int:
        """Commands that are not settled."""
        return len(self.road.waiting(subjects.commands_of_site(PARIS)))

    def dead(self) -> list[Any]:
        """Messages put aside."""
        return self.road.waiting(subjects.dead(PARIS))


def play(story: Callable[[World], Awaitable[None]], **options: Any) -> World:
    """Run a story on virtual time and return its world."""
    time = clock.Clock()
    worlds: list[World] = []

    # clock.on() replaces its own ``time`` too, after which it recognises no other module's: let it come to itself last.
    sys.modules[clock.__name__] = sys.modules.pop(clock.__name__)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(task_factory)
        world = World(time, **options)
        worlds.append(world)
        await world.start()
        await story(world)
        world.process.kill()
        await world.process.ended()

    clock.run(time, main)
    return worlds[0]
