"""Which flavors a site should be asked for now, and what a sync would do. Pure; `now` is UTC epoch s."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.core import flavor_digest
from bridge.core.records import FlavorVersion, SiteFlavor
from proto.specs import FlavorSpec

FIRST_RETRY = 60.0  # s until a site that refused a version is asked again
LONGEST_RETRY = 3600.0  # s


class State(StrEnum):
    """How far a site is with a flavor."""

    CURRENT = "current"
    BEHIND = "behind"
    FAILED = "failed"


class Action(StrEnum):
    """What a sync would do with a flavor."""

    COUNT = "count"  # its content changed above and has no number yet
    MAKE = "make"  # ask the site for the newest version
    RETRY = "retry"  # ask again for what the site refused
    COLLECT = "collect"  # it is gone above: remove the site's copies once they are unused


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan; ``site`` is empty for what concerns all of them."""

    flavor_id: str
    action: Action
    site: str
    why: str


def state(record: FlavorVersion, held: SiteFlavor | None) -> State:
    """Return how far a site is with the newest version."""
    if held is None or held.tried != record.version:
        return State.BEHIND
    return State.FAILED if held.reason else State.CURRENT


def due(
    versions: Mapping[str, FlavorVersion], held: Mapping[str, SiteFlavor], agents: Collection[str], now: float
) -> list[str]:
    """Return the flavors to ask the site for, those it has never had first.

    A site is asked when the version is new, when an agent answers that was not asked yet (it was started anew, maybe
    with other rights or on another cloud), and seldom again for what it refused.
    """
    found = []
    for flavor_id, record in versions.items():
        if flavor_digest.is_above(record):
            present = held.get(flavor_id)
            fresh = state(record, present) is State.BEHIND or present is None or present.agent not in agents
            if fresh or (present is not None and present.reason and now >= retry_at(present)):
                found.append((present is not None and present.version > 0, flavor_id))
    return [flavor_id for _, flavor_id in sorted(found)]


def retry_at(held: SiteFlavor) -> float:
    """Return when a site that refused may be asked again."""
    return held.at + min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(held.failures - 1, 10))


def to_count(versions: Mapping[str, FlavorVersion], above: Collection[FlavorSpec]) -> list[Change]:
    """Return what a look above would write: contents without a number, and flavors that are gone."""
    changes = []
    for flavor in sorted(above, key=lambda one: one.flavor_id):
        record = versions.get(flavor.flavor_id)
        following = flavor_digest.seen(record, flavor)
        if record is None or following.version != record.version:
            why = f"version {following.version}, as its content changed above" if record else "new above"
            changes.append(Change(flavor.flavor_id, Action.COUNT, "", why))
    present = {flavor.flavor_id for flavor in above}
    return changes + [
        Change(flavor_id, Action.COUNT, "", "deleted above")
        for flavor_id, record in sorted(versions.items())
        if flavor_digest.is_above(record) and flavor_id not in present
    ]


def to_sync(site: str, versions: Mapping[str, FlavorVersion], held: Mapping[str, SiteFlavor]) -> list[Change]:
    """Return what a sync would do in a site, given the versions as they will be counted."""
    changes = []
    for flavor_id, record in sorted(versions.items()):
        present = held.get(flavor_id)
        if not flavor_digest.is_above(record):
            if present is not None and record.deleted_at is not None:
                changes.append(Change(flavor_id, Action.COLLECT, site, "deleted above"))
            continue
        match state(record, present):
            case State.BEHIND:
                has = f"the site has version {present.version}" if present and present.version else "the site lacks it"
                changes.append(Change(flavor_id, Action.MAKE, site, f"version {record.version}: {has}"))
            case State.FAILED:
                changes.append(Change(flavor_id, Action.RETRY, site, present.reason if present else ""))
            case State.CURRENT:
                pass
    return changes
