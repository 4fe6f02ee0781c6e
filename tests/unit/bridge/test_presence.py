"""A site's hosts above: registered, shown as reported, disabled while silent; and the operator's word stands."""

import asyncio

import msgspec
import pytest

from bridge.core import inventory, keys, standing
from bridge.core.inventory import DISABLED_TRAIT, LastStatus, Liveness
from proto.codec import from_json
from proto.errors import Stale, Unavailable
from proto.messages import Capacity, SiteHost
from tests.unit.bridge.presence_world import HOST, Lease, World

OPERATOR = "maintenance window"
SMALLER = Capacity(320, 1_048_576, 20_000, 64, 262_144, 4_000, 10)


async def test_agents_are_those_heard_of_lately() -> None:
    world = World()
    assert world.presence.agents == frozenset()
    await world.hear()
    assert world.presence.agents == {"a"}
    await world.hear(problem="keystone is away")
    await world.wait(inventory.SILENT_AFTER)
    assert world.presence.agents == frozenset()


async def test_an_operators_cap_bounds_what_a_host_offers() -> None:
    world = World()
    world.site = msgspec.structs.replace(world.site, caps={"vcpus": 100})
    world.presence = world.owner()
    await world.online()
    assert world.provider.inventories["VCPU"]["total"] == 100
    assert world.nova.nodes[HOST]["vcpus"] == 100
    found = world.presence.capacity_of(HOST)
    assert found is not None and found.vcpus == 640


async def test_a_new_host_is_disabled_and_empty_until_its_site_reports() -> None:
    world = World()
    await world.presence.round()
    assert world.nova.calls == [
        f"create service {HOST} v74",
        f"create node {HOST} vcpus=0",
        inventory.WAITING,
        "zone paris",
    ]
    assert world.provider.inventories == {}
    assert DISABLED_TRAIT in world.provider.traits
    await world.wait(100.0)
    assert world.service["disabled_reason"] == inventory.WAITING


async def test_two_reports_make_it_take_servers() -> None:
    world = World()
    await world.presence.round()
    await world.hear()
    assert world.provider.inventories["VCPU"]["total"] == 640
    assert world.service["disabled"]
    await world.hear()
    assert not world.service["disabled"]
    assert DISABLED_TRAIT not in world.provider.traits
    assert {"COMPUTE_NODE", "OWNER_NOVA", "CUSTOM_GOLD"} <= world.provider.traits
    assert world.presence.liveness is Liveness.ONLINE


async def test_node_tells_what_a_claim_needs() -> None:
    world = World()
    with pytest.raises(Unavailable):
        world.presence.node_of(HOST)
    await world.presence.round()
    node = world.presence.node_of(HOST)
    assert (node.host, node.node, node.compute_id, node.service_id) == (HOST, HOST, 3, 7)
    assert node.provider == inventory.node_uuid(HOST)
    with pytest.raises(Stale):
        world.presence.node_of("rome-1")


async def test_a_silent_site_is_disabled_but_its_host_goes_on_beating() -> None:
    world = World()
    await world.online()
    await world.wait(30.1)
    assert world.service["disabled_reason"] == inventory.SILENT
    assert DISABLED_TRAIT in world.provider.traits
    count = world.service["report_count"]
    await world.beat()
    assert world.service["report_count"] > count


async def test_it_returns_after_two_statuses() -> None:
    world = World()
    await world.online()
    await world.wait(40)
    await world.hear()
    assert world.service["disabled_reason"] == inventory.SILENT
    await world.hear()
    assert world.service["disabled_reason"] == standing.RETURNED


async def test_a_site_whose_own_cloud_is_down_is_disabled_with_that_reason_and_keeps_its_size() -> None:
    world = World()
    await world.online()
    for _ in range(7):
        await world.hear(capacity=None, problem="keystone does not answer")
    assert world.service["disabled_reason"] == inventory.TROUBLED
    assert world.provider.inventories["VCPU"]["total"] == 640


async def test_what_an_operator_disabled_stays_disabled() -> None:
    world = World()
    await world.online()
    world.nova.disable(HOST, OPERATOR)
    await world.beat()
    await world.wait(40)
    await world.hear()
    await world.hear()
    assert world.service["disabled_reason"] == OPERATOR
    assert DISABLED_TRAIT in world.provider.traits


