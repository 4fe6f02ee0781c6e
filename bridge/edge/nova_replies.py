"""Answers to Nova's RPC calls, and the exceptions that nova-api understands in them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from oslo_messaging._drivers import amqpdriver

from bridge.edge.nova_threads import Threads

LOG = logging.getLogger(__name__)

REPLY_THREADS = 4  # a reply to a client that is gone holds one up to 60 s

_classes: dict[str, type[Exception]] = {}


def nova_error(class_name: str, message: str, **kwargs: Any) -> Exception:
    """Return an exception that nova-api re-creates as ``nova.exception.<class_name>`` when a call is answered with it.

    oslo.messaging sends class name, module, args and the attribute ``kwargs``; Nova allows its own exception module.
    """
    if class_name not in _classes:
        _classes[class_name] = type(class_name, (Exception,), {"__module__": "nova.exception"})
    error = _classes[class_name](message)
    error.kwargs = kwargs  # type: ignore[attr-defined]
    return error


def is_expected(error: Exception) -> bool:
    """Whether a call's failure is an answer rather than a bug of ours."""
    return isinstance(error, NotImplementedError) or type(error).__module__ == "nova.exception"


@dataclass(frozen=True, slots=True)
class Return:
    """Where the answer to one call goes."""

    message_id: str
    queue: str
    beat: float | None  # s of silence after which the caller gives up (call monitor); None = it waits its time-out


class Replies:
    """Sends answers over the transport's send connections, in threads of its own."""

    def __init__(self, driver: Any) -> None:
        self._listener = SimpleNamespace(driver=driver)
        self._gone = amqpdriver.ObsoleteReplyQueuesCache()
        self._threads = Threads("nova-reply", REPLY_THREADS)

    def close(self) -> None:
        """Send nothing more."""
        self._threads.close()

    async def send(self, to: Return, result: Any, error: Exception | None) -> None:
        """Answer a call; a caller that is gone is only logged."""
        failure = (type(error), error, error.__traceback__) if error else None
        try:
            await self._threads.run(self._message(to).reply, result, failure)
        except Exception:
            LOG.exception("cannot answer call %s", to.message_id)

    @contextlib.asynccontextmanager
    async def beating(self, to: Return) -> AsyncIterator[None]:
        """Tell a caller that monitors its call, every half of its patience, that the block still runs."""
        if not to.beat:
            yield
            return
        task = asyncio.create_task(self._beat(to, to.beat / 2))
        try:
            yield
        finally:
            task.cancel()

    async def _beat(self, to: Return, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await self._threads.run(self._message(to).heartbeat)
            except Exception as error:
                LOG.warning("cannot keep call %s alive: %s", to.message_id, error, exc_info=True)

    def _message(self, to: Return) -> Any:
        """Return oslo's own side of an incoming call: knows the reply's format and when to give up."""
        return amqpdriver.AMQPIncomingMessage(
            self._listener, None, None, None, to.message_id, to.queue, to.beat, self._gone, None
        )
