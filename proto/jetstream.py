"""The road: publish, consume, request and respond over NATS JetStream. The only importer of nats."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext

from proto import subjects, tracing
from proto.errors import Misconfigured, Unavailable
from proto.streams import MAX_ACK_PENDING, Durable, Stream

LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10  # s
RECONNECT_WAIT = 0.25  # s between two tries
COMPLAINT_INTERVAL = 60  # s between two log lines about a server that is away
PUBLISH_TIMEOUT = 5  # s for one PubAck
PUBLISH_PATIENCE = 20  # s of retries with the same headers before Unavailable
WRONG_LAST_SEQUENCE = 10071
CONSUMER_GONE = (404, 409)

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """One message as its stream holds it."""

    sequence: int
    subject: str
    data: bytes
    headers: Headers
    at: float  # UTC epoch s, when it was stored


@dataclass(slots=True)
class Delivery:
    """One message taken from a durable; exactly one of ack, nak, term must follow."""

    message: Msg
    subject: str
    data: bytes
    headers: Headers
    num_delivered: int  # counts naks too
    sequence: int  # of the message in its stream: the same in every delivery

    async def ack(self) -> None:
        """Acknowledge and wait until the server has it; Unavailable if it does not answer."""
        try:
            await self.message.ack_sync(timeout=PUBLISH_TIMEOUT)
        except nats.errors.MsgAlreadyAckdError:
            return
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable(f"acknowledging {self.subject}: {error!r}") from error

    async def nak(self, delay: float) -> None:
        """Give it back; it comes again after ``delay`` s."""
        with contextlib.suppress(nats.errors.Error):
            await self.message.nak(delay=delay)

    async def term(self) -> None:
        """Take it out for good without having worked it."""
        with contextlib.suppress(nats.errors.Error):
            await self.message.term()

    async def in_progress(self) -> None:
        """Restart the ack wait while work goes on."""
        with contextlib.suppress(nats.errors.Error):
            await self.message.in_progress()


class Pull:
    """Pulls from one durable consumer."""

    def __init__(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription

    async def fetch(self, batch: int, timeout: float) -> list[Delivery]:
        """Return up to ``batch`` deliveries, an empty list after ``timeout`` s; Unavailable while NATS is away."""
        try:
            messages = await self._subscription.fetch(batch, timeout=timeout)
        except (nats.errors.TimeoutError, TimeoutError):
            return []
        except (nats.errors.Error, nats.js.errors.Error) as error:
            raise Unavailable(f"pulling: {error!r}", retry_after=1.0) from error
        return [_delivery(message) for message in messages]

    async def close(self) -> None:
        """Stop pulling."""
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()


class JetStream:
    """One connection of a process. Safe for many tasks of one event loop."""

    def __init__(self, client: Client, complaints: "_Complaints") -> None:
        self._client = client
        self._complaints = complaints
        self._js: JetStreamContext = client.jetstream(timeout=PUBLISH_TIMEOUT)

    @classmethod
    async def connect(
        cls,
        servers: list[str],
        name: str,
        credentials: str | None = None,
        ca_file: str | None = None,
        inbox_prefix: str = "_INBOX",
    ) -> "JetStream":
        """Connect or raise Misconfigured after CONNECT_TIMEOUT s; ``credentials`` is the content of a .creds file."""
        client = Client()
        complaints = _Complaints(servers)
        options: dict[str, Any] = {}
        if credentials:
            options["user_credentials"] = RawCredentials(credentials)
        if ca_file:
            options["tls"] = ssl.create_default_context(cafile=ca_file)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await client.connect(
                    servers=servers,
                    name=name,
                    inbox_prefix=inbox_prefix,
                    error_cb=complaints.error,
                    disconnected_cb=complaints.disconnected,
                    reconnected_cb=complaints.reconnected,
                    reconnect_time_wait=RECONNECT_WAIT,
                    max_reconnect_attempts=-1,
                    ping_interval=15,
                    **options,
                )
        except (TimeoutError, nats.errors.Error, OSError, ValueError) as error:
            with contextlib.suppress(Exception):
                await client.close()
            reason = complaints.last or repr(error)
            raise Misconfigured(
                f"cannot connect to NATS at {', '.join(servers)}: {reason}; check [nats] servers and the credentials"
            ) from error
        return cls(client, complaints)

    @property
    def connected(self) -> bool:
        """Whether the connection stands at this moment."""
        return bool(self._client.is_connected)

    async def close(self) -> None:
        """Flush and close."""
        self._complaints.closing = True
        try:
            async with asyncio.timeout(5):
                await self._client.drain()
        except (TimeoutError, nats.errors.Error):
            await self._client.close()

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str | None = None,
        none_pending: str | None = None,
        headers: Headers | None = None,
    ) -> bool:
        """Store a message and return True once it is durable.

        ``message_id`` lets the stream drop a repeat; ``none_pending`` (a subject filter) stores it only if no message
        of that filter is there. Returns False if one of the two kept it out. Retries with the same headers for
        PUBLISH_PATIENCE s, then raises Unavailable: it may be stored or not, so publish it again later.
        """
        all_headers = {**tracing.inject(), **(headers or {})}
        if message_id:
            all_headers[subjects.HEADER_MESSAGE_ID] = message_id
        if none_pending:
            all_headers[subjects.HEADER_EXPECTED_SEQUENCE] = "0"
            all_headers[subjects.HEADER_EXPECTED_SUBJECT] = none_pending
        give_up = time.monotonic() + PUBLISH_PATIENCE
        while True:
            try:
                ack = await self._js.publish(subject, data, headers=all_headers or None)
                return not ack.duplicate
            except nats.js.errors.APIError as error:
                if error.err_code == WRONG_LAST_SEQUENCE:
                    return False
                problem: Exception = error
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
                problem = error
            if time.monotonic() > give_up:
                raise Unavailable(f"publishing to {subject}: {problem!r}", retry_after=5.0)
            await asyncio.sleep(RECONNECT_WAIT)

    async def send(self, subject: str, data: bytes) -> None:
        """Publish without storing or waiting; lost if nobody listens or the connection is away."""
        with contextlib.suppress(nats.errors.Error):
            await self._client.publish(subject, data, headers=tracing.inject() or None)

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Ask and return the answer; Unavailable if none comes within ``timeout`` s or nobody listens."""
        try:
            reply = await self._client.request(subject, data, timeout=timeout, headers=tracing.inject() or None)
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable(f"no answer on {subject}: {error!r}") from error
        return bytes(reply.data)

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[str, bytes], Awaitable[bytes | None]],
        replies_to: str = "",
        group: str = "",
    ) -> "Subscription":
        """Call ``handler(subject, data)`` for each message, many at once; answer requests with what it returns.

        Only an answer to a reply subject that starts with ``replies_to`` is sent: the server lets a client name any.
        Of those that subscribe in the same ``group`` each message goes to one.
        """
        running: set[asyncio.Task[None]] = set()

        async def answer(message: Msg) -> None:
            with tracing.continued(message.headers or {}):
                try:
                    reply = await handler(message.subject, message.data)
                except Exception:
                    LOG.exception("handler of %s failed", message.subject)
                    return
            if reply is not None and message.reply and message.reply.startswith(replies_to):
                with contextlib.suppress(nats.errors.Error):
                    await message.respond(reply)

        async def start(message: Msg) -> None:
            task = asyncio.create_task(answer(message), name=f"answer {message.subject}")
            running.add(task)
            task.add_done_callback(running.discard)

        return Subscription(await self._client.subscribe(subject, queue=group, cb=start))

    async def pull(self, durable: Durable) -> Pull:
        """Return a puller of a durable that exists; needs no right to create it."""
        subscription = await self._js.pull_subscribe_bind(consumer=durable.name, stream=durable.stream)
        return Pull(subscription)

    async def must_serve(self, durable: Durable) -> None:
        """Raise Unavailable unless a durable is there to pull from; takes nothing, for no message fits into a byte.

        A puller has the right to pull, and no other, so this is its only way to ask.
        """
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}"
        with _translated(f"consumer {durable.name}"):
            await self._client.request(subject, b'{"batch":1,"no_wait":true,"max_bytes":1}', timeout=PUBLISH_TIMEOUT)

    async def ensure_stream(self, stream: Stream) -> None:
        """Make the stream exist; an existing one keeps its settings. Unavailable while NATS does not answer."""
        config = api.StreamConfig(
            name=stream.name,
            subjects=list(stream.subjects),
            retention=api.RetentionPolicy.WORK_QUEUE if stream.work_queue else api.RetentionPolicy.LIMITS,
            discard=api.DiscardPolicy.NEW if stream.work_queue else api.DiscardPolicy.OLD,
            max_bytes=stream.max_bytes,
            storage=api.StorageType.FILE,
            duplicate_window=120,
        )
        with _translated(f"stream {stream.name}"):
            try:
                await self._js.stream_info(stream.name)
            except nats.js.errors.NotFoundError:
                await self._js.add_stream(config)

    async def ensure_durable(self, durable: Durable) -> None:
        """Make the durable exist; may be repeated."""
        config = api.ConsumerConfig(
            durable_name=durable.name,
            filter_subject=durable.filter_subject,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=durable.ack_wait,
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
        )
        with _translated(f"consumer {durable.name}"):
            await self._js.add_consumer(durable.stream, config)

    async def exists(self, durable: Durable) -> bool:
        """Whether a durable and its stream are there; Unavailable while NATS does not say."""
        with _translated(f"consumer {durable.name}"):
            try:
                await self._js.consumer_info(durable.stream, durable.name)
            except nats.js.errors.NotFoundError:
                return False
            return True

    async def delete_durables(self, stream: str, prefix: str) -> None:
        """Delete every durable of a stream whose name starts with ``prefix``; what was in flight comes again."""
        with _translated(f"consumers of {stream}"):
            for name in await self._durable_names(stream):
                if name.startswith(prefix):
                    with contextlib.suppress(nats.js.errors.NotFoundError):
                        await self._js.delete_consumer(stream, name)

    async def _durable_names(self, stream: str) -> list[str]:
        names: list[str] = []
        while True:
            page = await self._js.consumers_info(stream, offset=len(names))
            names += [info.name for info in page if info.name]
            if not page:
                return names

    async def purge(self, stream: str, subject: str) -> None:
        """Remove every message of a subject filter, in flight or not."""
        with _translated(f"purge {subject}"), contextlib.suppress(nats.js.errors.NotFoundError):
            await self._js.purge_stream(stream, subject=subject)

    async def count(self, stream: str, subject: str) -> int:
        """Return how many messages of a subject filter are stored; 0 if the stream does not exist."""
        with _translated(f"count {subject}"):
            try:
                info = await self._js.stream_info(stream, subjects_filter=subject)
            except nats.js.errors.NotFoundError:
                return 0
            return sum((info.state.subjects or {}).values())

    async def stored(self, stream: str, sequence: int, subject: str | None = None) -> Stored | None:
        """Return the message of that sequence, or with a ``subject`` filter the first from there on; None = none."""
        with _translated(f"message {sequence} of {stream}"):
            try:
                found = await self._js.get_msg(stream, seq=sequence, subject=subject, next=subject is not None)
            except nats.js.errors.NotFoundError:
                return None
        at = found.time.timestamp() if found.time else 0.0
        return Stored(found.seq or 0, found.subject or "", found.data or b"", found.headers or {}, at)

    async def delete_stored(self, stream: str, sequence: int) -> bool:
        """Remove one message for good; False if there is none of that sequence."""
        with _translated(f"message {sequence} of {stream}"):
            try:
                await self._js.delete_msg(stream, sequence)
            except nats.js.errors.APIError:  # its code depends on whether other messages are there
                if await self.stored(stream, sequence) is not None:
                    raise
                return False
            return True


