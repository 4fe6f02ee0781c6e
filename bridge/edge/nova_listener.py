"""One AMQP connection that consumes the Nova queues of many hosts, in one thread of its own.

oslo.messaging's own listener acknowledges before it hands a message over, needs a connection per host and sleeps up
to 5 s between operations. Here whoever got a message says when it is acknowledged, all hosts share one channel, and
the thread waits on its socket and a wake-up. What is used of the rabbit driver's private parts (``Connection`` and
``Consumer``: TLS, durability, quorum queues) is pinned by ``oslo.messaging<19`` and by tests/integration.
"""

import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import amqp.exceptions
import kombu.exceptions
from oslo_messaging._drivers import common, impl_rabbit

from proto.errors import CascadeError, Misconfigured

LOG = logging.getLogger(__name__)

TOPICS = ("compute", "compute-alt")  # Nova 33 and later send some methods to the second one
PREFETCH = 16  # unacknowledged messages of one queue: a site whose messages cannot be stored blocks only itself
READ_TIMEOUT = 5  # s for the rest of a frame that has begun
IDLE_BEAT = 5.0  # s between two looks at a connection without AMQP heartbeats
RECONNECT_WAITS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # s; the last one for ever
STEADY = 5  # s after which a connection was a good one
COMPLAINT_INTERVAL = 60  # s between two log lines about a server that is away

CONNECTION_ERRORS = (OSError, kombu.exceptions.OperationalError, amqp.exceptions.AMQPError)

Done = Callable[[CascadeError | None], None]


@dataclass(slots=True, eq=False)
class Delivery:
    """One message of one host; exactly one of Listener.acknowledge and Listener.requeue must follow."""

    host: str
    message: dict[str, Any]  # as oslo.messaging wrote it, envelope removed
    redelivered: bool
    session: int  # the connection it came on: its tag names another message on any other
    tag: int


