"""The agent on a real nats-server with a site's own credentials; the site's cloud is tests.fakes.cloud."""

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from deploy.devcloud import ports
from deploy.embedded.servers import NatsServer
from proto import codec, streams, subjects
from proto.jetstream import JetStream
from proto.messages import Ask, Bundle, Command, Observation, Query, Reply, SiteHost, SiteStatus
from proto.operations import BY_VERB, Lane, Verb
from proto.queries import QueryName
from proto.sealing import PrivateKey
from proto.specs import ServerNames
from proto.transfer import Transfers
from site_agent import queries, site
from site_agent.executor import Executor, end
from site_agent.heartbeat import Heartbeat
from site_agent.observer import Observer, Pace
from tests.fakes.cloud import FakeCloud
from tests.fakes.spool import Disk, FakeSpool
from tests.servers.nats import connect_bridge, connect_site, kill, nats_server, private_nats, start_again, unique_site
from tests.unit.site_agent.world import CONTENT, card, server_spec

__all__ = ["nats_server", "private_nats"]

ACK_WAIT = 2  # s, instead of 30: a crashed agent's commands come again sooner
PATIENCE = 30.0  # s a test waits for anything


class Stage:
    """A bridge's side of one site: streams, durables, asks, and what was observed."""

    def __init__(self, server: NatsServer, road: JetStream) -> None:
        self.server = server
        self.road = road
        self.name = unique_site()
        self.key = PrivateKey.generate()
        self.cloud = FakeCloud(build_time=0.3, step_time=0.1)
        self.observations: list[Observation] = []
        self.status: list[SiteStatus] = []
        self.observed = asyncio.Condition()

    async def set(self) -> None:
        """Make what the bridge makes for a site."""
        for stream in streams.of_site(self.name):
            await self.road.ensure_stream(stream)
        await self.make_durables()
        events = streams.events_durable(self.name, 1)
        await self.road.ensure_durable(events)
        await self.road.subscribe(subjects.ask_filter(self.name), self._answer)
        await self.road.subscribe(subjects.status(self.name), self._note)
        self.puller = await self.road.pull(events)

    async def make_durables(self) -> None:
        """Make the agent's durables."""
        for lane in Lane:
            durable = streams.agent_durable(self.name, lane)
            await self.road.ensure_durable(dataclasses.replace(durable, ack_wait=ACK_WAIT))

    async def observe(self) -> None:
        """Take observations for ever."""
        while True:
            with suppress(Exception):
                for delivery in await self.puller.fetch(1, 2):
                    async with self.observed:
                        self.observations.append(codec.decode(delivery.data, Observation))
                        self.observed.notify_all()
                    await delivery.ack()

    async def until(self, uuid: str, wanted: Callable[[Observation], bool]) -> Observation:
        """Wait for an observation of an instance."""
        async with self.observed, asyncio.timeout(PATIENCE):
            while True:
                for observation in self.observations:
                    if observation.uuid == uuid and wanted(observation):
                        return observation
                await self.observed.wait()

    async def send(self, verb: Verb, generation: int, uuid: str, **fields: object) -> None:
        """Publish a command."""
        command = Command(
            site=self.name, uuid=uuid, generation=generation, epoch=1, verb=verb, issued_at=0.0, not_after=None,
            request_id="req-1", **fields,
        )  # type: ignore[arg-type]  # fmt: skip
        await self.road.publish(subjects.command(self.name, BY_VERB[verb].lane, uuid), codec.encode(command))

    async def settled(self) -> None:
        """Wait until no command is left."""
        async with asyncio.timeout(PATIENCE):
            while await self.road.count(streams.commands(self.name).name, subjects.commands_of_site(self.name)):
                await self._a_moment()

    async def _a_moment(self) -> None:
        await asyncio.sleep(0.05)

    async def query(self, verb: str, uuid: str = "") -> Reply:
        """Ask the agent."""
        data = codec.encode(Query(self.name, verb, uuid))
        return codec.decode(await self.road.request(subjects.query(self.name, verb), data, 10), Reply)

    async def _answer(self, _subject: str, data: bytes) -> bytes:
        ask = codec.decode(data, Ask)
        if ask.verb == QueryName.EPOCH:
            return codec.encode(Reply(epoch=1))
        return codec.encode(Reply(data=CONTENT[ask.offset : ask.offset + ask.length]))

    async def _note(self, _subject: str, data: bytes) -> None:
        self.status.append(codec.decode(data, SiteStatus))

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[site.Site]:
        """Run an agent; leaving the block kills it without a word to NATS."""
        road = await connect_site(self.server, self.name)
        bundle = Bundle(self.name, 1, [SiteHost("h", "az")], [self.server.url], "", self.key.base64)
        here = site.make(bundle, self.key, self.cloud, road, Transfers(FakeSpool(Disk()), 2))  # type: ignore[arg-type]
        executor = Executor(here, 8)
        observer = Observer(here, Pace(0.1, 0.3, 4.0, 600.0), lambda: executor.busy)
        heartbeat = Heartbeat(here, lambda: executor.busy, 0.5, 60.0)
        works: list[Coroutine[None, None, None]] = [executor.pull(lane) for lane in Lane]
        works += [here.epoch.run(), observer.run(), heartbeat.beat(), heartbeat.measure()]
        await queries.serve(here)
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield here
        finally:
            await end([*tasks, *executor._running])
            await road._client.close()


