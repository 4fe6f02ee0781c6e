"""Receives what Nova sends to our compute hosts: casts acknowledged once they are durable, calls answered.

The wire is oslo.messaging's (envelope 2.0); nova_listener holds the connection. At-least-once: a message whose
acknowledgement was lost comes again with the same ``rpc_id`` and ``redelivered``, and whoever stores it recognises it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bridge.edge.nova_listener import PREFETCH, Delivery, Listener
from bridge.edge.nova_replies import Replies, Return, is_expected
from bridge.edge.nova_replies import nova_error as nova_error
from bridge.edge.nova_transport import transport as transport
from proto import failpoints
from proto.errors import CascadeError, Misconfigured, Unavailable

LOG = logging.getLogger(__name__)

START_TIMEOUT = 10  # s
STOP_GRACE = 5.0  # s for handlers that run when we stop
FIRST_RETRY = 0.1  # s, doubled up to the last
LAST_RETRY = 5.0  # s
ATTEMPTS = 3  # at a message that meets a bug
COMPLAIN_EVERY = 12  # retries; at LAST_RETRY that is once a minute

_CONTEXT = "_context_"


@dataclass(frozen=True, slots=True)
class IncomingRpc:
    """One RPC from Nova. ``context`` and ``args`` hold the user's token and passwords: never log them."""

    host: str
    method: str
    rpc_id: str  # a cast: oslo's unique id, the same when it comes again; a call: its message id
    context: dict[str, Any] = field(repr=False)  # flat, without the prefix _context_
    args: dict[str, Any] = field(repr=False)  # objects as primitives of the sender's version
    is_call: bool
    redelivered: bool


Handler = Callable[[IncomingRpc], Awaitable[Any]]


@dataclass(slots=True, eq=False)
class _Cast:
    rpc: IncomingRpc
    delivery: Delivery


class NovaRpc:
    """Hands the messages of all served hosts to one handler. Construct and use it in one event loop.

    A cast is acknowledged when ``await handler(rpc)`` has returned: Unavailable is retried until it does, any other
    error ATTEMPTS times. Casts of one instance run one after the other, others side by side; handlers begin in the
    order of arrival. The handler of a call returns the reply, or raises what the caller shall see (nova_error).
    """

    def __init__(self, transport: Any, handler: Handler, prefetch: int = PREFETCH) -> None:
        self._handler = handler
        self._listener = Listener(transport, self._received, prefetch)
        self._replies = Replies(transport._driver)
        self._serving: set[str] = set()
        self._chains: dict[Hashable, deque[_Cast]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connected(self) -> bool:
        """Whether messages can arrive at this moment."""
        return self._listener.connected

    async def start(self) -> None:
        """Connect; Misconfigured after START_TIMEOUT s at the latest."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await asyncio.to_thread(self._listener.start)
        except TimeoutError as error:
            raise Misconfigured(
                f"RabbitMQ at {self._listener.place} does not answer within {START_TIMEOUT} s; check transport_url"
            ) from error

    async def serve(self, hosts: Iterable[str]) -> None:
        """Take the messages of these hosts too; returns when their queues exist and are consumed. May be repeated.

        Waits as long as RabbitMQ is away; Misconfigured if the queues exist with other properties.
        """
        names = set(hosts)
        self._serving |= names
        await self._in_listener(self._listener.serve, names)

    async def forget(self, hosts: Iterable[str]) -> None:
        """Stop taking the messages of these hosts; what no handler has finished goes back to the queues."""
        names = set(hosts)
        await self._in_listener(self._listener.forget, names)
        self._serving -= names  # only now: a message given back earlier would come at once again

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Take nothing more, let running handlers end within ``grace`` s, give the rest back, disconnect."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.forget(self._serving)
        self._serving.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.to_thread(self._listener.stop, grace)
        self._replies.close()

    async def _in_listener(self, method: Callable[..., None], names: set[str]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def resolve(error: CascadeError | None) -> None:
            if not future.done():
                future.set_exception(error) if error else future.set_result(None)

        method(names, lambda error: self._in_loop(resolve, error))
        await future

    def _received(self, delivery: Delivery) -> None:
        """Take a message over; runs in the listener's thread. An exception here makes RabbitMQ drop the message."""
        message = delivery.message
        message_id = message.get("_msg_id")
        rpc = IncomingRpc(
            host=delivery.host,
            method=message["method"],
            rpc_id=message_id or message["_unique_id"],
            context={name[len(_CONTEXT) :]: value for name, value in message.items() if name.startswith(_CONTEXT)},
            args=message.get("args") or {},
            is_call=message_id is not None,
            redelivered=delivery.redelivered,
        )
        if message_id is None:
            self._in_loop(self._enqueue, _Cast(rpc, delivery))
        else:
            self._in_loop(self._answer_later, rpc, Return(message_id, message["_reply_q"], message.get("_timeout")))
            self._listener.acknowledge_here(delivery)

    def _in_loop(self, function: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError as error:
            LOG.warning("not taken from RabbitMQ: %s", error)  # the loop is closed, the process about to end

    def _answer_later(self, rpc: IncomingRpc, to: Return) -> None:
        self._spawn(self._answer(rpc, to))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _enqueue(self, cast: _Cast) -> None:
        key = _chain_key(cast.rpc)
        chain = self._chains.get(key)
        if chain is None:
            self._chains[key] = chain = deque([cast])
            self._spawn(self._work(key, chain))
        else:
            chain.append(cast)

    async def _work(self, key: Hashable, chain: deque[_Cast]) -> None:
        try:
            while chain:
                await self._store(chain[0])
                chain.popleft()
        finally:
            del self._chains[key]

    async def _store(self, cast: _Cast) -> None:
        """Run the handler until the cast may be acknowledged, is given back or came with a connection that is gone."""
        retries = bugs = 0
        while cast.rpc.host in self._serving and cast.delivery.session == self._listener.session:
            failpoints.reach(failpoints.RECEIVED)
            try:
                await self._handler(cast.rpc)
            except Unavailable as error:
                if retries % COMPLAIN_EVERY == 0:
                    LOG.warning("%s is kept in RabbitMQ: %s", _name(cast.rpc), error)
            except Exception:
                bugs += 1
                LOG.exception("%s failed, attempt %d of %d", _name(cast.rpc), bugs, ATTEMPTS)
                if bugs == ATTEMPTS:
                    LOG.error("%s is given up: nothing above or below knows of it now", _name(cast.rpc))
                    return self._listener.acknowledge(cast.delivery)
            else:
                return self._listener.acknowledge(cast.delivery)
            await asyncio.sleep(min(FIRST_RETRY * 2 ** min(retries, 10), LAST_RETRY))
            retries += 1
        return self._listener.requeue(cast.delivery)

    async def _answer(self, rpc: IncomingRpc, to: Return) -> None:
        result: Any = None
        failure: Exception | None = None
        async with self._replies.beating(to):
            try:
                result = await self._handler(rpc)
            except Exception as error:
                failure = error
                if not is_expected(error):
                    LOG.exception("%s failed", _name(rpc))
        await self._replies.send(to, result, failure)


def _chain_key(rpc: IncomingRpc) -> Hashable:
    """Casts of one instance follow each other; those of none or of several follow each other per host."""
    instance = rpc.args.get("instance")
    if isinstance(instance, dict):
        uuid = instance.get("nova_object.data", instance).get("uuid")
        if uuid:
            return rpc.host, uuid
    return rpc.host


def _name(rpc: IncomingRpc) -> str:
    return f"{rpc.context.get('request_id')} {rpc.method} host={rpc.host} rpc_id={rpc.rpc_id}"
