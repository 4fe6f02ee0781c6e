"""JetStream in memory, with the interface of proto.jetstream: the rules we rely on, each tested on a real server.

Work queues: an acknowledged message is gone; filters of two durables may not overlap. A durable delivers again what
waits longer than its ack_wait or was given back; deleting it gives back all it had. ``Road`` is the server, ``link``
the connection of one process.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from proto.errors import Unavailable
from proto.jetstream import PUBLISH_PATIENCE, PUBLISH_TIMEOUT, Headers, Stored
from proto.streams import Durable, Stream
from tests.fakes.process import Process

DUPLICATE_WINDOW = 120.0  # s
Handler = Callable[[str, bytes], Awaitable[bytes | None]]
Receiver = tuple[Process, Handler, str]  # whose reply subjects must begin with the last
Say = Callable[[str, str, bytes], None]  # what happened, subject, data


@dataclass(slots=True)
class Message:
    """One stored message."""

    number: int
    subject: str
    data: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class Consumer:
    """One durable: what it has handed out, and when that comes again (loop time)."""

    durable: Durable
    next_number: int = 1
    given: dict[int, float] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)


class Queue:
    """One stream with its durables."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.messages: dict[int, Message] = {}
        self.consumers: dict[str, Consumer] = {}
        self._last = 0
        self._ids: dict[str, float] = {}

    def store(self, subject: str, data: bytes, headers: Headers, message_id: str | None, now: float) -> Message | None:
        """Store a message unless its id was seen within the window."""
        if message_id is not None:
            if now - self._ids.get(message_id, float("-inf")) < DUPLICATE_WINDOW:
                return None
            self._ids[message_id] = now
        self._last += 1
        message = self.messages[self._last] = Message(self._last, subject, data, dict(headers))
        return message

    def remove(self, number: int) -> None:
        """Take a message out for good."""
        self.messages.pop(number, None)
        for consumer in self.consumers.values():
            consumer.given.pop(number, None)
            consumer.times.pop(number, None)

    def add(self, durable: Durable) -> None:
        """Make a durable; one that is there stays as it is."""
        known = self.consumers.get(durable.name)
        if known is not None:
            assert known.durable == durable, f"{durable.name} exists with other settings"
            return
        for other in self.consumers.values():
            assert not overlap(other.durable.filter_subject, durable.filter_subject), "filtered consumer not unique"
        self.consumers[durable.name] = Consumer(durable)

    def next(self, name: str, now: float) -> tuple[Message, int] | None:
        """Hand out the next message of a durable: one due again first, then a new one."""
        consumer = self.consumers[name]
        due = [(at, number) for number, at in consumer.given.items() if at <= now]
        number = min(due)[1] if due else self._next_new(consumer)
        if number is None:
            return None
        consumer.given[number] = now + consumer.durable.ack_wait
        consumer.times[number] = consumer.times.get(number, 0) + 1
        return self.messages[number], consumer.times[number]

    def _next_new(self, consumer: Consumer) -> int | None:
        for number in range(consumer.next_number, self._last + 1):
            consumer.next_number = number + 1
            message = self.messages.get(number)
            if message is not None and matches(consumer.durable.filter_subject, message.subject):
                return number
        return None

    def next_due(self, now: float) -> float:
        """When something given is due again."""
        due = (at for consumer in self.consumers.values() for at in consumer.given.values())
        return min((at for at in due if at > now), default=float("inf"))