@asynccontextmanager
async def staged(server: NatsServer) -> AsyncIterator[Stage]:
    """A stage on a server."""
    road = await connect_bridge(server)
    stage = Stage(server, road)
    await stage.set()
    observing = asyncio.create_task(stage.observe())
    try:
        yield stage
    finally:
        await end([observing])
        await stage.puller.close()
        await road.close()


def is_active(observation: Observation) -> bool:
    """Whether it says that the server runs."""
    return observation.server is not None and observation.server.status == "ACTIVE"


async def test_a_life_with_a_sites_credentials(nats_server: NatsServer) -> None:
    async with staged(nats_server) as stage, stage.agent():
        await stage.send(Verb.CREATE, 1, "u1", server=server_spec())
        seen = await stage.until("u1", is_active)
        assert seen.generation == 1
        assert "console of" in (await stage.query("console_output", "u1")).text
        assert [entry.uuid for entry in (await stage.query("census")).servers] == ["u1"]
        await stage.send(Verb.STOP, 2, "u1")
        await stage.until("u1", lambda o: o.generation == 2 and o.server is not None and o.server.status == "SHUTOFF")
        await stage.send(Verb.DELETE, 3, "u1")
        gone = await stage.until("u1", lambda o: o.absent)
        assert gone.generation == 3
        await stage.settled()
        assert stage.cloud.neutron.things["ports"] == {}
        assert stage.status[-1].problem is None
        assert stage.status[-1].capacity[""].hosts == 1


async def test_a_crash_right_after_the_site_took_the_create(nats_server: NatsServer) -> None:
    async with staged(nats_server) as stage:
        posted, never = asyncio.Event(), asyncio.Event()
        real = stage.cloud.request

        async def dying(service: object, method: str, path: str, **options: object) -> object:
            answer = await real(service, method, path, **options)  # type: ignore[arg-type]
            if (method, path) == ("POST", "/servers"):
                posted.set()
                await never.wait()
            return answer

        async with stage.agent():
            stage.cloud.request = dying  # type: ignore[assignment, method-assign]
            await stage.send(Verb.CREATE, 1, "u1", server=server_spec())
            await posted.wait()
        del stage.cloud.request
        async with stage.agent():
            await stage.settled()
            assert (await stage.until("u1", lambda o: is_active(o) and o.generation == 1)).server
        assert len(stage.cloud.nova.servers) == 1


