"""Whether a site may take new servers, which of its lives it is in, and what an operator is told."""

from typing import Any

import pytest

from bridge.core import standing
from bridge.core.inventory import Liveness
from bridge.core.records import SiteLife, SiteSpec
from bridge.core.standing import State
from proto.messages import SiteHost

HOSTS = [SiteHost("paris-1", "eu"), SiteHost("paris-2", "eu")]
BOTH = {"paris-1": 1.0, "paris-2": 2.0}


def spec(**fields: Any) -> SiteSpec:
    return SiteSpec("paris", HOSTS, "key", "user", 3, **fields)


@pytest.mark.parametrize(
    ("forced", "before", "heard", "epoch", "given_up"),
    [
        ({}, {}, 0, 3, {}),
        ({"paris-1": False, "paris-2": False}, {}, 3, 3, {}),
        ({"paris-1": True, "paris-2": False}, {}, 3, 4, {"paris-1": 9.0}),
        ({"paris-1": True, "paris-2": True}, {"paris-1": 1.0}, 3, 4, {"paris-1": 1.0, "paris-2": 9.0}),
        ({"paris-1": True, "paris-2": True}, BOTH, 3, 3, BOTH),
        ({}, BOTH, 0, 3, BOTH),  # not asked yet
        ({"paris-1": False}, BOTH, 3, 3, {"paris-2": 2.0}),
        ({"paris-1": False, "paris-2": False}, {}, 7, 7, {}),  # etcd came from an older backup
        ({"paris-1": True, "paris-2": False}, {}, 7, 8, {"paris-1": 9.0}),
        ({}, {}, 2**60, 3, {}),
    ],
)
def test_forcing_a_host_down_begins_a_new_life_once(
    forced: dict[str, bool], before: dict[str, float], heard: int, epoch: int, given_up: dict[str, float]
) -> None:
    after = standing.next_life(spec(given_up=before), forced, heard, 9.0)
    assert (after.epoch, after.given_up) == (epoch, given_up)


@pytest.mark.parametrize(
    ("fields", "live", "returned", "offset", "wanted"),
    [
        ({}, Liveness.ONLINE, False, 0.0, None),
        ({"given_up": BOTH}, Liveness.ONLINE, True, 0.0, standing.GIVEN_UP),
        ({"given_up": {"paris-2": 1.0}}, Liveness.ONLINE, False, 0.0, None),
        ({}, Liveness.ONLINE, True, 0.0, standing.RETURNED),
        ({}, None, True, 0.0, None),
        ({"draining": True}, Liveness.ONLINE, True, 0.0, standing.RETURNED),
        ({"draining": True}, Liveness.ONLINE, False, 0.0, standing.DRAINED),
        ({"draining": True, "drain_reason": "racks"}, None, False, 0.0, f"{standing.DRAINED}: racks"),
        ({}, Liveness.ONLINE, False, 3600.0, standing.CLOCK),
        ({}, Liveness.ONLINE, False, -61.0, standing.CLOCK),
        ({}, Liveness.ONLINE, False, 59.0, None),
    ],
)
def test_what_keeps_new_servers_away(
    fields: dict[str, Any], live: Liveness | None, returned: bool, offset: float, wanted: str | None
) -> None:
    assert standing.obstacle(spec(**fields), "paris-1", live, returned, offset) == wanted


@pytest.mark.parametrize(
    ("fields", "live", "troubled", "reasons", "wanted"),
    [
        ({}, None, False, [], None),
        ({}, Liveness.ONLINE, False, [], State.ONLINE),
        ({}, Liveness.ONLINE, False, [standing.RETURNED], State.RETURNED),
        ({}, Liveness.SILENT, False, [], State.SILENT),
        ({}, Liveness.SILENT, True, [], State.TROUBLE),
        ({"given_up": BOTH}, None, False, [], State.GIVEN_UP),
        ({"given_up": {"paris-1": 1.0}}, Liveness.ONLINE, False, [], State.ONLINE),
    ],
)
def test_the_state_its_owner_sees(
    fields: dict[str, Any], live: Liveness | None, troubled: bool, reasons: list[str], wanted: State | None
) -> None:
    assert standing.state(spec(**fields), live, troubled, reasons) is wanted


@pytest.mark.parametrize(
    ("fields", "owned", "fresh", "troubled", "life", "wanted"),
    [
        ({}, True, True, False, SiteLife("online", 5.0), (State.ONLINE, 5.0)),
        ({}, True, True, False, None, (State.ONLINE, None)),
        ({}, True, True, False, SiteLife("silent", 5.0), (State.ONLINE, None)),  # it speaks: its owner sees it soon
        ({}, True, True, True, SiteLife("trouble", 5.0), (State.TROUBLE, 5.0)),
        ({}, True, False, False, SiteLife("silent", 5.0), (State.SILENT, 5.0)),
        ({}, False, False, False, SiteLife("online", 5.0), (State.UNSERVED, None)),
        ({"draining": True, "drained_at": 8.0}, True, True, False, SiteLife("online", 5.0), (State.DRAINING, 8.0)),
        ({"draining": True}, True, True, False, SiteLife("returned", 5.0), (State.RETURNED, 5.0)),
        ({"draining": True}, True, False, False, SiteLife("silent", 5.0), (State.SILENT, 5.0)),
        ({"given_up": BOTH}, True, True, False, SiteLife("given up", 5.0), (State.GIVEN_UP, 2.0)),
    ],
)
def test_what_an_operator_is_told(
    fields: dict[str, Any],
    owned: bool,
    fresh: bool,
    troubled: bool,
    life: SiteLife | None,
    wanted: tuple[State, float | None],
) -> None:
    assert standing.shown(spec(**fields), owned, fresh, troubled, life) == wanted