class Road:
    """The NATS server. ``cut`` holds the names of processes whose connection is away."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.cut: set[str] = set()
        self.swallowed: set[str] = set()  # processes whose next delivery does not reach them
        self.subscriptions: dict[int, tuple[Process, str, Handler, str, str]] = {}
        self.numbers = itertools.count(1)
        self.turns = itertools.count()
        self._stored = asyncio.Event()

    def link(self, process: Process, say: Say = lambda _what, _subject, _data: None, inbox: str = "_INBOX") -> "Link":
        """Connect a process; ``say`` hears what is stored and settled by it, answers come to its ``inbox``."""
        return Link(self, process, say, inbox)

    def waiting(self, subject: str) -> list[Message]:
        """Return the stored messages of a subject filter."""
        return [m for q in self.queues.values() for m in q.messages.values() if matches(subject, m.subject)]

    def queue_of(self, subject: str) -> Queue:
        """Return the stream that takes a subject; Unavailable as without an answer if none does."""
        for queue in self.queues.values():
            if any(matches(pattern, subject) for pattern in queue.stream.subjects):
                return queue
        raise Unavailable(f"no stream takes {subject}", retry_after=1.0)

    def notify(self) -> None:
        """Wake those who wait for messages."""
        self._stored.set()
        self._stored = asyncio.Event()

    async def news(self, until: float) -> None:
        """Wait until something is stored or given back, something given is due again, or ``until`` (loop time)."""
        now = asyncio.get_running_loop().time()
        due = min([queue.next_due(now) for queue in self.queues.values()], default=until)
        try:
            async with asyncio.timeout(max(0.001, min(until, due) - now)):
                await self._stored.wait()
        except TimeoutError:
            return


class Link:
    """What proto.jetstream.JetStream is to one process."""

    def __init__(self, road: Road, process: Process, say: Say, inbox: str) -> None:
        self.inbox = inbox
        self.road = road
        self.process = process
        self.say = say

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self.process.name not in self.road.cut

    async def close(self) -> None:
        """Nothing is buffered."""

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str | None = None,
        none_pending: str | None = None,
        headers: Headers | None = None,
    ) -> bool:
        """Store a message; False if the id or ``none_pending`` kept it out."""
        await self._arrive(f"publish {subject}", PUBLISH_PATIENCE)

        async def effect() -> bool:
            stored = None
            if none_pending is None or not self.road.waiting(none_pending):
                now = asyncio.get_running_loop().time()
                stored = self.road.queue_of(subject).store(subject, data, headers or {}, message_id, now)
            self.say("stored" if stored else "kept out", subject, data)
            self.road.notify()
            return stored is not None

        return bool(await self.process.call(f"publish {subject}", effect))

    async def send(self, subject: str, data: bytes) -> None:
        """Publish without storing."""
        await self.process.move()
        if self.connected:
            for process, handler, _ in self._receivers(subject):
                process.spawn(_hear(handler, subject, data))

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Ask all who get it; the first answer counts."""
        await self._arrive(f"request {subject}", timeout)
        receivers = self._receivers(subject)
        if not receivers:
            raise Unavailable(f"no answer on {subject}: nobody listens")

        async def effect() -> bytes:
            answers = [process.spawn(handler(subject, data)) for process, handler, _ in receivers]  # type: ignore[arg-type]
            give_up, left = asyncio.get_running_loop().time() + timeout, set(answers)
            while left and (patience := give_up - asyncio.get_running_loop().time()) > 0:
                done, left = await asyncio.wait(left, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for receiver, answer in zip(receivers, answers, strict=True):
                    if answer in done and (reply := self._heard(receiver, answer)) is not None:
                        return reply
            raise Unavailable(f"no answer on {subject}")

        return bytes(await self.process.call(f"request {subject}", effect))

    def _heard(self, receiver: Receiver, answer: "asyncio.Task[bytes | None]") -> bytes | None:
        """Return what a receiver has answered, None if nothing of it comes back."""
        process, _, replies_to = receiver
        failed = answer.cancelled() or answer.exception() is not None
        lost = process.name in self.road.cut or not f"{self.inbox}.1".startswith(replies_to)
        return None if failed or lost else answer.result()

    def _receivers(self, subject: str) -> list[Receiver]:
        """Return who gets a message: all who subscribe by themselves, and one of each group, in turn."""
        found: list[Receiver] = []
        groups: dict[str, list[Receiver]] = {}
        for process, pattern, handler, replies_to, group in list(self.road.subscriptions.values()):
            if not process.alive or process.name in self.road.cut or not matches(pattern, subject):
                continue
            if group:
                groups.setdefault(group, []).append((process, handler, replies_to))
            else:
                found.append((process, handler, replies_to))
        turn = next(self.road.turns) if groups else 0
        return found + [members[turn % len(members)] for members in groups.values()]

    async def subscribe(self, subject: str, handler: Handler, replies_to: str = "", group: str = "") -> "Subscription":
        """Call the handler for each message; only requests whose inbox begins with ``replies_to`` are answered."""
        self.process.check()
        number = next(self.road.numbers)
        self.road.subscriptions[number] = (self.process, subject, handler, replies_to, group)
        return Subscription(self.road, number)

    async def pull(self, durable: Durable) -> "Pull":
        """Return a puller; a durable that is not there shows at the first fetch."""
        self.process.check()
        return Pull(self, durable)

    async def ensure_stream(self, stream: Stream) -> None:
        """Make the stream exist."""
        await self._arrive(f"stream {stream.name}", PUBLISH_TIMEOUT)
        self.road.queues.setdefault(stream.name, Queue(stream))

    async def ensure_durable(self, durable: Durable) -> None:
        """Make the durable exist."""
        await self._arrive(f"consumer {durable.name}", PUBLISH_TIMEOUT)
        self._queue(durable.stream).add(durable)

    async def exists(self, durable: Durable) -> bool:
        """Whether a durable is there."""
        await self._arrive(f"look at {durable.name}", PUBLISH_TIMEOUT)
        return durable.stream in self.road.queues and durable.name in self.road.queues[durable.stream].consumers

    async def delete_durables(self, stream: str, prefix: str) -> None:
        """Delete the durables of a prefix: what they had given out comes again from any new one."""
        await self._arrive(f"consumers of {stream}", PUBLISH_TIMEOUT)
        consumers = self._queue(stream).consumers
        for name in [name for name in consumers if name.startswith(prefix)]:
            del consumers[name]

    async def purge(self, stream: str, subject: str) -> None:
        """Remove every message of a filter."""
        await self._arrive(f"purge {subject}", PUBLISH_TIMEOUT)

        async def effect() -> None:
            queue = self.road.queues.get(stream)
            for number in [n for n, m in queue.messages.items() if matches(subject, m.subject)] if queue else ():
                self.say("purged", queue.messages[number].subject, queue.messages[number].data)
                queue.remove(number)

        await self.process.call(f"purge {subject}", effect)

    async def count(self, stream: str, subject: str) -> int:
        """Return how many messages of a filter are stored."""
        await self._arrive(f"count {subject}", PUBLISH_TIMEOUT)
        queue = self.road.queues.get(stream)
        return sum(matches(subject, m.subject) for m in queue.messages.values()) if queue else 0

    def _queue(self, stream: str) -> Queue:
        if stream not in self.road.queues:
            raise Unavailable(f"no stream {stream}", retry_after=1.0)
        return self.road.queues[stream]

    async def stored(self, stream: str, sequence: int, subject: str | None = None) -> Stored | None:
        """Return the message of that sequence, or with ``subject`` the first from there on."""
        await self._arrive(f"message {sequence} of {stream}", PUBLISH_TIMEOUT)
        queue = self.road.queues.get(stream)
        found = [m for m in queue.messages.values() if m.number >= sequence] if queue else []
        found = [m for m in found if (matches(subject, m.subject) if subject else m.number == sequence)]
        return Stored(found[0].number, found[0].subject, found[0].data, found[0].headers, 0.0) if found else None

    async def delete_stored(self, stream: str, sequence: int) -> bool:
        """Remove one message; False if there is none."""
        await self._arrive(f"message {sequence} of {stream}", PUBLISH_TIMEOUT)

        async def effect() -> bool:
            queue = self.road.queues.get(stream)
            known = queue is not None and sequence in queue.messages
            if queue is not None:
                queue.remove(sequence)
            return known

        return bool(await self.process.call(f"delete message {sequence} of {stream}", effect))

    async def _arrive(self, what: str, patience: float) -> None:
        """Wait for the connection; Unavailable after ``patience`` s without."""
        self.process.check()
        give_up = asyncio.get_running_loop().time() + patience
        while not self.connected:
            if asyncio.get_running_loop().time() >= give_up:
                raise Unavailable(f"{what}: NATS is away", retry_after=1.0)
            await asyncio.sleep(0.25)
            self.process.check()


class Pull:
    """What proto.jetstream.Pull is to one process."""

    def __init__(self, link: Link, durable: Durable) -> None:
        self._link = link
        self._durable = durable

    async def fetch(self, batch: int, timeout: float) -> list["Delivery"]:
        """Return what is there, waiting up to ``timeout`` s for the first; Unavailable without the durable."""
        link, loop = self._link, asyncio.get_running_loop()
        give_up = loop.time() + timeout
        while True:
            await link.process.reach("before", f"fetch {self._durable.name}")
            taken = self._take(batch) if link.connected else []
            if taken and link.process.name in link.road.swallowed:
                link.road.swallowed.discard(link.process.name)
                taken = []
            if taken or loop.time() >= give_up:
                return taken
            await link.road.news(give_up if link.connected else min(give_up, loop.time() + 0.25))

    def _take(self, batch: int) -> list["Delivery"]:
        queue = self._link.road.queues.get(self._durable.stream)
        if queue is None or self._durable.name not in queue.consumers:
            raise Unavailable(f"pulling: consumer {self._durable.name} not found", retry_after=1.0)
        taken: list[Delivery] = []
        while len(taken) < batch and (found := queue.next(self._durable.name, asyncio.get_running_loop().time())):
            message, times = found
            taken.append(Delivery(self._link, queue, self._durable.name, message, times))
        return taken

    async def close(self) -> None:
        """Stop pulling."""


class Delivery:
    """What proto.jetstream.Delivery is to one process."""

    def __init__(self, link: Link, queue: Queue, durable: str, message: Message, times: int) -> None:
        self.subject = message.subject
        self.data = message.data
        self.headers: Headers = message.headers
        self.num_delivered = times
        self.sequence = message.number
        self._link = link
        self._queue = queue
        self._durable = durable
        self._number = message.number

    async def ack(self) -> None:
        """Acknowledge; Unavailable if the durable it came from is gone or the connection is away."""

        async def effect() -> None:
            if not self._link.connected or self._durable not in self._queue.consumers:
                await asyncio.sleep(PUBLISH_TIMEOUT)
                raise Unavailable(f"acknowledging {self.subject}: no answer")
            self._settle("ack")

        await self._link.process.call(f"ack {self.subject}", effect)

    async def nak(self, delay: float) -> None:
        """Give it back for ``delay`` s."""
        await self._link.process.reach("before", f"nak {self.subject}")
        consumer = self._queue.consumers.get(self._durable)
        if self._link.connected and consumer is not None and self._number in consumer.given:
            consumer.given[self._number] = asyncio.get_running_loop().time() + delay
            self._link.say(f"nak {delay:g} s", self.subject, self.data)
            self._link.road.notify()

    async def term(self) -> None:
        """Take it out unworked."""
        await self._link.process.reach("before", f"term {self.subject}")
        if self._link.connected and self._durable in self._queue.consumers:
            self._settle("term")

    async def in_progress(self) -> None:
        """Restart its ack wait."""
        await self._link.process.reach("before", f"in progress {self.subject}")
        consumer = self._queue.consumers.get(self._durable)
        if self._link.connected and consumer is not None and self._number in consumer.given:
            consumer.given[self._number] = asyncio.get_running_loop().time() + consumer.durable.ack_wait

    def _settle(self, how: str) -> None:
        if self._number in self._queue.messages:
            self._link.say(how, self.subject, self.data)
            self._queue.remove(self._number)


class Subscription:
    """A core subscription."""

    def __init__(self, road: Road, number: int) -> None:
        self._road = road
        self._number = number

    async def stop(self) -> None:
        """Take no further message."""
        self._road.subscriptions.pop(self._number, None)


async def _hear(handler: Handler, subject: str, data: bytes) -> None:
    await handler(subject, data)


def matches(pattern: str, subject: str) -> bool:
    """Whether a NATS subject filter covers a subject."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, found = wanted[:-1], [*found[: len(wanted) - 1], *([] if len(found) >= len(wanted) else ["?", "?"])]
    return len(wanted) == len(found) and all(w in ("*", f) for w, f in zip(wanted, found, strict=True))


def overlap(one: str, other: str) -> bool:
    """Whether a subject could match both filters."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)
