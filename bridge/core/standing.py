"""How a site stands: alive, silent, returned, given up or drained; which of its lives it is in. Pure."""

from collections.abc import Collection, Mapping
from enum import StrEnum

import msgspec

from bridge.core.inventory import OURS, SILENT, TROUBLED, Liveness
from bridge.core.records import SiteLife, SiteSpec

MAX_EPOCH = 2**53  # a site that claims to know of more lies
MAX_CLOCK_OFFSET = 60.0  # s; beyond it, what expires is refused too early or begun too late

GIVEN_UP = f"{OURS} an operator gave the site up"
RETURNED = f"{OURS} the site is back, its census is not compared yet"
DRAINED = f"{OURS} drained by an operator"
CLOCK = f"{OURS} the site's clock is off by more than {MAX_CLOCK_OFFSET:.0f} s"
AWAY = frozenset({SILENT, TROUBLED, GIVEN_UP, RETURNED})  # disabled reasons of a site that is not trusted yet


class State(StrEnum):
    """What an operator is told."""

    ONLINE = "online"
    TROUBLE = "trouble"  # of the site's own cloud
    SILENT = "silent"
    RETURNED = "returned"  # it speaks again; no new servers before its census is compared
    GIVEN_UP = "given up"  # its services are forced down
    DRAINING = "draining"
    UNSERVED = "unserved"  # no bridge works for it


def next_life(spec: SiteSpec, forced_down: Mapping[str, bool], heard_epoch: int, now: float) -> SiteSpec:
    """Return the spec as it must be now: the epoch counts up when an operator forces a host of the site down.

    ``forced_down``: hosts that Nova was asked about; the others are as they were. ``heard_epoch``: the newest that an
    agent knows; if etcd came from an older backup, counting goes on above it.
    """
    given_up = {host: since for host, since in spec.given_up.items() if forced_down.get(host, True)}
    new = {host: now for host, down in forced_down.items() if down and host not in given_up}
    heard_epoch = heard_epoch if heard_epoch < MAX_EPOCH else 0
    epoch = max(spec.epoch, heard_epoch) + (1 if new else 0)
    return msgspec.structs.replace(spec, epoch=epoch, given_up={**given_up, **new})


def obstacle(spec: SiteSpec, host: str, live: Liveness | None, returned: bool, offset: float) -> str | None:
    """Return why a host of a site that is not silent must not take new servers; None if nothing here speaks against it.

    ``offset``: s its clock is ahead.
    """
    if host in spec.given_up:
        return GIVEN_UP
    if returned and live is Liveness.ONLINE:
        return RETURNED
    if spec.draining:
        return f"{DRAINED}: {spec.drain_reason}" if spec.drain_reason else DRAINED
    return CLOCK if abs(offset) > MAX_CLOCK_OFFSET else None


def state(spec: SiteSpec, live: Liveness | None, troubled: bool, reasons: Collection[str | None]) -> State | None:
    """Return what is told of a site that a bridge works for; None while that cannot be told yet.

    ``troubled``: it speaks, of troubles of its own cloud. ``reasons``: why its hosts are disabled.
    """
    if spec.given_up and all(host.host in spec.given_up for host in spec.hosts):
        return State.GIVEN_UP
    if live is None:
        return None
    if live is Liveness.SILENT:
        return State.TROUBLE if troubled else State.SILENT
    return State.RETURNED if RETURNED in reasons else State.ONLINE


def shown(
    spec: SiteSpec, owned: bool, fresh: bool, troubled: bool, life: SiteLife | None
) -> tuple[State, float | None]:
    """Return what an operator is told of a site and since when, UTC epoch s; None = that is not known.

    ``fresh``: its last status is not old; ``troubled``: that told of troubles. ``life``: what its owner saw last.
    """
    if spec.given_up and all(host.host in spec.given_up for host in spec.hosts):
        return State.GIVEN_UP, max(spec.given_up.values())
    if not fresh:
        state = State.SILENT if owned else State.UNSERVED
    elif troubled:
        state = State.TROUBLE
    elif life is not None and life.state == State.RETURNED:
        state = State.RETURNED
    elif spec.draining:
        return State.DRAINING, spec.drained_at
    else:
        state = State.ONLINE
    return state, life.since if life is not None and life.state == state else None
