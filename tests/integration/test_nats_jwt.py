"""What a site's credential may do and what not, tried on a real server: needs the program nats-server."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import nats
import nats.errors
import pytest
from nats.aio.client import Client, RawCredentials

from bridge.edge import nats_jwt
from deploy.embedded.servers import NatsServer
from proto import codec, messages, streams, subjects
from proto.errors import Malformed, Unavailable
from proto.jetstream import JetStream
from proto.operations import Lane, Verb
from tests.servers.nats import connect_bridge, connect_site, jetstream, kill, nats_server, private_nats, start_again
from tests.servers.nats import unique_site as new_site

__all__ = ["jetstream", "nats_server", "private_nats"]


async def enrol(bridge: JetStream, site: str) -> None:
    """Make what the bridge makes for a site."""
    for stream in streams.of_site(site):
        await bridge.ensure_stream(stream)
    for lane in Lane:
        await bridge.ensure_durable(streams.agent_durable(site, lane))


class Raw:
    """A connection that shows what the server refuses."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.refusals: asyncio.Queue[str] = asyncio.Queue()

    @classmethod
    async def connect(cls, server: NatsServer, creds: str, prefix: str) -> "Raw":
        raw = cls(Client())

        async def refused(error: Exception) -> None:
            raw.refusals.put_nowait(str(error).lower())

        await raw.client.connect(
            server.url,
            user_credentials=RawCredentials(creds),
            inbox_prefix=prefix,
            error_cb=refused,
            allow_reconnect=False,
        )
        return raw

    async def refusal(self) -> str:
        async with asyncio.timeout(5):
            return await self.refusals.get()


@pytest.fixture
async def paris(nats_server: NatsServer, jetstream: JetStream) -> str:
    site = new_site()
    await enrol(jetstream, site)
    return site


@pytest.fixture
async def rome(nats_server: NatsServer, jetstream: JetStream, paris: str) -> str:
    """Another site of the same streams, which is the dangerous neighbour."""
    while True:
        site = new_site()
        if subjects.shard(site) == subjects.shard(paris):
            await enrol(jetstream, site)
            return site


@pytest.fixture
async def hostile(nats_server: NatsServer, paris: str) -> AsyncIterator[Raw]:
    """A connection with the credential of paris that does whatever it likes."""
    creds = nats_jwt.site_credential(nats_server.files.account(), paris).creds
    raw = await Raw.connect(nats_server, creds, subjects.inbox_prefix(paris))
    yield raw
    await raw.client.close()


async def test_a_site_pulls_and_acknowledges_its_own_commands(
    nats_server: NatsServer, jetstream: JetStream, paris: str
) -> None:
    site = await connect_site(nats_server, paris)
    for lane in Lane:
        await jetstream.publish(subjects.command(paris, lane, "i1"), lane.encode())
        pull = await site.pull(streams.agent_durable(paris, lane))
        (delivery,) = await pull.fetch(1, timeout=5)
        assert delivery.data == lane.encode()
        await delivery.in_progress()
        await delivery.nak(0.1)
        (delivery,) = await pull.fetch(1, timeout=5)
        await delivery.ack()
        assert await jetstream.count(streams.commands(paris).name, subjects.commands_of_site(paris)) == 0
    await site.close()


async def test_a_site_can_tell_that_its_commands_may_be_pulled_without_taking_one(
    nats_server: NatsServer, jetstream: JetStream, paris: str, rome: str
) -> None:
    site, durable = await connect_site(nats_server, paris), streams.agent_durable(paris, Lane.NORMAL)
    await site.must_serve(durable)
    await jetstream.publish(subjects.command(paris, Lane.NORMAL, "i1"), b"command")
    await site.must_serve(durable)
    (delivery,) = await (await site.pull(durable)).fetch(1, timeout=5)
    assert (delivery.data, delivery.num_delivered) == (b"command", 1)
    await delivery.ack()
    with pytest.raises(Unavailable):
        await site.must_serve(streams.agent_durable(rome, Lane.NORMAL))
    await site.close()