async def test_an_operator_who_acts_just_before_us_is_respected() -> None:
    world = World()
    await world.online()
    await world.wait(40)
    world.nova.before_get = lambda: world.nova.disable(HOST, OPERATOR)
    await world.hear()
    await world.hear()
    assert world.service["disabled_reason"] == OPERATOR


async def test_an_operator_who_enables_a_silent_site_is_told_no_again() -> None:
    world = World()
    await world.online()
    await world.wait(40)
    world.nova.enable(HOST)
    await world.presence.set_host_enabled(HOST, True)
    await world.beat()
    await world.wait(1)
    assert world.service["disabled_reason"] == inventory.SILENT


async def test_a_new_owner_leaves_an_enabled_host_alone_until_it_knows_better() -> None:
    world = World()
    await world.online()
    world.presence = world.owner()
    await world.wait(29)
    assert not world.service["disabled"]
    await world.wait(2)
    assert world.service["disabled_reason"] == inventory.SILENT


async def test_the_operators_call_moves_the_trait_at_once() -> None:
    world = World()
    await world.online()
    world.nova.disable(HOST, OPERATOR)
    assert await world.presence.set_host_enabled(HOST, False) == "disabled"
    assert DISABLED_TRAIT in world.provider.traits
    await world.hear()
    assert world.service["disabled_reason"] == OPERATOR
    world.nova.enable(HOST)
    assert await world.presence.set_host_enabled(HOST, True) == "enabled"
    assert DISABLED_TRAIT not in world.provider.traits
    with pytest.raises(Stale):
        await world.presence.set_host_enabled("rome-1", True)


async def test_a_change_is_written_at_once_and_the_same_again_after_a_minute() -> None:
    world = World()
    await world.online()
    del world.nova.calls[:]
    await world.hear()
    assert world.nova.calls == []
    await world.hear(capacity=SMALLER)
    assert world.nova.calls == ["save node vcpus=320"]
    assert world.provider.inventories["VCPU"]["total"] == 320
    assert "CUSTOM_GOLD" not in world.provider.traits
    for _ in range(12):
        await world.hear(capacity=SMALLER)
    assert world.nova.calls == ["save node vcpus=320"] * 2


async def test_a_host_waits_for_its_cell_mapping_before_it_is_enabled() -> None:
    world = World()
    world.nova.unmapped.add(HOST)
    await world.online()
    assert world.service["disabled_reason"] == inventory.UNPLACED
    world.nova.unmapped.clear()
    await world.wait(1)
    assert not world.service["disabled"]
    assert world.nova.zones == {HOST: "paris"}


async def test_a_host_for_a_zone_the_site_does_not_report_is_disabled() -> None:
    world = World(spec=SiteHost(HOST, "paris-north", "north"))
    await world.online()
    assert world.service["disabled_reason"] == inventory.NO_CAPACITY


async def test_a_backlog_holds_new_servers_back() -> None:
    world = World()
    await world.online()
    world.presence.hold("4001 RPCs wait")
    await world.wait(1)
    assert world.service["disabled_reason"] == "cascade: 4001 RPCs wait"
    world.presence.hold(None)
    await world.wait(1)
    assert not world.service["disabled"]


async def test_a_deleted_service_stops_the_host_and_is_not_made_again() -> None:
    world = World()
    await world.online()
    del world.nova.services[HOST]
    await world.beat()
    assert world.heartbeats.hosts() == frozenset()
    await world.hear()
    assert world.nova.services == {}
    with pytest.raises(Stale):
        world.presence.node_of(HOST)


async def test_a_forced_down_host_is_reported() -> None:
    world = World()
    await world.online()
    world.service["forced_down"] = True
    await world.beat()
    assert world.presence.forced_down() == {HOST: True}


async def test_nova_away_at_the_start_only_delays() -> None:
    world = World()
    world.nova.away = True
    await world.presence.round()
    world.nova.away = False
    world.placement.away = True
    await world.presence.round()
    world.placement.away = False
    await world.online()
    assert not world.service["disabled"]
    assert [call for call in world.nova.calls if call.startswith("create")] == [
        f"create service {HOST} v74",
        f"create node {HOST} vcpus=0",
    ]


