"""What a site is told of networks, groups and ports when; the addresses kept for it; what the operator is shown."""

import asyncio
from typing import Any

import msgspec
import pytest

from bridge.addresses import RESERVED_ADDRESSES, Addresses
from bridge.core.network_sync import Things, batches, due
from bridge.core.translate_network import elsewhere, group_spec, port_spec, unspeakable, unspeakable_port
from bridge.networks import NOT_YET, PAUSE, RESYNC, Networks
from bridge.operator.network_view import uses
from proto import codec
from proto.errors import Unavailable
from proto.messages import Query, Reply
from tests.fakes import clock
from tests.fakes.messages import NETWORK, PORT, UUID
from tests.fakes.neutron import GROUP, SUBNET, FakeNeutron
from tests.fakes.neutron import NETWORK as NET

BOUND = {"device_id": UUID, "device_owner": "compute:az", "binding:host_id": "paris"}


class Site:
    """What paris is told; ``undone`` is what it answers."""

    def __init__(self) -> None:
        neutron: Any = FakeNeutron()
        self.neutron = neutron
        self.undone: dict[str, str] = {}
        self.silent = False
        self.told: list[Query] = []
        road: Any = self
        self.addresses = Addresses("paris", ["paris"], self.neutron)
        self.networks = Networks("paris", ["paris"], {}, True, self.neutron, self.addresses, road)

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        if self.silent:
            raise Unavailable("nobody answers")
        self.told.append(codec.decode(data, Query))
        return codec.encode(Reply(undone=self.undone))

    def names(self) -> list[set[str]]:
        """The ids of each message, and forget them."""
        told, self.told = self.told, []
        return [
            {n.network_id for n in q.networks} | {g.group_id for g in q.security_groups} | {p.port_id for p in q.ports}
            for q in told
        ]


def play(story: Any) -> None:
    """Run a story on virtual time."""

    async def main() -> None:
        site = Site()
        port = site.neutron.add(**BOUND)
        running = asyncio.create_task(site.networks.run())
        await story(site, port)
        running.cancel()

    clock.run(clock.Clock(), main)


def change_group(site: Site, **fields: Any) -> None:
    """Change the group above."""
    site.neutron.groups = {"group-1": {**GROUP, **fields}}


def test_everything_is_told_at_the_take_over_and_then_only_what_changed() -> None:
    async def story(site: Site, port: dict[str, Any]) -> None:
        await asyncio.sleep(1)
        assert site.names() == [{"net-1", "group-1", port["id"]}]
        await asyncio.sleep(60)
        assert site.names() == []
        change_group(site, revision_number=2, security_group_rules=[])
        await asyncio.sleep(PAUSE + 0.1)
        assert site.names() == [{"group-1"}]
        await asyncio.sleep(RESYNC)
        assert site.names() == [{"net-1", "group-1", port["id"]}]

    play(story)


def test_what_a_boot_told_is_not_told_again() -> None:
    async def story(site: Site, port: dict[str, Any]) -> None:
        await asyncio.sleep(1)
        site.names()
        other = site.neutron.add(**{**BOUND, "device_id": "other"})
        site.networks.booted("other", [other])
        await asyncio.sleep(10)
        assert site.names() == []
        changed = {**other, "security_groups": []}
        site.networks.changed("other", [changed])
        await asyncio.sleep(PAUSE + 0.1)
        assert site.names() == [{"net-1", other["id"]}]
        site.networks.changed("other", [])
        change_group(site, revision_number=2, name="renamed")
        await asyncio.sleep(PAUSE + 0.1)
        assert site.names() == [{"group-1"}]

    play(story)


