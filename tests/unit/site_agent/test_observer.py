"""What is told of a site, when, and how often."""

import asyncio
from typing import Any

from proto.errors import FaultCode, Unavailable
from proto.messages import Observation
from proto.operations import Verb
from site_agent import census
from site_agent.core import identity
from site_agent.edge.cloud import Service
from site_agent.heartbeat import Heartbeat, read_capacity
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_nova import SiteServer
from tests.unit.site_agent.world import OTHER, UUID, World, card, play, server_spec


def told(world: World, uuid: str = UUID) -> list[tuple[int, str, str | None]]:
    """What was told: generation, status, task."""
    return [_short(o) for o in world.observations(uuid)]


def _short(o: Observation) -> tuple[int, str, str | None]:
    return (o.generation, o.server.status, o.server.task_state) if o.server else (o.generation, "absent", None)


async def booted(world: World, **fields: Any) -> SiteServer:
    """The whole agent runs, and one server is active."""
    world.run_agent()
    await world.send(world.command(Verb.CREATE, **fields))
    await asyncio.sleep(5)
    return world.cloud.nova.alive()[-1]


def test_each_change_is_told_once() -> None:
    async def story(world: World) -> None:
        server = await booted(world)
        await asyncio.sleep(60)
        assert told(world) == [(1, "BUILD", "spawning"), (1, "ACTIVE", None)]
        world.cloud.nova.vendor(server, "os-stop")
        await asyncio.sleep(5)
        assert told(world)[-1] == (1, "SHUTOFF", None)

    play(story)


def test_an_idle_site_is_asked_every_two_seconds_and_a_busy_one_more_often() -> None:
    async def story(world: World) -> None:
        await booted(world)
        await asyncio.sleep(20)
        before = len(world.cloud.calls)
        await asyncio.sleep(100)
        assert 45 <= len(world.cloud.calls) - before <= 52

    play(story)


def test_the_active_state_is_told_within_a_second() -> None:
    async def story(world: World) -> None:
        await booted(world)
        active = next(o for o in world.observations() if o.server.status == "ACTIVE")
        assert active.observed_at - active.server.launched_at < 1.0

    play(story)


def test_a_failed_build_is_told_with_the_sites_fault() -> None:
    async def story(world: World) -> None:
        world.cloud.nova.fail_builds = "No valid host was found. "
        await booted(world)
        assert world.observations()[-1].server.fault == "No valid host was found."

    play(story)


def test_an_error_without_a_fault_is_read_three_times() -> None:
    async def story(world: World) -> None:
        server = await booted(world)
        await asyncio.sleep(10)
        world.cloud.nova.touch(server, vm_state="error")
        await asyncio.sleep(0.6)
        world.cloud.nova.touch(server, vm_state="active")
        await asyncio.sleep(10)
        assert "ERROR" not in {status for _, status, _ in told(world)}
        world.cloud.nova.touch(server, vm_state="error")
        await asyncio.sleep(10)
        assert told(world)[-1][1] == "ERROR"

    play(story)


def test_a_server_the_vendor_deletes_is_told_absent() -> None:
    async def story(world: World) -> None:
        server = await booted(world)
        world.cloud.nova.vendor(server, "delete")
        await asyncio.sleep(5)
        assert told(world)[-1] == (1, "absent", None)
        assert world.cloud.neutron.things["ports"] == {}

    play(story)


def test_a_server_whose_row_is_gone_for_good_is_told_absent() -> None:
    async def story(world: World) -> None:
        server = await booted(world)
        await world.send(world.command(Verb.DELETE, 2))
        await asyncio.sleep(0.2)
        del world.cloud.nova.servers[server.id]
        await asyncio.sleep(30)
        assert told(world)[-1] == (2, "absent", None)
        other = await booted(world, uuid=OTHER, server=server_spec(ports=[card(2)]))
        del world.cloud.nova.servers[other.id]  # nobody asked for that: the next full listing shows it
        await asyncio.sleep(700)
        assert told(world, OTHER)[-1] == (1, "absent", None)

    play(story)


def test_a_new_agent_tells_everything_once() -> None:
    async def story(world: World) -> None:
        await booted(world)
        world.restart()
        world.run_agent()
        before = len(told(world))
        await asyncio.sleep(30)
        assert told(world)[before:] == [(0, "ACTIVE", None)]

    play(story)


def test_a_site_with_soft_delete_loses_its_server_all_the_same() -> None:
    async def story(world: World) -> None:
        world.cloud.nova.reclaim = True
        await booted(world)
        await world.send(world.command(Verb.DELETE, 2))
        await asyncio.sleep(10)
        assert world.cloud.nova.alive() == []
        assert told(world)[-1] == (2, "absent", None)

    play(story)


def test_a_server_made_twice_is_made_one() -> None:
    async def story(world: World) -> None:
        first = await booted(world, server=server_spec(ports=[]))
        twin = SiteServer("srv-twin", first.body, first.created + 5, world.time.time(), "active", None, 1)
        world.cloud.nova.servers[twin.id] = twin
        await asyncio.sleep(10)
        assert world.cloud.nova.alive() == [first]
        assert told(world)[-1] == (1, "ACTIVE", None)
        assert (1, "absent", None) not in told(world)

    play(story)


def test_servers_that_are_not_ours_are_left_alone() -> None:
    async def story(world: World) -> None:
        body = {"name": "vendor", "tags": ["prod"], "networks": "none"}
        world.cloud.nova.servers["v"] = SiteServer("v", body, 1.0, world.time.time(), "active", None, 1)
        world.run_agent()
        await asyncio.sleep(10)
        assert world.road.waiting("cascade.v1.evt.>") == []
        assert (await world.ask("census")).servers == []

    play(story)


