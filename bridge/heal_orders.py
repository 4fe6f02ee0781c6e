"""`cascade heal` of one owned site: a plan or a round now, and the approval of what the brake holds back."""

import logging
from collections.abc import Sequence

from bridge.brake import Brake
from bridge.core.situation import Above, Situation
from bridge.healing import Healing, Plan
from proto import codec
from proto.errors import FaultCode, Refused
from proto.messages import CensusEntry, PlannedStep, Query, Reply

LOG = logging.getLogger(__name__)

ROOM = codec.MAX_MESSAGE_BYTES - 10_000  # bytes for the steps of one reply


class HealOrders:
    """The orders; each is answered when it is done."""

    def __init__(self, healing: Healing, brake: Brake) -> None:
        self._healing = healing
        self._brake = brake
        self._told: list[PlannedStep] = []  # of the last order, to be paged through

    async def heal(self, query: Query) -> Reply:
        """Do a round, or only look, and return its plan; with a marker, what comes after that instance in it."""
        if not query.marker:
            plan = await (self._healing.plan() if query.dry_run else self._healing.round())
            self._told = told(plan)
        return page([step for step in self._told if step.uuid > query.marker])

    async def approve(self, query: Query) -> Reply:
        """Do a round, and with it what the last one held back."""
        if not self._brake.approve():
            raise Refused(FaultCode.CONFLICT, "nothing waits for an approval")
        LOG.warning("audit: site=%s what the brake held back is approved by %s", query.site, query.asked_by)
        return await self.heal(query)


def told(plan: Plan) -> list[PlannedStep]:
    """Return a plan in words, in order of uuid."""
    return [
        PlannedStep(
            uuid=uuid,
            action=step.action,
            why=step.why,
            above=_above(plan.situations[uuid].above),
            record=_record(plan.situations[uuid]),
            server=_server(plan.situations[uuid].server),
            braked=step in plan.braked,
        )
        for uuid, step in sorted(plan.steps.items())
    ]


def page(steps: Sequence[PlannedStep], room: int = ROOM) -> Reply:
    """Return as many steps as fit into one reply, with the marker to ask on with."""
    for number, step in enumerate(steps):
        room -= len(codec.encode(step))
        if room < 0:
            return Reply(steps=list(steps[:number]), marker=steps[number - 1].uuid)
    return Reply(steps=list(steps))


def _above(above: Above | None) -> str:
    if above is None:
        return ""
    task = f"/{above.task_state}" if above.task_state else ""
    return "deleted" if above.deleted else f"{above.vm_state}{task} on {above.host or 'no host'}"


def _record(now: Situation) -> str:
    record = now.record
    if record is None:
        return ""
    if record.deleted_at is not None:
        return "tombstone"
    return f"{record.pending.verb} pending" if record.pending is not None else "settled"


def _server(entry: CensusEntry | None) -> str:
    return f"{entry.server.server_id} {entry.server.vm_state}" if entry is not None else ""