def test_a_silent_site_and_what_it_has_not_yet_are_told_again() -> None:
    async def story(site: Site, port: dict[str, Any]) -> None:
        site.silent = True
        await asyncio.sleep(20)
        site.silent, site.undone = False, {port["id"]: "the site does not have it"}
        await asyncio.sleep(PAUSE + 0.1)
        assert site.names() == [{"net-1", "group-1", port["id"]}]
        site.undone = {}
        await asyncio.sleep(PAUSE * 2)
        assert site.names() == []
        await asyncio.sleep(NOT_YET)
        assert site.names() == [{"net-1", "group-1", port["id"]}]
        await asyncio.sleep(30)
        assert site.names() == []

    play(story)


def test_neutron_away_stops_nothing() -> None:
    async def story(site: Site, port: dict[str, Any]) -> None:
        site.neutron.away = True
        await asyncio.sleep(20)
        site.neutron.away = False
        await asyncio.sleep(PAUSE + 0.1)
        assert site.names() == [{"net-1", "group-1", port["id"]}]

    play(story)


def test_addresses_are_kept_once_and_given_back_with_the_last_port() -> None:
    async def story(site: Site, port: dict[str, Any]) -> None:
        first, second = await asyncio.gather(*(site.addresses.reserved(NET, [SUBNET]) for _ in range(2)))
        assert first == second and len(first) == RESERVED_ADDRESSES
        await site.addresses.unreserve("net-1", leaving="somebody")
        assert len(site.neutron.made) == 1 + RESERVED_ADDRESSES
        await site.addresses.unreserve("net-1", leaving=UUID)
        assert set(site.neutron.made) == {port["id"]}
        assert len(await site.addresses.kept(NET, [SUBNET])) == RESERVED_ADDRESSES  # a port is there
        await site.addresses.unreserve("net-1", leaving=UUID)
        site.neutron.made.clear()
        assert await site.addresses.kept(NET, [SUBNET]) == [] and not site.neutron.made

    play(story)


def test_what_a_delete_cut_short_left_behind_is_collected() -> None:
    async def story(site: Site, port: dict[str, Any]) -> None:
        await site.addresses.reserved(NET, [SUBNET])
        del site.neutron.made[port["id"]]
        site.networks.changed(UUID, [])
        await asyncio.sleep(RESYNC - PAUSE)
        assert not site.told  # it may be for a boot that has no port yet
        await asyncio.sleep(3 * PAUSE)
        assert [query.verb for query in site.told if query.networks][-1] == "network_drop"
        assert not site.neutron.made

    play(story)


def test_automatic_subnets_need_no_address_kept() -> None:
    async def story(site: Site, port: dict[str, Any]) -> None:
        for mode in ("slaac", "dhcpv6-stateless"):
            subnet = {**SUBNET, "ip_version": 6, "ipv6_address_mode": mode}
            assert await site.addresses.reserved(NET, [subnet]) == []

    play(story)


def wanted(ports: int) -> Things:
    """Ports in one network and group."""
    group = group_spec(GROUP)
    cards = [msgspec.structs.replace(PORT, port_id=f"p{n}", security_groups=["group-1"]) for n in range(ports)]
    return Things({"net-1": NETWORK}, {"group-1": group}, {card.port_id: card for card in cards})


def test_changed_things_come_before_those_told_again() -> None:
    things = wanted(2)
    told = dict(things.every())
    assert due(things, {}, (), ()) == ["net-1", "group-1", "p0", "p1"]
    assert due(things, told, (), ()) == []
    told["p1"] = PORT
    assert due(things, told, {"net-1", "p1"}, ()) == ["p1", "net-1"]
    assert due(things, told, {"net-1", "p1"}, {"p1"}) == ["net-1"]


def test_every_message_is_small_and_complete() -> None:
    things = wanted(120)
    made = batches(list(things.every()), things)
    assert [len(batch.due) for batch in made] == [50, 50, 22]
    assert all({"net-1"} == batch.things.networks.keys() for batch in made)
    assert all({"group-1"} == batch.things.groups.keys() for batch in made)
    small = batches(list(things.ports), things, largest=things.size() // 3)
    assert len(small) > 3 and [name for batch in small for name in batch.due] == list(things.ports)


def test_a_groups_message_has_all_groups_that_its_rules_reach() -> None:
    rule = {"direction": "ingress", "ethertype": "IPv4"}
    chain = {
        name: group_spec({**GROUP, "id": name, "security_group_rules": [{**rule, "remote_group_id": following}]})
        for name, following in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "gone"))
    }
    things = Things(groups=chain)
    assert [set(batch.things.groups) for batch in batches(["a", "d"], things, most=1)] == [{"a", "b", "c"}, {"d"}]


