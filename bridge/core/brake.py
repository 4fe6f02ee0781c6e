"""The limit on what one healing round may destroy without an operator. Pure."""

from collections.abc import Collection

from bridge.core.situation import Action, Step

FEWEST = 10  # actions of a round that are always allowed
SHARE = 0.05  # of the site's servers

# Repairs that end servers, or declare them lost. A delete that a tenant asked for in the normal way is none of these.
DRASTIC = frozenset({Action.DELETE_LEFT, Action.DELETE_COPY, Action.MISSING, Action.REBUILD})


def limit(servers: int) -> int:
    """Return how many drastic actions a round may take in a site that holds so many servers."""
    return max(FEWEST, int(servers * SHARE))


def held_back(steps: Collection[Step], servers: int, approved: Collection[Step] = ()) -> list[Step]:
    """Return the steps of a round that must wait: all drastic ones together, or none.

    ``approved``: those that an operator has seen and allowed; they neither wait nor count.
    """
    allowed = {(step.uuid, step.action) for step in approved}
    drastic = [step for step in steps if step.action in DRASTIC and (step.uuid, step.action) not in allowed]
    return drastic if len(drastic) > limit(servers) else []
