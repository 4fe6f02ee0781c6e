"""Which flavors a site is asked for, and what the operator is told a sync would do."""

import msgspec

from bridge.core import flavor_digest
from bridge.core.flavor_plan import Action, State, due, state, to_count, to_sync
from bridge.core.records import FlavorVersion, SiteFlavor
from tests.fakes.messages import FLAVOR

NOW = 10_000.0
AGENTS = {"agent-1"}
RECORD = flavor_digest.seen(None, FLAVOR)
HAS = SiteFlavor(1, "cascade-42-v1", 1, "agent-1", at=NOW)
REFUSED = SiteFlavor(0, "", 1, "agent-1", "vcpus is 1, wanted 2", failures=1, at=NOW)


def asked(held: SiteFlavor | None, record: FlavorVersion = RECORD, now: float = NOW) -> bool:
    return bool(due({"f": record}, {"f": held} if held else {}, AGENTS, now))


def test_a_site_is_asked_for_what_it_lacks_and_for_nothing_else() -> None:
    changed = flavor_digest.seen(RECORD, msgspec.structs.replace(FLAVOR, vcpus=9))
    assert asked(None) and asked(HAS, changed)
    assert not asked(HAS)
    assert not asked(None, flavor_digest.gone(RECORD, NOW))
    assert not asked(None, FlavorVersion(0, "", 1, {"x": 1}))  # only boots have brought it: not above


def test_a_refusal_is_asked_again_seldom_and_at_once_of_another_agent() -> None:
    assert not asked(REFUSED, now=NOW + 59) and asked(REFUSED, now=NOW + 61)
    often = msgspec.structs.replace(REFUSED, failures=3)
    assert not asked(often, now=NOW + 239) and asked(often, now=NOW + 241)
    endless = msgspec.structs.replace(REFUSED, failures=500)
    assert asked(endless, now=NOW + 3601)
    assert asked(msgspec.structs.replace(REFUSED, agent="agent-0"))


def test_what_an_agent_started_anew_has_is_looked_at_again() -> None:
    assert asked(msgspec.structs.replace(HAS, agent="agent-0"))


def test_flavors_the_site_never_had_come_first() -> None:
    versions = {"a": RECORD, "b": RECORD}
    assert due(versions, {"a": msgspec.structs.replace(HAS, tried=0)}, AGENTS, NOW) == ["b", "a"]


def test_states() -> None:
    assert state(RECORD, None) is State.BEHIND
    assert state(RECORD, HAS) is State.CURRENT
    assert state(RECORD, REFUSED) is State.FAILED


def test_a_plan_tells_what_a_look_would_count() -> None:
    other = msgspec.structs.replace(FLAVOR, flavor_id="new")
    changed = msgspec.structs.replace(FLAVOR, vcpus=9)
    gone = flavor_digest.seen(None, msgspec.structs.replace(FLAVOR, flavor_id="gone"))
    plan = to_count({FLAVOR.flavor_id: RECORD, "gone": gone}, [changed, other])
    assert [(one.flavor_id, one.action, one.why) for one in plan] == [
        (FLAVOR.flavor_id, Action.COUNT, "version 2, as its content changed above"),
        ("new", Action.COUNT, "new above"),
        ("gone", Action.COUNT, "deleted above"),
    ]
    assert to_count({FLAVOR.flavor_id: RECORD}, [FLAVOR]) == []


def test_a_plan_tells_what_a_site_would_be_asked() -> None:
    versions = {"a": RECORD, "b": RECORD, "c": RECORD, "d": flavor_digest.gone(RECORD, NOW)}
    plan = to_sync("paris", versions, {"b": REFUSED, "c": HAS, "d": HAS})
    assert [(one.flavor_id, one.action) for one in plan] == [
        ("a", Action.MAKE), ("b", Action.RETRY), ("d", Action.COLLECT),
    ]  # fmt: skip
    assert plan[1].why == REFUSED.reason
