"""Takes commands from the two durables and carries them out: urgent ones have slots of their own, so never wait."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable

from proto import logs, streams, subjects, tracing, waits
from proto.errors import CascadeError, Expired, FaultCode, Malformed, Refused, Stale, Unavailable
from proto.jetstream import Delivery, Pull
from proto.messages import Command, Outcome
from proto.operations import Lane
from site_agent import handlers, newer
from site_agent.core.breaker import NotAsked
from site_agent.site import Site
from site_agent.slots import CURRENT, Slot

LOG = logging.getLogger(__name__)

FETCH_WAIT = 5.0  # s one pull waits for a message
LOST_PAUSE = 2.0  # s before a durable that cannot be pulled is tried again
BUG_TRIES = 3
BOOTS_AFTER = 3.0  # s that deletes, stops and their like come before all else when an API may be asked again
LONGEST_DELAY = 60.0  # s between two tries of one command


class Executor:
    """Runs commands of one site; ``slots`` of each lane at a time."""

    def __init__(self, site: Site, slots: int) -> None:
        self._site = site
        self._slots = {lane: asyncio.Semaphore(slots) for lane in Lane}
        self._running: dict[asyncio.Task[None], Delivery] = {}

    @property
    def busy(self) -> int:
        """Commands being carried out."""
        return len(self._running)

    async def pull(self, lane: Lane) -> None:
        """Take commands of a lane for its free slots, for ever; NATS or the durable may come and go."""
        durable = streams.agent_durable(self._site.name, lane)
        while True:
            try:
                puller = await self._site.road.pull(durable)
                try:
                    await self._pull(puller, lane)
                finally:
                    await puller.close()
            except Unavailable as error:
                self._site.problems.report(f"commands {lane}", f"durable {durable.name}: {error}")
                await asyncio.sleep(LOST_PAUSE)

    async def _pull(self, puller: Pull, lane: Lane) -> None:
        while True:
            await self._site.epoch.trusted()
            await self._slots[lane].acquire()
            taken: list[Delivery] = []
            try:
                # One at a time: nats-py's larger fetch waits for the whole batch once the first message came.
                taken = await puller.fetch(1, FETCH_WAIT)
            finally:
                if not taken:
                    self._slots[lane].release()
            self._site.problems.solved(f"commands {lane}")
            for delivery in taken:
                task = asyncio.create_task(self._settle(delivery, lane), name=f"command {delivery.subject}")
                self._running[task] = delivery
                task.add_done_callback(lambda done: self._running.pop(done))

    async def stop(self, grace: float) -> None:
        """Let running commands finish for ``grace`` s, then give the rest back. Call when no puller runs any more."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        left = dict(self._running)
        if left:
            LOG.warning("giving %d unfinished commands back", len(left))
            await end(left)
            await asyncio.gather(*(delivery.nak(0.0) for delivery in left.values()))

    async def _settle(self, delivery: Delivery, lane: Lane) -> None:
        slot = Slot(self._slots[lane])
        CURRENT.set(slot)  # of this task
        try:
            with tracing.continued(delivery.headers):
                command = newer.command(delivery.data)
                work = logs.Work(self._site.name, command.request_id, command.uuid, command.generation)
                with logs.about(work):
                    await self._answer(delivery, command, slot, lane)
        except Malformed as error:
            LOG.error("not a command, put aside: %s: %s", delivery.subject, error)
            await self._bury(delivery, str(error))
        except Unavailable as error:  # NATS itself: the message comes again by its ack wait
            LOG.warning("%s is left to be delivered again: %s", delivery.subject, error)
        finally:
            slot.release()

    async def _answer(self, delivery: Delivery, command: Command, slot: Slot, lane: Lane) -> None:
        """Carry it out and settle the message by what came of it; ARCHITECTURE, section 6."""
        try:
            await self._carry_out(delivery, command, slot)
            problem: Exception | None = None
        except (CascadeError, _Bug) as error:
            problem = error
        if isinstance(problem, Malformed):
            raise problem
        if problem is not None:
            await self._tell(command, problem, delivery.num_delivered)
        if isinstance(problem, Unavailable):
            await delivery.nak(_delay(problem, delivery.num_delivered, lane))
        elif isinstance(problem, _Bug):
            await self._bury(delivery, str(problem))
        else:
            await delivery.ack()

    async def _tell(self, command: Command, problem: Exception, number: int) -> None:
        """Publish the outcome that a failed try has; it must be durable before the message is settled."""
        outcome = self._site.reports.outcome
        match problem:
            case Stale():
                LOG.debug("stale %s: %s", command.verb, problem)
            case Expired():
                LOG.warning("%s", problem)
                await outcome(command, Outcome.EXPIRED, FaultCode.EXPIRED, str(problem), number)
            case Refused():
                LOG.warning("%s refused: %s: %s", command.verb, problem.code, problem)
                await outcome(command, Outcome.REFUSED, problem.code, problem.message, number)
            case Unavailable():
                LOG.warning("%s not now (attempt %d): %s", command.verb, number, problem)
                await outcome(command, Outcome.RETRYING, FaultCode.SITE_SILENT, str(problem), number)
            case _:
                await outcome(command, Outcome.REFUSED, FaultCode.BUG, str(problem), number)

    async def _carry_out(self, delivery: Delivery, command: Command, slot: Slot) -> None:
        self._refuse_foreign(delivery, command)
        if self._site.memory.occupied(command.uuid):
            slot.release()  # it waits for the one before it, and others need not wait for both
        async with _progress(delivery), self._site.memory.alone(command.uuid):
            self._site.epoch.check(command)
            if self._site.memory.generations.get(command.uuid, 0) > command.generation:
                raise Stale(f"generation {self._site.memory.generations[command.uuid]} was carried out")
            repeated = delivery.num_delivered > 1
            if repeated:
                await self._site.reports.attempt(command, delivery.num_delivered)
            span = tracing.span(f"execute {command.verb}", instance=command.uuid, generation=command.generation)
            with span, waits.account() as account:
                await self._handle(command, repeated)
            took, own = time.monotonic() - account.began, account.own * 1000
            LOG.info("%s done in %.2f s, own=%.0f ms", command.verb, took, own)

    async def _handle(self, command: Command, repeated: bool) -> None:
        unsure = repeated or command.perhaps_done
        for number in range(1, BUG_TRIES + 1):
            try:
                await handlers.COMMANDS[command.verb](self._site, command, unsure or number > 1)
                return
            except CascadeError:
                raise
            except Exception as error:
                LOG.exception("%s failed by a bug (try %d)", command.verb, number)
                if number == BUG_TRIES:
                    raise _Bug(f"the agent failed: {error!r}") from error
                await asyncio.sleep(number)

    def _refuse_foreign(self, delivery: Delivery, command: Command) -> None:
        bundle, address = self._site.bundle, subjects.parse(delivery.subject)
        if (command.site, command.uuid) != (address.site, address.uuid) or address.site != bundle.site:
            raise Malformed(f"a command for {command.site}/{command.uuid} on {delivery.subject}")
        if command.verb not in handlers.COMMANDS:
            raise Refused(FaultCode.UNSUPPORTED, f"this agent cannot {command.verb}")

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        headers = {subjects.HEADER_DEAD_REASON: _line(reason), subjects.HEADER_DEAD_SUBJECT: delivery.subject}
        await self._site.road.publish(subjects.dead(self._site.name), delivery.data, headers=headers)
        await delivery.term()


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they are gone: Python 3.11's asyncio.wait_for, which nats-py uses, can lose a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)


class _Bug(Exception):
    """A handler failed in a way that has no class, several times."""


@contextlib.asynccontextmanager
async def _progress(delivery: Delivery) -> AsyncIterator[None]:
    """Keep the message from being delivered again while the block works or waits."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(streams.PROGRESS_INTERVAL)
            await delivery.in_progress()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


def _delay(error: Unavailable, number: int, lane: Lane) -> float:
    if isinstance(error, NotAsked):  # it knows when to come again, however often it was in vain
        return error.retry_after + (0.0 if lane is Lane.URGENT else BOOTS_AFTER)
    return min(error.retry_after * 2.0 ** min(number - 1, 8), max(LONGEST_DELAY, error.retry_after))


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