class Subscription:
    """A core subscription."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    async def stop(self) -> None:
        """Take no further message."""
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()


class _Complaints:
    """Says that a server is away at once and then once a minute, and keeps the last reason."""

    def __init__(self, servers: list[str]) -> None:
        self._servers = ", ".join(servers)
        self._next = 0.0
        self.last = ""
        self.closing = False  # then a lost connection is what we want

    async def error(self, error: Exception) -> None:
        self.last = str(error) or repr(error)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + COMPLAINT_INTERVAL
            LOG.warning("NATS at %s: %s", self._servers, self.last)

    async def disconnected(self) -> None:
        if not self.closing:
            LOG.warning("NATS at %s: connection lost, reconnecting", self._servers)

    async def reconnected(self) -> None:
        self._next = 0.0
        LOG.info("NATS at %s: connected again", self._servers)


def _delivery(message: Msg) -> Delivery:
    return Delivery(
        message=message,
        subject=message.subject,
        data=bytes(message.data),
        headers=dict(message.headers or {}),
        num_delivered=int(message.metadata.num_delivered or 1),
        sequence=int(message.metadata.sequence.stream),
    )


@contextlib.contextmanager
def _translated(what: str) -> Any:
    try:
        yield
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
        raise Unavailable(f"{what}: {error!r}") from error