class Listener:
    """Consumes ``compute.<host>`` and ``compute-alt.<host>`` of the hosts it was told to serve.

    ``received`` and every ``done`` are called in the listener's thread. Methods may be called from any thread and
    return at once, except start and stop.
    """

    def __init__(self, transport: Any, received: Callable[[Delivery], None], prefetch: int = PREFETCH) -> None:
        self._driver = transport._driver
        self._received = received
        self._prefetch = prefetch
        self._amqp: Any = None  # oslo's Connection: holds kombu's, which holds py-amqp's
        self._poll = select.poll()
        self._wanted: dict[str, list[Any]] = {}  # host -> its Consumers; this and the next three: thread only
        self._consumed: set[str] = set()
        self._waiting: list[tuple[set[str], Done]] = []
        self._beat_due = 0.0
        self._tasks: deque[Callable[[], None]] = deque()
        self._signal, self._woken = socket.socketpair()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nova-listener", daemon=True)
        self._last_complaint = float("-inf")
        self.session = 0  # changes whenever the connection is made or lost
        self.connected = False

    @property
    def place(self) -> str:
        """host:port and virtual host of the transport's URL, without the password."""
        url = self._driver._url
        hosts = ", ".join(f"{host.hostname}:{host.port or 5672}" for host in url.hosts)
        return f"{hosts or 'localhost:5672'}/{url.virtual_host or ''}"

    def start(self) -> None:
        """Connect and start the thread; blocks, Misconfigured if RabbitMQ cannot be used."""
        retries = max(1, len(self._driver._url.hosts) - 1)
        try:
            self._amqp = self._driver._connection_pool.create(common.PURPOSE_LISTEN, retry=retries)
        except CONNECTION_ERRORS as error:
            raise Misconfigured(f"cannot use RabbitMQ at {self.place}: {error}; check transport_url") from error
        self._amqp.rabbit_qos_prefetch_count = self._prefetch  # oslo sets it on every new channel, per consumer
        self._signal.setblocking(False)
        self._woken.setblocking(False)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Close the connection; RabbitMQ gives what is unacknowledged to the next consumer. Blocks up to timeout s."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def serve(self, hosts: Iterable[str], done: Done) -> None:
        """Consume the hosts' queues from now on and after every reconnect, then ``done``. May be repeated.

        ``done`` gets Misconfigured if a queue exists with other properties; that host is then not served.
        """
        names = set(hosts)

        def add() -> None:
            for host in names - self._wanted.keys():
                self._wanted[host] = [self._consumer(host, topic) for topic in TOPICS]
            self._waiting.append((names, done))

        self._do(add)

    def forget(self, hosts: Iterable[str], done: Done) -> None:
        """Stop consuming; the queues stay, so that messages wait for the next owner. Then ``done``."""
        names = set(hosts)

        def drop() -> None:
            consumed = names & self._consumed
            self._consumed -= names
            consumers = {host: self._wanted.pop(host, []) for host in names}
            try:
                for host in consumed:
                    for consumer in consumers[host]:
                        consumer.cancel(consumer.queue_name)
            finally:  # if it failed the session ends, and the next one does not have these consumers
                done(None)

        self._do(drop)

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell RabbitMQ that the message is done; no effect if its connection is gone (it comes again)."""
        self._do(lambda: self.acknowledge_here(delivery))

    def acknowledge_here(self, delivery: Delivery) -> None:
        """Acknowledge at once; only for ``received``."""
        if delivery.session == self.session:
            self._amqp.channel.basic_ack(delivery.tag)

    def requeue(self, delivery: Delivery) -> None:
        """Give the message back to its queue; no effect if its connection is gone."""

        def reject() -> None:
            if delivery.session == self.session:
                self._amqp.channel.basic_reject(delivery.tag, True)

        self._do(reject)

    def _do(self, task: Callable[[], None]) -> None:
        self._tasks.append(task)
        self._wake()

    def _wake(self) -> None:
        try:
            self._signal.send(b"\0")
        except BlockingIOError:
            return  # full of wake-ups already

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._work()
            except CONNECTION_ERRORS as error:
                self._complain(error)
            except Exception:
                LOG.exception("bug in the Nova listener; connecting again")
            if not self._stopping.is_set():
                self._lose()
                failures = 0 if time.monotonic() - began > STEADY else failures + 1
                self._pause(RECONNECT_WAITS[min(failures, len(RECONNECT_WAITS) - 1)])
        self._close()

    def _work(self) -> None:
        """Connect and serve until an error or stop."""
        self._connect()
        while not self._stopping.is_set():
            self._run_tasks()
            self._consume_wanted()
            if self._wait_for_bytes():
                try:
                    self._amqp.connection.connection.blocking_read(READ_TIMEOUT)  # one frame
                except TimeoutError:
                    LOG.debug("half a frame for %s s", READ_TIMEOUT)

    def _connect(self) -> None:
        kombu_connection = self._amqp.connection
        others = len(kombu_connection.alt or ())
        kombu_connection.ensure_connection(max_retries=others, interval_start=0, interval_step=0, interval_max=0)
        if self._amqp.channel is None:
            self._amqp._set_current_channel(kombu_connection.channel())
            self._amqp.set_transport_socket_timeout()
        self._poll = select.poll()
        self._poll.register(kombu_connection.connection.transport.sock, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._beat_due = 0.0
        self.session += 1
        self.connected = True
        LOG.info("listening to Nova on %s", self.place)

    def _lose(self) -> None:
        self.session += 1
        self.connected = False
        self._consumed.clear()
        self._amqp.channel = None
        self._amqp.connection.collect()  # closes the socket without a word: the server may be gone

    def _run_tasks(self) -> None:
        while self._tasks:
            self._tasks.popleft()()

    def _consume_wanted(self) -> None:
        if len(self._consumed) < len(self._wanted):
            for host in self._wanted.keys() - self._consumed:
                try:
                    for consumer in self._wanted[host]:
                        consumer.declare(self._amqp)
                        consumer.consume(self._amqp, consumer.queue_name)
                except amqp.exceptions.PreconditionFailed as error:
                    self._refuse(host, error)
                    raise
                self._consumed.add(host)
        while self._waiting:
            self._waiting.pop()[1](None)

    def _refuse(self, host: str, error: Exception) -> None:
        """Give a host up if somebody waits for it; one that worked before is tried again for ever."""
        for names, done in [pair for pair in self._waiting if host in pair[0]]:
            self._waiting.remove((names, done))
            self._wanted.pop(host, None)
            done(
                Misconfigured(
                    f"the Nova queues of {host} have other properties ({error}); [oslo_messaging_rabbit] must be "
                    "as in the cloud's nova.conf"
                )
            )

    def _consumer(self, host: str, topic: str) -> Any:
        """Return the same Consumer that oslo's declare_topic_consumer would make for a server of this topic."""
        connection = self._amqp
        return impl_rabbit.Consumer(
            exchange_name=self._driver._default_exchange,
            queue_name=f"{topic}.{host}",
            routing_key=f"{topic}.{host}",
            type="topic",
            durable=connection.durable,
            exchange_auto_delete=connection.amqp_auto_delete,
            queue_auto_delete=connection.amqp_auto_delete,
            callback=lambda message: self._received(self._delivery(host, message)),
            rabbit_ha_queues=connection.rabbit_ha_queues,
            enable_cancel_on_failover=connection.enable_cancel_on_failover,
            rabbit_quorum_queue=connection.rabbit_quorum_queue,
            rabbit_quorum_queue_config=connection.rabbit_quorum_queue_config,
        )

    def _delivery(self, host: str, message: Any) -> Delivery:
        info = message._raw_message.delivery_info
        return Delivery(host, dict(message), bool(info["redelivered"]), self.session, info["delivery_tag"])

    def _wait_for_bytes(self) -> bool:
        """Wait for a frame or a task, whichever is first; True if a frame has begun."""
        now = time.monotonic()
        if now >= self._beat_due:
            self._amqp._heartbeat_check()
            self._beat_due = now + (self._amqp._heartbeat_wait_timeout or IDLE_BEAT)
        transport = self._amqp.connection.connection.transport
        if getattr(transport.sock, "pending", int)():  # TLS has decrypted more than was read
            return True
        ready = self._poll.poll(0 if self._tasks else (self._beat_due - now) * 1000)
        for descriptor, _ in ready:
            if descriptor == self._woken.fileno():
                self._woken.recv(4096)
        return any(descriptor != self._woken.fileno() for descriptor, _ in ready)

    def _pause(self, seconds: float) -> None:
        """Wait before the next try, running tasks: without a connection they only change what is wanted."""
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            self._run_tasks()
            if select.select([self._woken], [], [], left)[0]:
                self._woken.recv(4096)

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._last_complaint > COMPLAINT_INTERVAL:
            self._last_complaint = now
            LOG.warning("RabbitMQ at %s is away, trying again: %s", self.place, error)

    def _close(self) -> None:
        try:
            self._run_tasks()
            self._amqp.close()
        except CONNECTION_ERRORS as error:
            LOG.info("closing the connection to RabbitMQ: %s", error)
        finally:
            if self._amqp.connection is not None:
                self._amqp.connection.collect()
