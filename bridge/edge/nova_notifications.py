"""Nova's notifications out to RabbitMQ, or wherever [oslo_messaging_notifications] says; never in anybody's way.

One thread sends what waits in a bounded queue, in order: while the broker is away it waits there and tries again, and
what finds no room any more is dropped and counted. What waits when the process is killed is lost, as Nova's own is.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import oslo_messaging

from proto.errors import Misconfigured

LOG = logging.getLogger(__name__)

MOST_WAITING = 10_000  # notifications, of about 4 kB each
ROOM = MOST_WAITING // 2  # below which whoever has many to send may go on
LOOK = 0.2  # s between two looks whether there is room
COMPLAINT = 60.0  # s between two lines about dropped ones
SILENT = frozenset({"noop"})  # drivers that send nothing
FORMATS = {"unversioned": (True, False), "versioned": (False, True), "both": (True, True)}


@dataclass(frozen=True, slots=True)
class Notification:
    """One message; ``priority`` is info or error."""

    versioned: bool
    context: Mapping[str, Any]
    publisher_id: str
    event_type: str
    priority: str
    payload: dict[str, Any]


class NovaNotifications:
    """Sends for all sites of one process."""

    def __init__(self, conf: Any, transport: Any) -> None:
        self.unversioned, self.versioned = FORMATS[conf.notifications.notification_format]
        self._notifiers = {
            False: oslo_messaging.Notifier(transport),
            True: oslo_messaging.Notifier(transport, topics=conf.notifications.versioned_notifications_topics),
        }
        self._waiting: queue.Queue[Notification] = queue.Queue(MOST_WAITING)
        self._dropped = 0
        self._complained = float("-inf")
        threading.Thread(target=self._work, name="notifications", daemon=True).start()

    def offer(self, notification: Notification) -> None:
        """Have it sent as soon as may be; returns at once."""
        try:
            self._waiting.put_nowait(notification)
        except queue.Full:
            self._dropped += 1
            if time.monotonic() - self._complained > COMPLAINT:
                self._complained = time.monotonic()
                LOG.warning("%d notifications dropped: the broker has been away for too long", self._dropped)

    async def room(self) -> None:
        """Return once few are waiting."""
        while self._waiting.qsize() > ROOM:  # noqa: ASYNC110 - a thread empties it
            await asyncio.sleep(LOOK)

    async def close(self, grace: float) -> None:
        """Let what waits be sent, for ``grace`` s at the most."""
        deadline = time.monotonic() + grace
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:  # noqa: ASYNC110 - as above
            await asyncio.sleep(LOOK / 10)
        if self._waiting.unfinished_tasks:
            LOG.warning("%d notifications are not sent", self._waiting.unfinished_tasks)

    def _work(self) -> None:
        while True:
            self._send(self._waiting.get())
            self._waiting.task_done()

    def _send(self, item: Notification) -> None:
        try:
            notifier = self._notifiers[item.versioned].prepare(publisher_id=item.publisher_id)
            getattr(notifier, item.priority)(_Context(item.context), item.event_type, item.payload)
        except Exception:
            LOG.exception("%s cannot be sent", item.event_type)


class _Context:
    """A request's context as oslo.messaging wants it: something that can be had without what is secret."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context

    def redacted_copy(self) -> dict[str, Any]:
        """Return it; tokens never came so far."""
        return dict(self._context)


def of(conf: Any) -> NovaNotifications | None:
    """Return what sends notifications, None if there are to be none: as in nova.conf, without a driver nothing is sent.

    After nova_transport.transport, whose defaults it shares.
    """
    try:
        transport = oslo_messaging.get_notification_transport(conf)
    except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure) as error:
        raise Misconfigured(
            "[oslo_messaging_notifications] transport_url must be like rabbit://user:password@host:5672/vhost"
        ) from error
    drivers = set(conf.oslo_messaging_notifications.driver)
    return NovaNotifications(conf, transport) if drivers - SILENT else None
