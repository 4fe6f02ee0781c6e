"""What changes above reaches a site through bridge and agent, also when either was away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.clock import Clock, run
from tests.fakes.neutron import GROUP
from tests.scenario.steps import do
from tests.scenario.world import World

WAY = 0.05  # s
SOON = 5.0  # s


def play(story: Callable[[World], Awaitable[None]]) -> None:
    """Run a story on a site with one server."""
    clock = Clock()

    async def main() -> None:
        world = World(clock, lambda: asyncio.sleep(WAY))
        await do(world, "sites paris")
        await do(world, "build i1 on paris")
        await asyncio.sleep(20)
        await story(world)
        await world.end()

    run(clock, main)


def add_rule(world: World, port: int, revision: int) -> None:
    """A tenant adds a rule above."""
    group = world.above.neutron.groups["group-1"]
    rule = {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": port}
    rules = [*group["security_group_rules"], {**rule, "port_range_max": port}]
    changed = {**group, "security_group_rules": rules, "revision_number": revision}
    world.above.neutron.groups = {"group-1": changed}


def open_ports(world: World) -> set[int]:
    """The TCP ports that the site's group lets in."""
    (group,) = groups(world)
    return {rule["port_range_min"] for rule in group["security_group_rules"] if rule["protocol"] == "tcp"}


def groups(world: World) -> list[dict[str, Any]]:
    """The site's security groups."""
    return list(world.sites["paris"].cloud.neutron.things["security-groups"].values())


def test_a_rule_added_above_is_in_the_site_soon() -> None:
    async def story(world: World) -> None:
        (group,) = groups(world)
        assert len(group["security_group_rules"]) == len(GROUP["security_group_rules"])
        add_rule(world, 22, 2)
        await asyncio.sleep(SOON)
        assert open_ports(world) == {22}

    play(story)


def test_what_changed_while_the_agent_was_away_is_told_when_it_is_back() -> None:
    async def story(world: World) -> None:
        await do(world, "cut agent paris")
        add_rule(world, 22, 2)
        await asyncio.sleep(30)
        assert open_ports(world) == set()
        await do(world, "mend agent paris")
        await asyncio.sleep(90)  # what was asked before runs into its time-out first
        assert open_ports(world) == {22}

    play(story)


def test_another_bridge_tells_what_changed_before_it_took_over() -> None:
    async def story(world: World) -> None:
        await do(world, "kill bridge")
        add_rule(world, 22, 2)
        await asyncio.sleep(5)
        await do(world, "start bridge")
        await asyncio.sleep(30)
        assert open_ports(world) == {22}

    play(story)


def test_a_rule_that_somebody_adds_in_the_site_is_taken_back() -> None:
    async def story(world: World) -> None:
        (group,) = groups(world)
        rule = {"id": "r", "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "remote_group_id": None}
        group["security_group_rules"] = [*group["security_group_rules"], {**rule, "port_range_min": 1}]
        await asyncio.sleep(320)
        assert open_ports(world) == set()

    play(story)


def test_the_group_leaves_with_the_last_server() -> None:
    async def story(world: World) -> None:
        await do(world, "delete i1")
        await asyncio.sleep(20)
        assert not groups(world)
        assert not world.above.neutron.made

    play(story)


def addresses(ports: dict[str, Any]) -> list[set[str]]:
    """The addresses of each card of i1."""
    ours = [port for port in ports.values() if port.get("device_id") and "cascade-paris" not in port["device_id"]]
    return [{fixed["ip_address"] for fixed in port["fixed_ips"]} for port in ours]


def test_an_address_that_a_card_gets_or_loses_above_is_in_the_site_soon() -> None:
    async def story(world: World) -> None:
        above, site = world.above.neutron.made, world.sites["paris"].cloud.neutron.things["ports"]
        for order, number in (("add_address i1", 2), ("remove_address i1", 1)):
            await do(world, order)
            await asyncio.sleep(SOON)
            ((card,), (below,)) = addresses(above), addresses(site)
            shown = world.above.conductor.instances[world.uuid("i1")]["info_cache"]["network_info"]
            assert card == below and len(card) == number
            assert all(address in shown for address in card)

    play(story)
