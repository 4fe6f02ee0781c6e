"""`cascade heal`: a plan, a round now, or the approval of what the brake holds back."""

from typing import Any

from bridge.operator.context import Context
from bridge.operator.ordering import order
from proto.messages import PlannedStep
from proto.queries import QueryName

COLUMNS = ("uuid", "action", "braked", "above", "record", "site", "why")
DEADLINE = 600.0  # s: a site of many servers is listed first


async def heal(context: Context, site: str, dry_run: bool) -> list[PlannedStep]:
    """Have a site healed now, or only looked at, and return the whole plan."""
    return await _paged(context, site, QueryName.HEAL, dry_run)


async def approve(context: Context, site: str) -> list[PlannedStep]:
    """Let a site's healing do what its brake holds back, and return the plan of the round that does it."""
    return await _paged(context, site, QueryName.HEAL_APPROVE, False)


def row(step: PlannedStep) -> dict[str, Any]:
    """Return the line of one step."""
    return {
        "uuid": step.uuid,
        "action": step.action,
        "braked": step.braked,
        "above": step.above or None,
        "record": step.record or None,
        "site": step.server or None,
        "why": step.why,
    }


async def _paged(context: Context, site: str, verb: QueryName, dry_run: bool) -> list[PlannedStep]:
    reply = await order(context, site, verb, DEADLINE, dry_run=dry_run)
    steps = list(reply.steps)
    while reply.marker:
        reply = await order(context, site, QueryName.HEAL, DEADLINE, dry_run=True, marker=reply.marker)
        steps += reply.steps
    return steps
