"""The heartbeat: what it says when the site's hosts come and go, and what it survives."""

import asyncio

import pytest

from proto import codec, subjects
from proto.messages import SiteStatus
from site_agent.core.answers import Answer
from site_agent.edge.hosts import Hosts, ProviderName
from site_agent.edge.networks import Networks
from site_agent.heartbeat import PART, Heartbeat, read_capacity
from tests.unit.site_agent.world import PARIS, UUID, World, play

GONE = Answer(404, {"errors": [{"detail": "No resource provider with uuid"}]})


def heartbeat(world: World) -> Heartbeat:
    return Heartbeat(world.site, lambda: 0, 5.0, 60.0)


def test_a_provider_that_goes_between_list_and_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        before = await read_capacity(world.site)
        names = await world.site.hosts.providers()

        async def one_more(_hosts: Hosts) -> list[ProviderName]:
            return [*names, ProviderName("gone", "gone")]

        monkeypatch.setattr(Hosts, "providers", one_more)
        world.cloud.trouble("/resource_providers/gone", GONE)
        after = await read_capacity(world.site)
        assert {zone: one.vcpus for zone, one in after.items()} == {zone: one.vcpus for zone, one in before.items()}

    play(story)


def test_an_unconfirmed_resize_of_ours_is_not_what_others_use() -> None:
    async def story(world: World) -> None:
        before = await read_capacity(world.site)
        world.site.memory.complete = True
        world.site.memory.know(UUID, "server-1")
        held = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}
        world.cloud.placement.allocations |= {"server-1": held, "move-1": held, "move-2": held}
        moves = {"move-1": "server-1", "move-2": "of-the-vendor"}
        world.cloud.nova.moves = [
            {"uuid": move, "instance_uuid": server, "status": "finished"} for move, server in moves.items()
        ]
        after = await read_capacity(world.site)
        assert after[""].others["VCPU"] == before[""].others["VCPU"] + 1

    play(story)


def test_a_site_that_does_not_tell_now_keeps_its_capacity() -> None:
    async def story(world: World) -> None:
        beating = heartbeat(world)
        world.process.spawn(beating.measure())
        await asyncio.sleep(1)
        known = beating.status().capacity
        world.cloud.trouble("/os-hypervisors", Answer(400, {"badRequest": {"message": "not now"}}), times=99)
        await asyncio.sleep(60)
        assert (
            known and beating.status().capacity == known and not any(PART in line for line in beating.status().degraded)
        )
        assert "not now" in (beating.status().problem or "")

    play(story)


def test_a_bug_ends_neither_the_beat_nor_the_measuring(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_networks: Networks) -> frozenset[str]:
        raise KeyError("alias")

    async def story(world: World) -> None:
        heard: list[SiteStatus] = []

        async def hear(_subject: str, data: bytes) -> None:
            heard.append(codec.decode(data, SiteStatus))

        await world.bridge.subscribe(subjects.status(PARIS), hear)
        beating = heartbeat(world)
        with monkeypatch.context() as patched:
            patched.setattr(Networks, "extensions", broken)
            for work in (beating.beat(), beating.measure()):
                world.process.spawn(work)
            await asyncio.sleep(200)
        assert "KeyError" in (heard[-1].problem or "") and len(heard) > 30
        assert sum("failed by a bug" in record.message for record in caplog.records) == 1
        await asyncio.sleep(70)
        assert heard[-1].problem is None and heard[-1].capacity

    play(story)
