"""`cascade dead` on a real NATS: list, show, replay by the owning bridge, drop. Needs nats-server and etcd."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.core import keys, planner
from bridge.core.records import InstanceRecord, Owner
from bridge.dead_letters import DeadLetters
from bridge.instances import Instances
from bridge.orders import Orders
from bridge.owner import Ownership
from proto import codec, streams, subjects
from proto.jetstream import JetStream
from proto.messages import Command, Observation, Rpc, ServerState
from proto.operations import BY_VERB, Lane, Verb
from proto.queries import QueryName
from proto.sealing import PrivateKey
from proto.specs import ServerSecrets
from tests.fakes.conductor import FakeConductor
from tests.fakes.etcd import FakeEtcd
from tests.integration.test_cascade_cli import Cascade, cascade
from tests.servers.etcd import etcd_server
from tests.servers.nats import connect_bridge, connect_site, nats_server, unique_site

__all__ = ["cascade", "etcd_server", "nats_server"]

UUID = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01"
GARBAGE = b"\x93garbage"


class World:
    """One site with dead letters, and a bridge that owns it when it runs."""

    def __init__(self, command: Cascade) -> None:
        self.cascade = command
        self.site = unique_site()
        self.conductor = FakeConductor(time.time)
        self.conductor.add(UUID, vm_state="active", task_state="powering-off", host=self.site)
        etcd = FakeEtcd()
        lease: Any = SimpleNamespace(ttl=15, confirmed_at=float("inf"), lost=SimpleNamespace(is_set=lambda: False))
        self.ownership = Ownership(self.site, etcd.write(keys.owner(self.site), b"", 0), lease)
        self.instances = Instances(self.ownership, etcd.store())

        async def make(road: JetStream) -> None:
            for stream in streams.of_site(self.site):
                await road.ensure_stream(stream)

        command.road(make)
        command.run("site", "add", self.site, "--availability-zone", "az")

    def bury(self, subject: str, data: bytes, reason: str = "a bug") -> int:
        """Put a letter aside as a bridge does, and return its id."""
        headers = {subjects.HEADER_DEAD_REASON: reason, subjects.HEADER_DEAD_SUBJECT: subject}

        async def publish(road: JetStream) -> None:
            await road.publish(subjects.dead_above(self.site), data, headers=headers)

        self.cascade.road(publish)
        return max(int(row["id"]) for row in self.letters())

    def rpc(self, method: str = "stop_instance") -> Rpc:
        """A request of a tenant's."""
        sealed = PrivateKey.generate().public().seal(ServerSecrets(admin_password="hunter2"))
        context = {"request_id": "req-1", "project_id": "p"}
        return Rpc("rpc-1", self.site, method, UUID, context, {"new_pass": "hunter3"}, time.time(), sealed)

    def letters(self) -> list[dict[str, Any]]:
        """Return the letters of the site."""
        found: list[dict[str, Any]] = self.cascade.json("dead", "list", "--site", self.site)
        return found

    def stored(self, subject: str) -> list[bytes]:
        """Return what one of the site's streams holds of a subject."""

        async def look(road: JetStream) -> list[bytes]:
            found: list[bytes] = []
            for stream in streams.of_site(self.site)[:3]:
                number = 1
                while message := await road.stored(stream.name, number, subject):
                    found.append(message.data)
                    number = message.sequence + 1
            return found

        return self.cascade.road(look)

    @contextmanager
    def bridge(self) -> Iterator[None]:
        """Have a bridge own the site and take orders while the block runs."""
        self.cascade.put(owner=(self.site, Owner("b1", time.time())))
        ready, over = threading.Event(), asyncio.Event()
        loop = asyncio.new_event_loop()

        async def serve() -> None:
            road = await connect_bridge(self.cascade.nats)
            conductor: Any = self.conductor
            letters = DeadLetters(self.ownership, 1, [self.site], road, self.instances, conductor)
            orders = Orders(self.site, {QueryName.DEAD_REPLAY: letters.replay})
            await road.subscribe(subjects.order_filter(self.site), orders.answer)
            await road.count(streams.DEAD.name, "x")  # the server has the subscription
            ready.set()
            await over.wait()
            await road.close()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert ready.wait(10)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()
            loop.close()


@pytest.fixture
def world(cascade: Cascade) -> World:
    return World(cascade)


def test_letters_are_listed_and_shown_without_secrets(world: World) -> None:
    number = world.bury(subjects.intake(world.site, UUID), codec.encode(world.rpc()), "a bug\x1b[2J")
    (row,) = world.letters()
    assert (row["id"], row["site"], row["kind"], row["what"]) == (number, world.site, "rpc", "stop_instance")
    assert (row["instance"], row["reason"]) == (UUID, "a bug\x1b[2J")
    assert row["at"].startswith("20") and row["size"] > 0
    shown = world.cascade.json("dead", "show", str(number))
    assert shown["written_by"] == "a bridge" and shown["args"] == ["new_pass"]
    assert shown["secrets"].startswith("sealed to key") and shown["context"]["request_id"] == "req-1"
    for command in (["list"], ["show", str(number)]):
        out = world.cascade.run("dead", *command)
        assert "hunter" not in out and "\x1b" not in out


