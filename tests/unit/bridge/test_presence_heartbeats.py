"""Heartbeats of many hosts: even load, a bounded number of calls, and no host hangs on another."""

import asyncio
from collections.abc import Mapping
from typing import Any

from bridge.edge.nova_conductor import ServiceGone
from bridge.heartbeats import CALLS, Heartbeats, next_due
from proto.errors import Unavailable


class Conductor:
    """Counts beats; ``gate`` holds them back."""

    def __init__(self) -> None:
        self.beats: list[tuple[int, int, int]] = []
        self.version = 70
        self.trouble: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most = 0

    async def conductor_service_version(self) -> int:
        return self.version

    async def heartbeat(self, service_id: int, report_count: int, version: int) -> Mapping[str, Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1
        if self.trouble:
            raise self.trouble
        self.beats.append((service_id, report_count, version))
        return {"disabled": False}


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def round_of(hearts: Heartbeats) -> None:
    await asyncio.gather(*(hearts._beat(heart) for heart in hearts._due()))


def hearts_of(conductor: Conductor, clock: Clock, hosts: int) -> Heartbeats:
    hearts = Heartbeats(conductor, monotonic=clock, now=lambda: 1_800_000_000.0 + clock())
    for number in range(hosts):
        hearts.keep(f"host-{number}", number, 0)
    return hearts


async def test_every_host_beats_once_in_an_interval_after_its_first_beat() -> None:
    conductor, clock = Conductor(), Clock()
    hearts = hearts_of(conductor, clock, 200)
    await round_of(hearts)
    assert len(conductor.beats) == 200
    per_tick = []
    for _ in range(40):
        before = len(conductor.beats)
        clock.seconds += 0.5
        await round_of(hearts)
        per_tick.append(len(conductor.beats) - before)
    assert 390 <= sum(per_tick) <= 410
    assert max(per_tick) <= 25


async def test_only_a_few_calls_are_on_the_wire_and_a_hanging_one_is_not_repeated() -> None:
    conductor, clock = Conductor(), Clock()
    hearts = hearts_of(conductor, clock, 30)
    conductor.gate.clear()
    first = asyncio.create_task(round_of(hearts))
    for _ in range(10):
        await asyncio.sleep(0)
    clock.seconds += 20
    assert hearts._due() == []
    conductor.gate.set()
    await first
    assert conductor.most == CALLS
    assert len(conductor.beats) == 30


async def test_counts_always_grow() -> None:
    conductor, clock = Conductor(), Clock()
    hearts = Heartbeats(conductor, monotonic=clock, now=lambda: 1_800_000_000.0)
    hearts.keep("host", 1, 99_999_999)
    for _ in range(3):
        await round_of(hearts)
        clock.seconds += 10
    assert [count for _, count, _ in conductor.beats] == [100_000_000, 100_000_001, 100_000_002]


async def test_an_upgraded_nova_is_followed_at_once_after_a_failed_beat() -> None:
    conductor, clock = Conductor(), Clock()
    hearts = hearts_of(conductor, clock, 1)
    await round_of(hearts)
    conductor.version, conductor.trouble = 74, Unavailable("ServiceTooOld")
    clock.seconds += 10
    await round_of(hearts)
    conductor.trouble = None
    clock.seconds += 10
    await round_of(hearts)
    assert [version for _, _, version in conductor.beats] == [70, 74]


async def test_a_deleted_service_ends_its_heart_only() -> None:
    conductor, clock = Conductor(), Clock()
    hearts = hearts_of(conductor, clock, 2)
    told: list[Mapping[str, Any] | None] = []
    hearts.keep("host-0", 0, 0, lambda _sent, service: told.append(service))
    conductor.trouble = ServiceGone("service 0")
    await hearts._beat(next(heart for heart in hearts._due() if heart.host == "host-0"))
    assert told == [None]
    assert hearts.hosts() == {"host-1"}


async def test_run_beats_until_cancelled() -> None:
    conductor = Conductor()
    hearts = Heartbeats(conductor)
    hearts.keep("host", 1, 0)
    task = asyncio.create_task(hearts.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(conductor.beats) == 1
    hearts.drop("host")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_the_next_time_is_within_one_interval() -> None:
    for now in (0.0, 3.3, 1e6):
        assert now < next_due("host", now, 10.0) <= now + 10.0