def test_a_port_in_the_contracts_words() -> None:
    pairs = [{"ip_address": "10.0.0.9", "mac_address": "m"}]
    port = {
        "id": "p", "network_id": "n", "mac_address": "m", "fixed_ips": [], "security_groups": ["b", "a"],
        "allowed_address_pairs": pairs, "port_security_enabled": False, "dns_name": "web", "device_id": UUID,
        "binding:vnic_type": "direct", "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}],
    }  # fmt: skip
    spec = port_spec(port, "front")
    assert (spec.security_groups, spec.allowed_address_pairs, spec.port_security_enabled) == (["a", "b"], pairs, False)
    assert (spec.dns_name, spec.vnic_type, spec.instance) == ("web", "direct", UUID)
    assert spec.extra_dhcp_opts == [{"opt_name": "mtu", "opt_value": "1400"}]


def test_a_rule_with_an_address_group_is_refused_and_never_opens_a_group() -> None:
    rule = {"direction": "ingress", "ethertype": "IPv4", "remote_address_group_id": "x"}
    group = {**GROUP, "security_group_rules": [*GROUP["security_group_rules"], rule]}
    assert "address group" in unspeakable(group) and not unspeakable(GROUP)
    assert group_spec(group).rules == group_spec(GROUP).rules


@pytest.mark.parametrize("field", ["trunk_details", "qos_policy_id", "qos_network_policy_id", "device_profile"])
def test_a_port_that_would_lose_something_is_refused(field: str) -> None:
    assert "does not reach a site" in unspeakable_port({"id": "p", field: "x"})
    assert not unspeakable_port({"id": "p", field: None})


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({"device_owner": "compute:az", "binding:host_id": "paris.two"}, None),
        ({"device_owner": "compute:az", "binding:host_id": "oslo"}, "oslo"),
        ({"device_owner": "compute:az", "binding:host_id": ""}, None),
        ({"device_owner": "network:dhcp", "device_id": "cascade-oslo"}, "oslo"),
        ({"device_owner": "network:dhcp", "device_id": "cascade-paris"}, None),
        ({"device_owner": "network:dhcp", "device_id": "dhcp-agent"}, None),
        ({"device_owner": "network:router_interface", "binding:host_id": "gateway"}, None),
    ],
)
def test_where_else_a_network_is(port: dict[str, Any], expected: str | None) -> None:
    assert elsewhere([port], "paris", ["paris", "paris.two"]) == expected


def test_each_copy_of_a_network_is_a_segment() -> None:
    ports = [
        {"network_id": "n1", "device_owner": "compute:az", "binding:host_id": "paris"},
        {"network_id": "n1", "device_owner": "compute:az", "binding:host_id": "oslo"},
        {"network_id": "n1", "device_owner": "network:dhcp", "device_id": "cascade-oslo"},
        {"network_id": "n2", "device_owner": "compute:az", "binding:host_id": "paris"},
        {"network_id": "n3", "device_owner": "compute:az", "binding:host_id": "somewhere"},
    ]
    found = uses(ports, {"paris": "paris", "oslo": "oslo"}, {"paris": {"n2": "ext"}, "oslo": {"n2": "ext2"}})
    assert {name: (use["sites"], use["ports"], use["segments"]) for name, use in found.items()} == {
        "n1": (["oslo", "paris"], 2, 2),
        "n2": (["oslo", "paris"], 1, 1),
    }
    assert found["n2"]["mapped"] == {"oslo": "ext2", "paris": "ext"}