async def test_two_agents_share_a_site(nats_server: NatsServer) -> None:
    uuids = [f"u{number}" for number in range(1, 13)]
    async with staged(nats_server) as stage, stage.agent(), stage.agent():
        for number, uuid in enumerate(uuids, 1):
            await stage.send(Verb.CREATE, 1, uuid, server=server_spec(ports=[card(number)]))
        for uuid in uuids:
            await stage.until(uuid, is_active)
        assert len(stage.cloud.nova.servers) == 12
        for uuid in uuids:
            await stage.send(Verb.DELETE, 2, uuid)
        for uuid in uuids:
            await stage.until(uuid, lambda o: o.absent)
        await stage.settled()
        assert stage.cloud.nova.alive() == []
        assert stage.cloud.neutron.things["ports"] == {}


async def test_nats_dies_and_comes_back(private_nats: NatsServer) -> None:
    async with staged(private_nats) as stage, stage.agent():
        await stage.send(Verb.CREATE, 1, "u1", server=server_spec())
        await stage.until("u1", is_active)
        kill(private_nats)
        await asyncio.to_thread(start_again, private_nats)
        await stage.send(Verb.STOP, 2, "u1")
        await stage.until("u1", lambda o: o.generation == 2 and o.server is not None and o.server.status == "SHUTOFF")
        await stage.settled()


async def test_durables_that_are_deleted_and_made_again(nats_server: NatsServer) -> None:
    async with staged(nats_server) as stage, stage.agent():
        await stage.road.delete_durables(streams.commands(stage.name).name, f"agent-{stage.name}-")
        await asyncio.sleep(0.5)
        await stage.make_durables()
        await stage.send(Verb.CREATE, 1, "u1", server=server_spec())
        await stage.until("u1", is_active)


def started(directory: Path, bundle: Bundle, clouds: str) -> tuple[int, str]:
    """Run the program until it ends; return its exit code and what it said."""
    (directory / "clouds.yaml").write_text(clouds)
    (directory / "bundle.json").write_bytes(codec.to_json(bundle))
    (directory / "agent.conf").write_text(f"[site]\ncloud = paris\nbundle = {directory}/bundle.json\n")
    done = subprocess.run(
        [sys.executable, "-m", "site_agent", "--config-file", str(directory / "agent.conf")],
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(directory / "clouds.yaml")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


CLOUDS = """clouds:
  paris:
    auth: {auth_url: "http://127.0.0.1:%d/v3", username: a, password: b, project_name: c,
           user_domain_name: Default, project_domain_name: Default}
"""


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no nats", "cannot connect to NATS"),
        ("no entry", "entry 'paris' of clouds.yaml"),
        ("no keystone", "cannot log in with entry 'paris'"),
    ],
)
def test_a_wrong_start_is_one_line_and_exit_code_1(
    nats_server: NatsServer, tmp_path: Path, what: str, words: str
) -> None:
    closed = ports.pick(("closed",), ())["closed"]
    url = f"nats://127.0.0.1:{closed}" if what == "no nats" else nats_server.url
    creds = nats_server.files.bridge_credentials.read_text()
    bundle = Bundle("paris", 1, [], [url], creds, PrivateKey.generate().base64)
    clouds = "clouds: {}\n" if what == "no entry" else CLOUDS % closed
    code, said = started(tmp_path, bundle, clouds)
    assert code == 1
    assert words in said.splitlines()[-1]
    assert "Traceback" not in said


async def test_two_agents_answer_a_query_once_and_both_hear_of_names(nats_server: NatsServer) -> None:
    async with staged(nats_server) as stage, stage.agent(), stage.agent():
        await stage.send(Verb.CREATE, 1, "u1", server=server_spec())
        await stage.until("u1", is_active)
        assert len(stage.cloud.nova.alive()) == 1
        for _ in range(5):
            assert "console of" in (await stage.query(Verb.CONSOLE_OUTPUT, "u1")).text
        assert stage.cloud.count("POST compute /servers/") == 5
        named = Query(stage.name, QueryName.NAMES_SYNC, servers=[ServerNames("u1", "called-so", None, None, {})])
        await stage.road.request(subjects.query(stage.name, named.verb), codec.encode(named), 10)
        (server,) = stage.cloud.nova.alive()
        assert server.body["name"] == "called-so"
