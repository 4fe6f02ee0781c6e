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
from oslo_messaging._drivers import common

from bridge.edge.nova_queues import Done, Queues
from proto.errors import Misconfigured

LOG = logging.getLogger(__name__)

PREFETCH = 16  # unacknowledged messages of one queue: a site whose messages cannot be stored blocks only itself
READ_TIMEOUT = 5  # s for the rest of a frame that has begun
IDLE_BEAT = 5.0  # s between two looks at a connection without AMQP heartbeats
RECONNECT_WAITS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # s; the last one for ever
STEADY = 5  # s after which a connection was a good one
COMPLAINT_INTERVAL = 60  # s between two log lines about a server that is away

CONNECTION_ERRORS = (OSError, kombu.exceptions.OperationalError, amqp.exceptions.AMQPError)


@dataclass(slots=True, eq=False)
class Delivery:
    """One message of one host; exactly one of Listener.acknowledge and Listener.requeue must follow."""

    host: str
    message: dict[str, Any]  # as oslo.messaging wrote it, envelope removed
    redelivered: bool
    session: int  # the connection it came on: its tag names another message on any other
    tag: int


class Listener:
    """Consumes the queues of the hosts it was told to serve, reconnecting for ever.

    ``received`` and every ``done`` are called in the listener's thread. Methods may be called from any thread after
    start, and return at once, except start and stop.
    """

    def __init__(self, transport: Any, received: Callable[[Delivery], None], prefetch: int = PREFETCH) -> None:
        self._driver = transport._driver
        self._received = received
        self._prefetch = prefetch
        self._amqp: Any = None  # oslo's Connection: holds kombu's, which holds py-amqp's
        self._queues: Queues
        self._poll = select.poll()
        self._signal: socket.socket
        self._woken: socket.socket
        self._tasks: deque[Callable[[], None]] = deque()
        self._thread = threading.Thread(target=self._run, name="nova-listener", daemon=True)
        self._stopping = threading.Event()
        self._beat_due = 0.0  # monotonic s
        self._last_complaint = float("-inf")  # monotonic s
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
        self._amqp._set_qos(self._amqp.channel)
        self._queues = Queues(self._amqp, self._driver._default_exchange, self._take)
        self._signal, self._woken = socket.socketpair()
        self._signal.setblocking(False)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Close the connection; RabbitMQ gives what is unacknowledged to the next consumer. Blocks up to timeout s."""
        if self._thread.is_alive():
            self._stopping.set()
            self._wake()
            self._thread.join(timeout)

    def serve(self, hosts: Iterable[str], done: Done) -> None:
        """Consume these hosts' queues too, now and after every reconnect, then ``done``. May be repeated.

        ``done`` gets Misconfigured if a queue exists with other properties; that host is then not served.
        """
        names = set(hosts)
        self._do(lambda: self._queues.want(names, done))

    def forget(self, hosts: Iterable[str], done: Done) -> None:
        """Stop consuming; the queues stay, so that messages wait for the next owner. Then ``done``."""
        names = set(hosts)

        def drop() -> None:
            try:
                self._queues.drop(names)
            finally:
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
        except OSError:
            return  # full of wake-ups already, or stopped

    def _take(self, host: str, message: Any) -> None:
        info = message._raw_message.delivery_info
        self._received(Delivery(host, dict(message), bool(info["redelivered"]), self.session, info["delivery_tag"]))

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
            self._queues.bring_up()
            if self._wait_for_bytes():
                try:
                    self._amqp.connection.connection.blocking_read(READ_TIMEOUT)  # one frame
                except TimeoutError:
                    LOG.debug("half a frame for %s s", READ_TIMEOUT)

    def _connect(self) -> None:
        connection = self._amqp.connection
        others = len(connection.alt or ())
        connection.ensure_connection(max_retries=others, interval_start=0, interval_step=0, interval_max=0)
        if self._amqp.channel is None:
            self._amqp._set_current_channel(connection.channel())
            self._amqp.set_transport_socket_timeout()
        self._poll = select.poll()
        self._poll.register(connection.connection.transport.sock, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._beat_due = 0.0
        self.session += 1
        self.connected = True
        LOG.info("listening to Nova on %s", self.place)

    def _lose(self) -> None:
        self.session += 1
        self.connected = False
        self._queues.lost()
        self._amqp.channel = None
        self._amqp.connection.collect()  # closes the socket without a word: the server may be gone

    def _run_tasks(self) -> None:
        while self._tasks:
            self._tasks.popleft()()

    def _wait_for_bytes(self) -> bool:
        """Wait for a frame or a task, whichever is first; True if a frame has begun."""
        now = time.monotonic()
        if now >= self._beat_due:
            self._amqp._heartbeat_check()
            self._beat_due = now + (self._amqp._heartbeat_wait_timeout or IDLE_BEAT)
        if getattr(self._amqp.connection.connection.transport.sock, "pending", int)():
            return True  # TLS has decrypted more than was read
        wakened = self._woken.fileno()
        ready = {descriptor for descriptor, _ in self._poll.poll(0 if self._tasks else (self._beat_due - now) * 1000)}
        if wakened in ready:
            self._woken.recv(4096)
        return bool(ready - {wakened})

    def _pause(self, seconds: float) -> None:
        """Wait before the next try, running tasks: without a connection they only change what is wanted."""
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            self._run_tasks()
            waker = select.poll()
            waker.register(self._woken, select.POLLIN)
            if waker.poll(left * 1000):
                self._woken.recv(4096)

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._last_complaint > COMPLAINT_INTERVAL:
            self._last_complaint = now
            LOG.warning("RabbitMQ at %s is away, trying again: %s", self.place, error)

    def _close(self) -> None:
        connection = self._amqp.connection
        try:
            self._run_tasks()
            self._amqp.close()
        except CONNECTION_ERRORS as error:
            LOG.info("closing the connection to RabbitMQ: %s", error)
            connection.collect()
        finally:
            self.connected = False
            self._signal.close()
            self._woken.close()
