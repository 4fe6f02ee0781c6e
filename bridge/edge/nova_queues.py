"""Which Nova queues one connection consumes: declared as Nova's own hosts declare them, again after every reconnect."""

from collections.abc import Callable
from typing import Any

import amqp.exceptions
from oslo_messaging._drivers import impl_rabbit

from proto.errors import CascadeError, Misconfigured

TOPICS = ("compute", "compute-alt")  # Nova 33 and later send some methods to the second one

Done = Callable[[CascadeError | None], None]
Received = Callable[[str, Any], None]  # host, oslo's RabbitMessage


class Queues:
    """Level, not edge: knows the hosts wanted and those consumed on the present channel. For one thread."""

    def __init__(self, connection: Any, exchange: str, received: Received) -> None:
        self._connection = connection  # oslo's Connection of the rabbit driver
        self._exchange = exchange
        self._received = received
        self._wanted: dict[str, list[Any]] = {}  # host -> its Consumers
        self._consumed: set[str] = set()
        self._waiting: list[tuple[set[str], Done]] = []

    def want(self, hosts: set[str], done: Done) -> None:
        """Consume these from the next bring_up on; ``done`` then, with Misconfigured if it cannot be."""
        for host in hosts - self._wanted.keys():
            self._wanted[host] = [self._consumer(host, topic) for topic in TOPICS]
        self._waiting.append((hosts, done))

    def drop(self, hosts: set[str]) -> None:
        """Cancel the consumers; the queues stay. After an error the next channel does not have them either."""
        consumers = {host: self._wanted.pop(host, []) for host in hosts}
        consumed = hosts & self._consumed
        self._consumed -= hosts
        for host in consumed:
            for consumer in consumers[host]:
                consumer.cancel(consumer.queue_name)

    def lost(self) -> None:
        """Forget what was consumed: the channel is gone."""
        self._consumed.clear()

    def bring_up(self) -> None:
        """Declare and consume what is wanted and not consumed yet, about 10 ms a host; then tell who waits."""
        if len(self._consumed) < len(self._wanted):
            for host in self._wanted.keys() - self._consumed:
                try:
                    for consumer in self._wanted[host]:
                        consumer.declare(self._connection)
                        consumer.consume(self._connection, consumer.queue_name)
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
            text = f"the Nova queues of {host} have other properties: {error}"
            done(Misconfigured(f"{text}; [oslo_messaging_rabbit] must be as in the cloud's nova.conf"))

    def _consumer(self, host: str, topic: str) -> Any:
        """Return the Consumer that oslo's declare_topic_consumer would make for a server of this topic."""
        settings = self._connection
        return impl_rabbit.Consumer(
            exchange_name=self._exchange,
            queue_name=f"{topic}.{host}",
            routing_key=f"{topic}.{host}",
            type="topic",
            durable=settings.durable,
            exchange_auto_delete=settings.amqp_auto_delete,
            queue_auto_delete=settings.amqp_auto_delete,
            callback=lambda message: self._received(host, message),
            rabbit_ha_queues=settings.rabbit_ha_queues,
            enable_cancel_on_failover=settings.enable_cancel_on_failover,
            rabbit_quorum_queue=settings.rabbit_quorum_queue,
            rabbit_quorum_queue_config=settings.rabbit_quorum_queue_config,
        )