def test_one_odd_server_stops_nothing() -> None:
    async def story(world: World) -> None:
        server = await booted(world)
        odd = SiteServer("odd", {**server.body, "tags": [identity.tag(OTHER)]}, 1.0, world.time.time(), "active", None)
        odd.power_state = "broken"  # type: ignore[assignment]
        world.cloud.nova.servers["odd"] = odd
        world.cloud.nova.vendor(server, "os-stop")
        await asyncio.sleep(5)
        assert told(world)[-1][1] == "SHUTOFF"

    play(story)


def test_a_delete_whose_ports_cannot_be_released_now_is_finished_later() -> None:
    async def story(world: World) -> None:
        await booted(world)
        world.cloud.trouble("GET network /ports", Unavailable("503"), times=20)
        await world.send(world.command(Verb.DELETE, 2))
        await asyncio.sleep(5)
        assert "ports" in (world.site.problems.summary() or "")
        await asyncio.sleep(60)
        assert told(world)[-1] == (2, "absent", None)
        assert world.cloud.neutron.things["ports"] == {}
        assert world.site.problems.summary() is None

    play(story)


def test_a_down_cell_hides_a_census_but_not_the_rest() -> None:
    async def story(world: World) -> None:
        server = await booted(world)
        other = await booted(world, uuid=OTHER, server=server_spec(ports=[card(2)]))
        other.in_down_cell = True
        world.restart()
        world.run_agent()
        await asyncio.sleep(1)
        reply = await world.ask("census")
        assert reply.fault.code is FaultCode.SITE_SILENT
        world.cloud.nova.vendor(server, "os-stop")
        await asyncio.sleep(5)
        assert told(world)[-1][1] == "SHUTOFF"
        assert "absent" not in {status for _, status, _ in told(world, OTHER)}

    play(story)


def test_a_census_pages_through_everything() -> None:
    async def story(world: World) -> None:
        world.cloud.nova.page = 2
        for number in range(1, 6):
            await booted(world, uuid=f"u{number}", server=server_spec(ports=[card(number)]))
        found, marker = [], ""
        while True:
            reply = await world.ask("census", marker=marker)
            found += [entry.uuid for entry in reply.servers]
            if not (marker := reply.marker):
                break
        assert found == ["u1", "u2", "u3", "u4", "u5"]
        assert (await world.ask("census", marker="gone")).fault.code is FaultCode.CONFLICT

    play(story)


def test_a_census_reply_stays_within_its_bounds() -> None:
    async def story(world: World) -> None:
        for number in range(1, 4):
            await booted(world, uuid=f"u{number}", server=server_spec(ports=[card(number)]))
        page = await world.site.servers.page()
        entries, marker = census.fit(page.servers, room=350)
        assert (len(entries), marker) == (1, page.servers[0].server_id)

    play(story)


def test_status_and_capacity() -> None:
    async def story(world: World) -> None:
        capacity = await read_capacity(world.site)
        assert set(capacity) == {"", "north"}
        assert (capacity["north"].vcpus, capacity["north"].memory_mb, capacity["north"].vcpus_used) == (64, 32256, 2)
        heartbeat = Heartbeat(world.site, lambda: 3, 5.0, 60.0)
        world.site.problems.report("observer", "503")
        status = heartbeat.status()
        assert (status.busy, status.problem, status.versions["nova"]) == (3, "observer: 503", "2.96")

    play(story)


def test_without_the_right_to_read_placement_capacity_is_empty_and_said_so() -> None:
    async def story(world: World) -> None:
        heartbeat = Heartbeat(world.site, lambda: 0, 5.0, 60.0)
        world.process.spawn(heartbeat.measure())
        await asyncio.sleep(1)
        assert heartbeat.status().capacity == {}
        assert "Placement" in heartbeat.status().problem

    play(story, cloud=FakeCloud(admin=False))


def test_without_that_right_the_quota_of_the_project_is_its_capacity() -> None:
    async def story(world: World) -> None:
        world.cloud.nova.limits = {"maxTotalInstances": -1, "maxTotalCores": 8, "maxTotalRAMSize": 16384}
        world.cloud.nova.flavors["s"] = {"id": "s", "vcpus": 2, "ram": 2048, "disk": 20, "extra_specs": {}}
        heartbeat = Heartbeat(world.site, lambda: 0, 5.0, 60.0)
        world.process.spawn(heartbeat.measure())
        await asyncio.sleep(1)
        status = heartbeat.status()
        north = status.capacity["north"]
        assert set(status.capacity) == {"", "north"} and status.problem is None
        assert (north.vcpus, north.memory_mb, north.disk_gb, north.vcpus_used, north.hosts) == (8, 16384, 80, 2, 0)
        assert [line.partition(":")[0] for line in status.degraded] == ["capacity", "neutron"]

    play(story, cloud=FakeCloud(admin=False))


def test_an_api_that_is_away_shows_in_the_status_until_it_is_back() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        world.cloud.away = {Service.COMPUTE}
        await asyncio.sleep(10)
        assert "connection refused" in world.site.problems.summary()
        world.cloud.away = set()
        await asyncio.sleep(5)
        assert world.site.problems.summary() is None

    play(story)


def test_an_unknown_query_is_answered_with_a_fault() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await asyncio.sleep(1)
        assert (await world.ask("dance")).fault.code is FaultCode.UNSUPPORTED

    play(story)