def test_what_a_site_wrote_is_shown_as_its_word_and_no_request(world: World) -> None:
    async def forge() -> None:
        site = await connect_site(world.cascade.nats, world.site)
        headers = {subjects.HEADER_DEAD_SUBJECT: subjects.intake(world.site, UUID)}
        await site.publish(subjects.dead(world.site), codec.encode(world.rpc("terminate_instance")), headers=headers)
        await site.close()

    asyncio.run(forge())
    (row,) = world.letters()
    assert world.cascade.json("dead", "show", str(row["id"]))["written_by"] == "the site"
    with world.bridge():
        world.cascade.run("dead", "replay", str(row["id"]), code=1)
    assert "not written by a bridge" in world.cascade.errors
    assert world.stored(subjects.intake_filter(world.site)) == [] and len(world.letters()) == 1


def test_an_rpc_is_replayed_under_a_new_id_while_something_waits_for_it(world: World) -> None:
    number = world.bury(subjects.intake(world.site, UUID), codec.encode(world.rpc()))
    with world.bridge():
        out = world.cascade.run("dead", "replay", str(number))
        assert f"dead-{number}-rpc-1" in out
        (waiting,) = world.stored(subjects.intake(world.site, UUID))
        again = codec.decode(waiting, Rpc)
        assert again.rpc_id == f"dead-{number}-rpc-1" and again.redelivered and again.secrets is not None
        assert world.letters() == []
        world.cascade.run("dead", "replay", str(number), code=1)
        assert world.cascade.errors == f"cascade: there is no dead letter {number}; see `cascade dead list`\n"
        world.conductor.instances[UUID]["task_state"] = None
        late = world.bury(subjects.intake(world.site, UUID), codec.encode(world.rpc()))
        world.cascade.run("dead", "replay", str(late), code=1)
        assert f"dead letter {late} is not replayed: nothing waits for stop_instance any more" in world.cascade.errors
        assert len(world.stored(subjects.intake(world.site, UUID))) == 1 and len(world.letters()) == 1


def test_a_command_is_replayed_only_while_it_is_awaited_and_none_is_there(world: World) -> None:
    record = planner.begun(world.rpc(), BY_VERB[Verb.STOP], InstanceRecord(UUID), time.time())
    assert record.pending is not None
    asyncio.run(world.instances.put(record))
    command = Command(world.site, UUID, record.generation, 1, Verb.STOP, time.time(), None, "req-1")
    subject = subjects.command(world.site, Lane.URGENT, UUID)
    first, second = (world.bury(subject, codec.encode(command)) for _ in range(2))
    with world.bridge():
        assert "stop waits for the site again" in world.cascade.run("dead", "replay", str(first))
        world.cascade.run("dead", "replay", str(second), code=1)
        assert "a command of the instance waits for the site already" in world.cascade.errors
        asyncio.run(world.instances.put(planner.settled(record)))
        world.cascade.run("dead", "replay", str(second), code=1)
        assert "its outcome is recorded already" in world.cascade.errors
    assert world.stored(subject) == [codec.encode(command)]


def test_an_observation_is_replayed_as_it_is(world: World) -> None:
    asyncio.run(world.instances.put(InstanceRecord(UUID, seen_at=10.0)))
    look = Observation(world.site, UUID, 0, 20.0, ServerState("srv-1", "stopped", None, 4, "SHUTOFF"))
    number = world.bury(subjects.event(world.site, UUID), codec.encode(look))
    with world.bridge():
        assert "reduced again" in world.cascade.run("dead", "replay", str(number))
    assert world.stored(subjects.event(world.site, UUID)) == [codec.encode(look)]
    assert world.letters() == []


def test_what_cannot_be_replayed_says_why_and_can_be_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.cascade.run
    number = world.bury(subjects.command(world.site, Lane.NORMAL, UUID), GARBAGE)
    (row,) = world.letters()
    assert (row["kind"], row["what"], row["size"]) == ("command", None, len(GARBAGE))
    assert "not a Command" in world.cascade.json("dead", "show", str(number))["unreadable"]
    run("dead", "replay", str(number), code=1)
    assert f"no bridge works for site {world.site} now" in world.cascade.errors
    with world.bridge():
        run("dead", "replay", str(number), code=1)
        assert "it still cannot be read" in world.cascade.errors
    world.cascade.etcd(lambda store: store.delete(keys.spec(world.site)))
    run("dead", "replay", str(number), code=1)
    assert f"site {world.site} is gone" in world.cascade.errors
    assert f"dead letter {number} is dropped" in run("dead", "drop", str(number))
    for command in ("drop", "show", "replay"):
        run("dead", command, str(number), code=1)
        assert world.cascade.errors == f"cascade: there is no dead letter {number}; see `cascade dead list`\n"
        for wrong in ("0", "-1", "x", "1.5", "9" * 30, "²"):
            run("dead", command, "--", wrong, code=2)
            assert "is not the id of a dead letter" in world.cascade.errors
    monkeypatch.setattr("proto.jetstream.CONNECT_TIMEOUT", 0.5)
    monkeypatch.setenv("OS_NATS__SERVERS", "nats://127.0.0.1:1")
    for arguments in (["list"], ["show", "1"], ["replay", "1"], ["drop", "1"]):
        run("dead", *arguments, code=1)
        assert "cannot connect to NATS" in world.cascade.errors and world.cascade.errors.count("\n") == 1


def test_a_letter_of_an_empty_stream_is_not_there_either(world: World) -> None:
    async def purge(road: JetStream) -> None:
        await road.purge(streams.DEAD.name, subjects.DEAD_FILTER)

    number = world.bury(subjects.event(world.site, UUID), GARBAGE)
    world.cascade.road(purge)
    for late in (number, number + 1, 10**6):
        world.cascade.run("dead", "drop", str(late), code=1)
        assert world.cascade.errors == f"cascade: there is no dead letter {late}; see `cascade dead list`\n"