async def test_a_site_publishes_its_own_observations_status_and_dead_letters(
    nats_server: NatsServer, jetstream: JetStream, paris: str
) -> None:
    site = await connect_site(nats_server, paris)
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def status(_subject: str, data: bytes) -> None:
        seen.put_nowait(data)

    subscription = await jetstream.subscribe(subjects.status(paris), status)
    await asyncio.sleep(0.1)
    assert await site.publish(subjects.event(paris, "i1"), b"event")
    assert await site.publish(subjects.dead(paris), b"dead")
    await site.send(subjects.status(paris), b"alive")
    async with asyncio.timeout(5):
        assert await seen.get() == b"alive"
    assert await jetstream.count(streams.events(paris).name, subjects.event(paris, "i1")) == 1
    await subscription.stop()
    await site.close()


async def test_a_site_answers_queries_and_asks(nats_server: NatsServer, jetstream: JetStream, paris: str) -> None:
    site = await connect_site(nats_server, paris)

    async def echo(subject: str, data: bytes) -> bytes:
        return subject.encode() + b" " + data

    await site.subscribe(subjects.query_filter(paris), echo)
    await jetstream.subscribe(subjects.ask_filter(paris), echo)
    await asyncio.sleep(0.1)
    for question in (b"1", b"2"):
        subject = subjects.query(paris, "console_output")
        assert await jetstream.request(subject, question, timeout=5) == subject.encode() + b" " + question
        subject = subjects.ask(paris, "image_chunk")
        assert await site.request(subject, question, timeout=5) == subject.encode() + b" " + question
    await site.close()


async def test_a_site_cannot_publish_what_is_not_its_own(hostile: Raw, paris: str, rome: str) -> None:
    durable = streams.agent_durable(rome, Lane.NORMAL)
    own = streams.agent_durable(paris, Lane.NORMAL)
    for subject in (
        subjects.command(paris, Lane.NORMAL, "i1"),
        subjects.command(rome, Lane.URGENT, "i1"),
        subjects.intake(paris, "i1"),
        subjects.event(rome, "i1"),
        subjects.status(rome),
        subjects.dead(rome),
        subjects.ask(rome, "image_chunk"),
        subjects.query(paris, "census"),
        f"_INBOX_{rome}.x",
        "_INBOX.x",
        f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}",
        f"$JS.API.CONSUMER.INFO.{durable.stream}.{durable.name}",
        f"$JS.ACK.{durable.stream}.{durable.name}.1.1.1.1.0",
        f"$JS.ACK._.hash.{durable.stream}.{durable.name}.1.1.1.1.0.x",
        f"$JS.API.CONSUMER.CREATE.{own.stream}",
        f"$JS.API.CONSUMER.CREATE.{own.stream}.mine.cascade.v1.cmd.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{own.stream}.mine",
        f"$JS.API.CONSUMER.DELETE.{own.stream}.{own.name}",
        f"$JS.API.STREAM.INFO.{own.stream}",
        f"$JS.API.STREAM.PURGE.{own.stream}",
        f"$JS.API.STREAM.MSG.GET.{own.stream}",
        f"$JS.API.DIRECT.GET.{own.stream}",
        f"$JS.API.DIRECT.GET.{own.stream}.{subjects.command(rome, Lane.NORMAL, 'i1')}",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$SYS.REQ.SERVER.PING",
    ):
        await hostile.client.publish(subject, b"")
        assert f'publish to "{subject.lower()}"' in await hostile.refusal()


async def test_a_site_cannot_listen_to_others(hostile: Raw, paris: str, rome: str) -> None:
    for subject in (
        ">",
        "cascade.>",
        subjects.command_filter(paris, Lane.NORMAL),
        subjects.commands_of_site(rome),
        subjects.event_filter(paris),
        subjects.event_filter(rome),
        subjects.query_filter(rome),
        subjects.ask_filter(rome),
        subjects.status(rome),
        "_INBOX.>",
        f"_INBOX_{rome}.>",
        "$JS.API.>",
        "$JS.ACK.>",
    ):
        await hostile.client.subscribe(subject)
        assert f'subscription to "{subject.lower()}"' in await hostile.refusal()


