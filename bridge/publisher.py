"""Publishes the pending command of an instance, and sees that it is not lost while its outcome is awaited."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from bridge.core.planner import Lateness, row_of
from bridge.core.records import InstanceRecord, Pending
from bridge.flight import End, Flight
from bridge.instances import Instances
from bridge.owner import Ownership
from proto import codec, streams, subjects, tracing
from proto.errors import FaultCode
from proto.jetstream import JetStream
from proto.messages import Command, Fault
from proto.operations import Finish, Repeat, Verb
from proto.specs import ChangeSpec, ServerSpec

LOG = logging.getLogger(__name__)

Content = ServerSpec | ChangeSpec | None  # what a command carries besides the request's own words


class Superseded(Exception):
    """A delete of the same instance came: what was under way is given up."""


class Publisher:
    """One site. ``clock_offset`` returns how far the site's clock is ahead, s."""

    def __init__(
        self, ownership: Ownership, epoch: int, road: JetStream, instances: Instances, clock_offset: Callable[[], float]
    ) -> None:
        self._ownership = ownership
        self._site = ownership.site
        self._epoch = epoch
        self._road = road
        self._instances = instances
        self._clock_offset = clock_offset

    async def publish(self, flight: Flight, record: InstanceRecord, content: Content, again: bool) -> None:
        """Store the pending command; ``again`` stores it only if no command of the instance is waiting."""
        pending = record.pending
        if pending is None:
            return  # an observation has settled it while its RPC came again: ``outcome`` tells
        self._ownership.check()
        with tracing.span("publish", site=self._site, instance=record.uuid, generation=pending.generation):
            stored = await self._road.publish(
                subjects.command(self._site, row_of(pending).lane, record.uuid),
                codec.encode(self._command(flight, pending, content)),
                message_id=None if again else f"{self._site}:{self._epoch}:{record.uuid}:{pending.generation}",
                none_pending=subjects.commands_of_instance(self._site, record.uuid) if again else None,
            )
        flight.published = True
        LOG.info(
            "%s published, generation=%d%s", pending.verb, pending.generation, "" if stored else " (already there)"
        )

    def _command(self, flight: Flight, pending: Pending, content: Content) -> Command:
        args = flight.rpc.args
        return Command(
            site=self._site,
            uuid=flight.rpc.uuid,
            generation=pending.generation,
            epoch=self._epoch,
            verb=pending.verb,
            issued_at=pending.issued_at + self._clock_offset(),
            not_after=pending.not_after,
            request_id=pending.request_id,
            server=content if isinstance(content, ServerSpec) and pending.verb is not Verb.DELETE else None,
            change=content if isinstance(content, ChangeSpec) else None,
            reboot_type=args.get("reboot_type"),
            clean_shutdown=bool(args.get("clean_shutdown", True)),
            image_id=args.get("image_id") if row_of(pending).repeat is Repeat.IMAGE else None,
            perhaps_done=pending.perhaps_done,
        )

    async def withdraw(self, uuid: str) -> None:
        """Remove every command of an instance, begun or not."""
        self._ownership.check()
        stream = streams.commands(self._site).name
        await self._road.purge(stream, subjects.commands_of_instance(self._site, uuid))

    async def waiting(self, uuid: str) -> bool:
        """Whether a command of the instance is in COMMANDS."""
        stream = streams.commands(self._site).name
        return await self._road.count(stream, subjects.commands_of_instance(self._site, uuid)) > 0

    async def outcome(self, flight: Flight, content: Content, refusal: Fault | None = None) -> tuple[End, Fault | None]:
        """Wait for the pending command's end; published again if it is lost, given up when it is too late.

        ``refusal``: why it could not be published again; then it is given up with that once it is lost. Raises
        Superseded when a delete comes meanwhile.
        """
        while True:
            record = self._instances.get(flight.rpc.uuid)
            assert record is not None
            if record.pending is None:
                return End.SUCCEEDED, None
            if await _first(flight, row_of(record.pending).deadline):
                return flight.ended.result()
            fault = await self._look_again(flight, record, content, refusal)
            if fault is not None:
                return End.FAILED, fault

    async def _look_again(
        self, flight: Flight, record: InstanceRecord, content: Content, refusal: Fault | None
    ) -> Fault | None:
        pending = record.pending
        if pending is None:
            return None
        lateness = self._lateness(pending)
        if lateness is not None and lateness.over(time.time()):
            await self.withdraw(record.uuid)
            why = f": {record.trouble}" if record.trouble else ""
            return Fault(FaultCode.EXPIRED, f"site {self._site} did not carry out {pending.verb} in time{why}")
        if await self.waiting(record.uuid):
            return None
        if refusal is None:
            await self.publish(flight, record, content, again=True)
        elif row_of(pending).repeat is Repeat.TAG and pending.not_after is not None:
            late = Lateness(pending.not_after, self._clock_offset())
            return refusal if late.over(time.time()) else None  # the site may be making its server
        return refusal

    def _lateness(self, pending: Pending) -> Lateness | None:
        """Return when the command may be given up unheard; None where the site alone can say that it came too late.

        What changes more than a state is never given up so: above it would be undone, and in the site maybe not.
        """
        row = row_of(pending)
        unheard = row.finish is Finish.OBSERVATION or row.repeat is Repeat.IMAGE
        if pending.not_after is None or pending.begun or not unheard:
            return None
        return Lateness(pending.not_after, self._clock_offset())


async def _first(flight: Flight, timeout: float) -> bool:
    """Wait until the command ended (True) or ``timeout`` s passed (False); Superseded if a delete came first."""
    superseded = asyncio.ensure_future(flight.superseded.wait())
    both: set[asyncio.Future[Any]] = {flight.ended, superseded}
    try:
        await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        superseded.cancel()
    if flight.ended.done():
        return True
    if flight.superseded.is_set():
        raise Superseded
    return False