async def test_the_last_status_is_kept_in_etcd_under_a_lease_that_only_statuses_prolong() -> None:
    world = World()
    await world.hear(ahead=3.0)
    await world.hear(ahead=2.0)
    value, lease = world.store.values[keys.alive("paris")]
    stored = from_json(value, LastStatus)
    assert (stored.site, stored.clock_offset, lease) == ("paris", 3.0, 1)
    assert world.store.leases == [Lease(1, refreshed=1)]
    assert world.presence.clock_offset == 3.0


async def test_etcd_away_does_not_hurt_presence() -> None:
    world = World()
    world.store.away = True
    await world.online()
    assert not world.service["disabled"]
    world.store.away = False
    await world.hear()
    assert keys.alive("paris") in world.store.values


async def test_run_ends_with_the_ownership_but_the_heart_goes_on() -> None:
    world = World()
    task = asyncio.create_task(world.presence.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.heartbeats.hosts() == {HOST}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.nova.disable(HOST, OPERATOR)
    await world.beat()
    assert world.service["report_count"] > 0
    assert world.heartbeats.hosts() == {HOST}


async def test_a_site_that_was_silent_takes_no_servers_before_its_census_is_compared() -> None:
    world = World()
    await world.online()
    await world.wait(40)
    world.presence.compared()  # by a round that ended too late: it says nothing of what comes
    await world.hear()
    await world.hear()
    assert world.service["disabled_reason"] == standing.RETURNED and world.presence.returned.is_set()
    world.presence = world.owner()  # another bridge: the reason in Nova's database tells it
    for _ in range(3):
        await world.hear()
    assert world.service["disabled_reason"] == standing.RETURNED and world.presence.returned.is_set()
    world.presence.compared()
    await world.presence.round()
    assert not world.service["disabled"] and not world.presence.returned.is_set()


async def test_a_drained_site_is_disabled_and_an_operators_own_disable_outlives_the_drain() -> None:
    world = World()
    await world.online()
    world.site = msgspec.structs.replace(world.site, draining=True, drain_reason="racks")
    world.presence = world.owner()
    await world.online()
    assert world.service["disabled_reason"] == f"{standing.DRAINED}: racks"
    world.site = msgspec.structs.replace(world.site, draining=False)
    world.presence = world.owner()
    await world.online()
    assert not world.service["disabled"]
    world.nova.disable(HOST, OPERATOR)
    world.site = msgspec.structs.replace(world.site, draining=True)
    world.presence = world.owner()
    await world.online()
    assert world.service["disabled_reason"] == OPERATOR


async def test_a_site_given_up_is_silent_to_us_whatever_it_says_and_must_come_back() -> None:
    world = World()
    await world.online()
    world.site = msgspec.structs.replace(world.site, epoch=2, given_up={HOST: 1.0})
    world.presence = world.owner()
    await world.online()
    assert world.service["disabled_reason"] == standing.GIVEN_UP
    assert world.presence.liveness is Liveness.SILENT and world.life == "given up"
    world.site = msgspec.structs.replace(world.site, given_up={})
    world.presence = world.owner()
    await world.online()
    assert world.service["disabled_reason"] == standing.RETURNED and world.life == "returned"
    world.presence.compared()
    await world.presence.round()
    assert not world.service["disabled"] and world.life == "online"


async def test_an_agent_that_does_not_know_the_sites_life_yet_is_not_heard() -> None:
    world = World()
    world.site = msgspec.structs.replace(world.site, epoch=2)
    world.presence = world.owner()
    await world.presence.round()
    for _ in range(3):
        await world.hear(epoch=1)
    assert world.presence.liveness is None
    await world.hear(epoch=2)
    await world.hear(epoch=2)
    assert world.presence.liveness is Liveness.ONLINE
    await world.hear(epoch=5)
    assert world.presence.heard_epoch == 5


async def test_a_site_whose_clock_is_off_takes_no_new_servers() -> None:
    world = World()
    await world.online()
    for _ in range(2):
        await world.hear(ahead=3600.0)
    assert world.service["disabled_reason"] == standing.CLOCK
    for _ in range(8):
        await world.hear()
    assert not world.service["disabled"]