async def test_a_site_cannot_bind_to_another_sites_durable(nats_server: NatsServer, hostile: Raw, rome: str) -> None:
    context = hostile.client.jetstream(timeout=1)
    durable = streams.agent_durable(rome, Lane.NORMAL)
    pull = await context.pull_subscribe_bind(consumer=durable.name, stream=durable.stream)
    with pytest.raises((nats.errors.TimeoutError, TimeoutError)):
        await pull.fetch(1, timeout=0.5)
    assert "msg.next" in await hostile.refusal()


async def test_a_new_site_needs_no_reload(nats_server: NatsServer, jetstream: JetStream) -> None:
    before = nats_server.files.config.read_bytes()
    for _ in range(3):
        site = new_site()
        await enrol(jetstream, site)
        connection = await connect_site(nats_server, site)
        assert await connection.publish(subjects.event(site, "i1"), b"")
        await connection.close()
    assert nats_server.files.config.read_bytes() == before


async def test_credentials_of_another_account_key_are_refused(nats_server: NatsServer) -> None:
    forged = nats_jwt.site_credential(nats_jwt.new_account(), "paris").creds
    with pytest.raises(Exception, match=r"(?i)authorization|closed|connection"):
        await Raw.connect(nats_server, forged, "_INBOX_paris")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nats-py leaks a socket at reconnect
async def test_all_shards_fit_and_durables_outlive_a_kill(private_nats: NatsServer) -> None:
    bridge = await connect_bridge(private_nats)
    sites: dict[int, str] = {}
    while len(sites) < subjects.SHARDS:
        site = f"s-{uuid.uuid4().hex[:8]}"
        sites.setdefault(subjects.shard(site), site)
    for site in sites.values():
        await enrol(bridge, site)
        await bridge.publish(subjects.command(site, Lane.NORMAL, "i1"), b"x")
    kill(private_nats)
    await asyncio.to_thread(start_again, private_nats)
    for site in sites.values():
        assert await bridge.count(streams.commands(site).name, subjects.commands_of_site(site)) == 1
    await bridge.close()


async def test_more_than_a_thousand_durables_fit_in_a_stream(private_nats: NatsServer) -> None:
    bridge = await connect_bridge(private_nats)
    stream = streams.commands("paris")
    await bridge.ensure_stream(stream)
    for start in range(0, 1100, 100):
        await asyncio.gather(
            *(
                bridge.ensure_durable(
                    streams.Durable(stream.name, f"d{n}", f"{stream.subjects[0][:-1]}s{n}.normal.>", 30)
                )
                for n in range(start, start + 100)
            )
        )
    await bridge.close()


# -- a confused deputy: the server does not check reply subjects ------------------------------------------------------


async def test_what_a_site_makes_the_server_send_to_others_is_never_a_message_of_theirs(
    nats_server: NatsServer, jetstream: JetStream, hostile: Raw, paris: str, rome: str
) -> None:
    """A reply subject may be any: so junk, and commands of the site itself, can reach a neighbour's streams.

    Receivers therefore check kind and site of what they read; this test fails when more than that gets through.
    """
    own = streams.agent_durable(paris, Lane.NORMAL)
    await jetstream.publish(subjects.command(paris, Lane.NORMAL, "i1"), codec.encode(command(paris)))
    for target in (subjects.command(rome, Lane.NORMAL, "i9"), subjects.event(rome, "i9"), subjects.intake(rome, "i9")):
        for request in ("INFO", "MSG.NEXT"):
            await hostile.client.publish(f"$JS.API.CONSUMER.{request}.{own.stream}.{own.name}", b"", reply=target)
    await asyncio.sleep(0.5)
    await jetstream.ensure_durable(streams.intake_durable(rome, 1))
    await jetstream.ensure_durable(streams.events_durable(rome, 1))
    for durable, kind in (
        (streams.agent_durable(rome, Lane.NORMAL), messages.Command),
        (streams.events_durable(rome, 1), messages.Observation),
        (streams.intake_durable(rome, 1), messages.Rpc),
    ):
        for delivery in await (await jetstream.pull(durable)).fetch(10, timeout=0.5):
            with contextlib.suppress(Malformed):
                assert codec.decode(delivery.data, kind) == command(paris)
            await delivery.term()


def command(site: str) -> messages.Command:
    return messages.Command(site, "i1", 1, 1, Verb.STOP, 1.0, None, "req-1")
