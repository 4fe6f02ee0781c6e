"""Observations on their way up."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from proto import codec, logs, subjects, tracing
from proto.errors import FaultCode
from proto.jetstream import Headers
from proto.messages import Command, Fault, Observation, Outcome, ServerState
from site_agent.core.servers import told
from site_agent.memory import Memory, Origin

LOG = logging.getLogger(__name__)


class Publisher(Protocol):
    """The part of the road that reports need."""

    async def publish(self, subject: str, data: bytes, *, headers: Headers | None = None) -> bool:
        """Store a message and return once it is durable."""


class Reports:
    """Publishes observations of one site; each returns once the observation is durable, else raises Unavailable.

    No message id: an observation is a level, and two equal ones may both matter.
    """

    def __init__(self, site: str, road: Publisher, memory: Memory) -> None:
        self._site = site
        self._road = road
        self._memory = memory

    async def seen(self, uuid: str, state: ServerState, generation: int, networks_gone: Sequence[str] = ()) -> None:
        """Tell what a server looks like, if that differs from what was told last.

        ``networks_gone``: ids above of networks that the site has no use for now.
        """
        now = (generation, told(state))
        if self._memory.told.get(uuid) == now and not networks_gone:
            return
        with self._about_instance(uuid, generation):
            seen = Observation(self._site, uuid, generation, time.time(), state, networks_gone=list(networks_gone))
            await self._publish(seen)
            self._memory.told[uuid] = now
            LOG.info("server %s is %s %s", state.server_id, state.status, state.task_state or "")

    async def absent(self, uuid: str, networks_gone: list[str]) -> None:
        """Tell that there is no such server, and which networks above the site has no use for now; forget it."""
        generation = self._memory.generations.get(uuid, 0)
        with self._about_instance(uuid, generation):
            await self._publish(
                Observation(self._site, uuid, generation, time.time(), None, absent=True, networks_gone=networks_gone)
            )
            self._memory.forget(uuid)
            LOG.info("no server is left")

    async def attempt(self, command: Command, number: int) -> None:
        """Tell that a command was delivered again and is being tried: RETRYING without a fault.

        A bridge that reads several of these in a row, with nothing between, knows that the command kills agents.
        """
        await self._publish(self._about(command, Outcome.RETRYING, None, number))

    async def outcome(self, command: Command, outcome: Outcome, code: FaultCode, reason: str, number: int) -> None:
        """Tell that a command was not carried out, or not yet, and why."""
        await self._publish(self._about(command, outcome, Fault(code, reason), number))

    @contextlib.contextmanager
    def _about_instance(self, uuid: str, generation: int) -> Iterator[None]:
        origin = self._memory.origins.get(uuid, Origin())
        with (
            logs.about(logs.Work(self._site, origin.request_id, uuid, generation)),
            tracing.continued(origin.headers),
            tracing.span("observe", instance=uuid),
        ):
            yield

    def _about(self, command: Command, outcome: Outcome, fault: Fault | None, number: int) -> Observation:
        return Observation(
            site=self._site,
            uuid=command.uuid,
            generation=command.generation,
            observed_at=time.time(),
            server=None,
            outcome=outcome,
            fault=fault,
            attempt=number,
        )

    async def _publish(self, observation: Observation) -> None:
        await self._road.publish(subjects.event(self._site, observation.uuid), codec.encode(observation))
