"""Carries out dead letters after all, when an operator says so: `cascade dead replay`."""

import logging
import time
from collections.abc import Collection

from bridge.core import dead
from bridge.core.dead import Letter
from bridge.core.planner import row_of
from bridge.edge.nova_conductor import NovaConductor, admin_context
from bridge.instances import Instances
from bridge.owner import Ownership
from proto import codec, streams, subjects
from proto.errors import FaultCode, Malformed, Refused
from proto.jetstream import JetStream
from proto.messages import Command, Observation, Query, Reply, Rpc

LOG = logging.getLogger(__name__)


class DeadLetters:
    """Those of one owned site. Each may be replayed again after a crash: it stays in DEAD until it is stored anew."""

    def __init__(
        self,
        ownership: Ownership,
        epoch: int,
        hosts: Collection[str],
        road: JetStream,
        instances: Instances,
        conductor: NovaConductor,
    ) -> None:
        self._ownership = ownership
        self._site = ownership.site
        self._epoch = epoch
        self._hosts = hosts
        self._road = road
        self._instances = instances
        self._conductor = conductor

    async def replay(self, query: Query) -> Reply:
        """Put a letter back where it came from, then remove it; Refused where it does not fit any more."""
        number = int(query.marker) if query.marker.isdecimal() else 0
        stored = await self._road.stored(streams.DEAD.name, number) if number else None
        if stored is None:
            raise Refused(FaultCode.MISSING, f"there is no dead letter {query.marker}")
        try:
            letter = dead.letter(stored.sequence, stored.subject, stored.data, stored.headers, stored.at)
            message = dead.content(letter)
        except Malformed as error:
            raise Refused(FaultCode.REJECTED, f"it still cannot be read: {error}") from error
        if letter.site != self._site:
            raise Refused(FaultCode.REJECTED, f"it is of site {letter.site}")
        LOG.warning("audit: site=%s dead letter %d is to be replayed, says %s", self._site, number, query.asked_by)
        match message:
            case Rpc():
                told = await self._rpc(letter, message)
            case Command():
                told = await self._command(message)
            case Observation():
                told = await self._observation(letter, message)
        await self._road.delete_stored(streams.DEAD.name, number)
        return Reply(text=told)

    async def _rpc(self, letter: Letter, rpc: Rpc) -> str:
        instance = await self._conductor.get_instance(admin_context(), rpc.uuid)
        _refuse_for(dead.rpc_refusal(letter, rpc, self._hosts, instance))
        new = dead.again(letter, rpc)
        self._ownership.check()
        await self._road.publish(
            subjects.intake(self._site, rpc.uuid), codec.encode(new), message_id=f"{new.rpc_id}:{rpc.uuid}"
        )
        return f"{rpc.method} is tried again as RPC {new.rpc_id}, if the instance still waits for it in its turn"

    async def _command(self, command: Command) -> str:
        async with self._instances.lock(command.uuid):
            record = self._instances.get(command.uuid)
            _refuse_for(dead.command_refusal(command, record, self._epoch, time.time()))
            assert record is not None and record.pending is not None
            self._ownership.check()
            stored = await self._road.publish(
                subjects.command(self._site, row_of(record.pending).lane, command.uuid),
                codec.encode(command),
                none_pending=subjects.commands_of_instance(self._site, command.uuid),
            )
        if not stored:
            raise Refused(FaultCode.CONFLICT, "a command of the instance waits for the site already")
        return f"{command.verb} waits for the site again"

    async def _observation(self, letter: Letter, seen: Observation) -> str:
        _refuse_for(dead.observation_refusal(seen, self._instances.get(seen.uuid)))
        self._ownership.check()
        await self._road.publish(subjects.event(self._site, seen.uuid), letter.data)
        return "the observation is reduced again"


def _refuse_for(reason: str | None) -> None:
    if reason is not None:
        raise Refused(FaultCode.CONFLICT, reason)
