"""Rounds of healing: look, plan, carry out within the brake. At take-over, when the site returns, and every ROUND s."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass

from bridge.brake import Brake
from bridge.core import reconciler
from bridge.core.policies import Policies
from bridge.core.situation import Action, Situation, Step
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.instances import Instances
from bridge.lost_builds import LostBuilds
from bridge.presence import Presence
from bridge.quarantine import Quarantine
from bridge.repairs import Repairs
from bridge.survey import Survey
from proto.errors import CascadeError, Unavailable

LOG = logging.getLogger(__name__)

ROUND = 60.0  # s between two looks: what an RPC under way may take is told by INTAKE, not by this
SOON = 21.0  # s until the next look, where something was seen that must last to count
FIRST_ROUND = 5.0  # s after take-over
TICK = 5.0  # s between two looks whether there is something to do: tombstones to drop, a site that returned
KEPT = frozenset({Action.QUARANTINE, Action.RESTORED, Action.WAIT})  # whose servers stay in quarantine if they are


@dataclass(frozen=True, slots=True)
class Plan:
    """What one round found."""

    steps: dict[str, Step]  # by instance; none of those that need nothing
    situations: dict[str, Situation]  # of these
    braked: tuple[Step, ...]  # those of the steps that wait for an operator
    quarantined: frozenset[str]  # ids of the servers that stay in quarantine, or may soon be put there
    known: frozenset[str]  # every instance that was looked at
    servers: int  # that the site holds, or should: what is missing counts for the limit as well


class Healing:
    """One owned site."""

    def __init__(
        self,
        site: str,
        policies: Policies,
        instances: Instances,
        presence: Presence,
        survey: Survey,
        repairs: Repairs,
        quarantine: Quarantine,
        lost_builds: LostBuilds,
        brake: Brake,
    ) -> None:
        self._site = site
        self._policies = policies
        self._instances = instances
        self._presence = presence
        self._survey = survey
        self._repairs = repairs
        self._quarantine = quarantine
        self._lost_builds = lost_builds
        self._brake = brake
        self._one = asyncio.Lock()  # a round at a time
        self._next = time.monotonic() + FIRST_ROUND

    async def run(self) -> None:
        """Look until cancelled."""
        await self._quarantine.load()
        while True:
            await asyncio.sleep(TICK)
            try:
                if self._presence.given_up:
                    continue
                if any(record.deleted_at is not None for record in self._instances.all()):
                    await self._bury_tombstones()
                if time.monotonic() >= self._next or self._presence.returned.is_set():
                    await self.round()
            except (OwnershipLost, Conflict):
                raise
            except Unavailable as error:
                LOG.info("site=%s healing waits: %s", self._site, error)
            except CascadeError:
                LOG.exception("site=%s healing", self._site)

    def hurry(self) -> None:
        """Look again soon: something was seen that a round decides about."""
        self._next = min(self._next, time.monotonic() + TICK)

    async def plan(self) -> Plan:
        """Look at everything once, and return what a round would do now."""
        async with self._one:
            return await self._look()

    async def round(self) -> Plan:
        """Look at everything once and do what is needed; Unavailable while something that must be asked is away."""
        async with self._one:
            plan = await self._look()
            await self._brake.told(plan.steps.values(), plan.braked, plan.servers)
            for uuid, step in plan.steps.items():
                if step not in plan.braked:
                    await self._guarded(uuid, self._repairs.carry_out(plan.situations[uuid], step))
            await self._quarantine.release_all_but(plan.quarantined)
            await self._lost_builds.end(plan.known)
            self._presence.compared()
            waits = any(step.action is Action.WAIT for step in plan.steps.values())
            self._next = time.monotonic() + (SOON if waits else ROUND)
            return plan

    async def _look(self) -> Plan:
        if self._presence.given_up:
            raise Unavailable(f"site {self._site} is given up")
        situations = {now.uuid: now for now in await self._survey.look()}
        wanted = {uuid: reconciler.decide(now, self._policies) for uuid, now in situations.items()}
        steps = {
            uuid: step
            for uuid, step in wanted.items()
            if step.action is not Action.NOTHING and not await self._repairs.busy(uuid)
        }
        servers = sum(now.server is not None or now.record is not None for now in situations.values())
        return Plan(
            steps,
            {uuid: situations[uuid] for uuid in steps},
            self._brake.held_back(steps.values(), servers),
            frozenset(_quarantined(situations, wanted)),
            frozenset(uuid for uuid, now in situations.items() if now.above is not None and now.above.ours),
            servers,
        )

    async def _guarded(self, uuid: str, work: Awaitable[None]) -> None:
        """Trouble with one instance stops neither the others nor the site; only a lost ownership does."""
        try:
            await work
        except (OwnershipLost, Conflict, Unavailable):
            raise
        except CascadeError:
            LOG.exception("site=%s instance=%s cannot be healed now", self._site, uuid)

    async def _bury_tombstones(self) -> None:
        began = time.time()
        dead = [record.uuid for record in self._instances.all() if record.deleted_at is not None]
        present = await self._survey.find(dead)
        for uuid in dead:
            await self._repairs.drop_if(
                uuid, lambda record: reconciler.droppable(record, began, record.uuid in present)
            )


def _quarantined(situations: Mapping[str, Situation], wanted: Mapping[str, Step]) -> Iterator[str]:
    for uuid, step in wanted.items():
        server = situations[uuid].server
        if server is not None and step.action in KEPT:
            yield server.server.server_id
