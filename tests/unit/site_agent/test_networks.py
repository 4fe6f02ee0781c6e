"""Security groups, ports and networks of a site: made once, equal to what is above, gone when nothing needs them."""

import asyncio
from typing import Any

import msgspec
import pytest

from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Query
from proto.specs import FixedIp, NetworkSpec, PortSpec, SecurityGroupRuleSpec, SecurityGroupSpec, SubnetSpec
from site_agent.core.answers import Answer
from site_agent.core.ports import port_body, port_changes
from site_agent.edge.cloud import Service
from site_agent.network_sync import IN_USE, NOT_HERE, network_drop, network_sync
from site_agent.resources.port import ensure_port, ensure_ports, release_ports
from site_agent.resources.security_group import drop_unused_security_groups, ensure_security_groups
from tests.unit.site_agent.world import NETWORK, OTHER, PORT, SUBNET, UUID, World, play, server_spec

SSH = SecurityGroupRuleSpec("ingress", "IPv4", "tcp", 22, 22, "0.0.0.0/0")
EGRESS = SecurityGroupRuleSpec("egress", "IPv4")


def from_group(group: str) -> SecurityGroupRuleSpec:
    """A rule that names a group above."""
    return SecurityGroupRuleSpec("ingress", "IPv4", remote_group_id=group)


WEB = SecurityGroupSpec("web", "web", "project-1", 3, [SSH, EGRESS, from_group("db")])
DB = SecurityGroupSpec("db", "default", "project-1", 1, [from_group("web"), from_group("db")])
CARD = msgspec.structs.replace(PORT, security_groups=["web"], instance=UUID)
SLAAC = SubnetSpec("sub-6", "six", "fd00::/64", 6, None, True, [], [], [], "slaac", "slaac")
ALL = frozenset({"port-security", "security-group", "allowed-address-pairs", "extra_dhcp_opt", "dns-integration"})


def groups(world: World) -> dict[str, dict[str, Any]]:
    """The site's groups by name."""
    return {group["name"]: group for group in world.cloud.neutron.things["security-groups"].values()}


def rules(world: World, name: str) -> set[tuple[Any, ...]]:
    """A group's rules, groups by name."""
    names = {group["id"]: group["name"] for group in groups(world).values()}
    return {
        (rule["direction"], rule["ethertype"], rule["protocol"], names.get(rule["remote_group_id"]))
        for rule in groups(world)[name]["security_group_rules"]
    }


WEB_RULES = {
    ("ingress", "IPv4", "tcp", None),
    ("egress", "IPv4", None, None),
    ("ingress", "IPv4", None, "cascade-default"),
}


def test_twenty_boots_make_one_of_each_and_no_rule_too_many() -> None:
    async def story(world: World) -> None:
        await asyncio.gather(*(ensure_security_groups(world.site, [WEB, DB]) for _ in range(20)))
        assert groups(world).keys() == {"web", "cascade-default"}
        assert rules(world, "web") == WEB_RULES
        assert rules(world, "cascade-default") == {
            ("ingress", "IPv4", None, "web"), ("ingress", "IPv4", None, "cascade-default"),
        }  # fmt: skip
        assert groups(world)["web"]["tags"] == ["cascade-revision:3", "cascade:web"]
        before = len(world.cloud.calls)
        await ensure_security_groups(world.site, [WEB, DB])
        assert len(world.cloud.calls) == before

    play(story)


def test_of_two_agents_the_older_groups_stay() -> None:
    async def story(world: World) -> None:
        mine, _ = world.site, world.restart()
        one, other = await asyncio.gather(
            ensure_security_groups(mine, [WEB, DB]), ensure_security_groups(world.site, [WEB, DB])
        )
        assert one == other and len(world.cloud.neutron.things["security-groups"]) == 2
        assert rules(world, "web") == WEB_RULES

    play(story)


def test_a_crash_between_a_group_and_its_rules_is_mended() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("POST network /security-group-rules")
        with pytest.raises(Unavailable):
            await ensure_security_groups(world.site, [WEB, DB])
        world.restart()
        await ensure_security_groups(world.site, [WEB, DB])
        assert rules(world, "web") == WEB_RULES

    play(story)


def test_a_boot_that_comes_late_does_not_bring_former_rules_back() -> None:
    async def story(world: World) -> None:
        newer = msgspec.structs.replace(WEB, revision=4, rules=[EGRESS])
        await ensure_security_groups(world.site, [WEB, DB])
        await ensure_security_groups(world.site, [newer, DB])
        world.restart()
        await ensure_security_groups(world.site, [WEB, DB])
        assert rules(world, "web") == {("egress", "IPv4", None, None)}

    play(story)


def test_a_rule_the_site_spells_otherwise_stays() -> None:
    async def story(world: World) -> None:
        await ensure_security_groups(world.site, [WEB, DB])
        (rule,) = [r for r in groups(world)["web"]["security_group_rules"] if r["protocol"] == "tcp"]
        rule["protocol"] = "6"
        text = f"SecurityGroupRuleExists: Security group rule already exists. Rule id is {rule['id']}."
        exists = Answer(409, {"NeutronError": {"type": "SecurityGroupRuleExists", "message": text}})
        world.cloud.trouble("POST network /security-group-rules", exists, times=2)
        reply = await network_sync(world.site, Query("paris", "network_sync", security_groups=[WEB, DB]))
        assert not reply.undone and rule in groups(world)["web"]["security_group_rules"]

    play(story)


FULL = Answer(409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for: rules", "detail": ""}})


def test_a_revoked_rule_goes_though_the_site_refuses_another() -> None:
    async def story(world: World) -> None:
        await ensure_security_groups(world.site, [WEB, DB])
        world.cloud.trouble("POST network /security-group-rules", FULL, times=99)
        office = msgspec.structs.replace(SSH, remote_ip_prefix="10.0.0.0/8")
        stricter = msgspec.structs.replace(WEB, revision=4, rules=[office, EGRESS])
        with pytest.raises(Refused, match="Quota"):
            await ensure_security_groups(world.site, [stricter, DB])
        assert rules(world, "web") == {("egress", "IPv4", None, None)}
        assert "cascade-revision:4" not in groups(world)["web"]["tags"]
        world.cloud.troubles.clear()
        await ensure_security_groups(world.site, [stricter, DB])
        assert len(groups(world)["web"]["security_group_rules"]) == 2

    play(story)


def test_rules_that_are_refused_while_others_take_the_room_are_tried_once_more() -> None:
    async def story(world: World) -> None:
        await ensure_security_groups(world.site, [WEB, DB])
        world.cloud.trouble("POST network /security-group-rules", FULL, times=2)
        office = msgspec.structs.replace(SSH, remote_ip_prefix="10.0.0.0/8")
        await ensure_security_groups(world.site, [msgspec.structs.replace(WEB, revision=4, rules=[office]), DB])
        assert [rule["remote_ip_prefix"] for rule in groups(world)["web"]["security_group_rules"]] == ["10.0.0.0/8"]

    play(story)


@pytest.mark.parametrize("named", [[], ["user"]])  # they name each other, or not
def test_a_group_in_use_all_the_same_keeps_what_its_rules_name(named: list[str]) -> None:
    async def story(world: World) -> None:
        balancer = SecurityGroupSpec("lb", "lb", "project-1", 1, [from_group(group) for group in named])
        user = SecurityGroupSpec("user", "user", "project-1", 1, [from_group("lb")])
        ids = await ensure_security_groups(world.site, [balancer, user])
        neutron, on_one = world.cloud.neutron, world.cloud.neutron._on_one

        def deleting(method: str, kind: str, rest: list[str], body: Any) -> Answer:
            if (method, kind) != ("DELETE", "security-groups"):
                return on_one(method, kind, rest, body)
            neutron.things["ports"]["p"] = {"security_groups": [ids["user"]], "project_id": neutron.project_id}
            answer = on_one(method, kind, rest, body)
            for group in neutron.things["security-groups"].values() if answer.ok else ():  # as its database does
                left = [rule for rule in group["security_group_rules"] if rule["remote_group_id"] != rest[0]]
                group["security_group_rules"] = left
            return answer

        neutron._on_one = deleting  # type: ignore[method-assign]  # a boot's port comes just before the first delete
        await drop_unused_security_groups(world.site)
        world.restart()
        await ensure_security_groups(world.site, [balancer, user])
        assert rules(world, "user") == {("ingress", "IPv4", None, "lb")}

    play(story)


def test_a_port_has_its_groups_and_they_leave_with_it() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, CARD, NETWORK, [WEB, DB])
        (port,) = world.cloud.neutron.things["ports"].values()
        assert port["security_groups"] == [groups(world)["web"]["id"]]
        assert await drop_unused_security_groups(world.site) == []
        await release_ports(world.site, UUID)
        assert not groups(world)
        await ensure_port(world.site, UUID, CARD, NETWORK, [WEB, DB])
        assert rules(world, "web") == WEB_RULES

    play(story)


def test_a_group_that_vanished_below_is_made_again() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, CARD, NETWORK, [WEB, DB])
        world.cloud.neutron.things["security-groups"].clear()
        rival = PortSpec("p9", "net-1", "fa:16:3e:00:00:09", [FixedIp("10.0.0.9", "sub-1")], security_groups=["web"])
        with pytest.raises(Unavailable):
            await ensure_port(world.site, OTHER, rival, NETWORK, [WEB, DB])
        await ensure_port(world.site, OTHER, rival, NETWORK, [WEB, DB])
        assert rules(world, "web") == WEB_RULES

    play(story)


def test_a_group_that_vanishes_before_it_has_its_rules_is_made_again() -> None:
    async def story(world: World) -> None:
        request = world.cloud.request

        async def losing(service: Service, method: str, path: str, **rest: Any) -> Answer:
            if path.startswith("/security-group-rules"):  # another server's end finds the group not used yet
                world.cloud.neutron.things["security-groups"].clear()
                return Answer(404, {"NeutronError": {"type": "SecurityGroupNotFound", "message": "gone", "detail": ""}})
            return await request(service, method, path, **rest)

        world.cloud.request = losing  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await ensure_security_groups(world.site, [WEB, DB])
        world.cloud.request = request  # type: ignore[method-assign]
        await ensure_security_groups(world.site, [WEB, DB])
        assert rules(world, "web") == WEB_RULES

    play(story)


def sync(**things: Any) -> Query:
    """A query of the bridge."""
    return Query("paris", "network_sync", **things)


def test_a_sync_makes_nothing_that_no_server_needs() -> None:
    async def story(world: World) -> None:
        query = sync(networks=[NETWORK], security_groups=[WEB, DB], ports=[CARD])
        reply = await network_sync(world.site, query)
        assert reply.undone == dict.fromkeys(("net-1", "web", "db", "port-1"), NOT_HERE)
        assert not any(world.cloud.neutron.things.values())

    play(story)


def test_a_sync_changes_what_is_there() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, CARD, NETWORK, [WEB, DB])
        subnet = msgspec.structs.replace(SUBNET, dns_nameservers=["1.1.1.1"], gateway_ip=None)
        more = msgspec.structs.replace(SLAAC, subnet_id="sub-7")
        network = msgspec.structs.replace(NETWORK, name="renamed", mtu=1300, subnets=[subnet, more])
        app = SecurityGroupSpec("app", "app", "project-1", 1, [EGRESS])
        web = msgspec.structs.replace(WEB, revision=9, rules=[SSH, from_group("app")])
        pairs = [{"ip_address": "10.0.0.200", "mac_address": PORT.mac_address}]
        card = msgspec.structs.replace(
            CARD, security_groups=["web", "app"], allowed_address_pairs=pairs, fixed_ips=[FixedIp("10.0.0.18", "sub-1")]
        )
        query = sync(networks=[network], security_groups=[web, DB, app], ports=[card])
        assert (await network_sync(world.site, query)).undone == {}
        things = world.cloud.neutron.things
        (port,), (made,) = things["ports"].values(), things["networks"].values()
        assert (made["name"], made["mtu"]) == ("renamed", 1300)
        assert {s["cidr"]: s["dns_nameservers"] for s in things["subnets"].values()} == {
            "10.0.0.0/24": ["1.1.1.1"], "fd00::/64": [],
        }  # fmt: skip
        assert port["fixed_ips"][0]["ip_address"] == "10.0.0.18" and port["allowed_address_pairs"] == pairs
        assert set(port["security_groups"]) == {groups(world)[name]["id"] for name in ("web", "app")}
        assert rules(world, "web") == {("ingress", "IPv4", "tcp", None), ("ingress", "IPv4", None, "app")}
        before = len([call for call in world.cloud.calls if not call.startswith("GET")])
        assert (await network_sync(world.site, query)).undone == {}
        assert len([call for call in world.cloud.calls if not call.startswith("GET")]) == before
        gone = msgspec.structs.replace(network, subnets=[subnet])
        await network_sync(world.site, sync(networks=[gone]))
        assert [s["cidr"] for s in things["subnets"].values()] == ["10.0.0.0/24"]

    play(story)


def test_what_no_server_needs_is_dropped_when_asked() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, CARD, NETWORK, [WEB, DB])
        assert (await network_drop(world.site, sync(networks=[NETWORK]))).undone == {"net-1": IN_USE}
        world.cloud.neutron.things["ports"].clear()
        assert (await network_drop(world.site, sync(networks=[NETWORK]))).undone == {}
        assert not world.cloud.neutron.things["networks"] and not groups(world)

    play(story)


def test_one_thing_that_fails_does_not_keep_the_others_back() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, CARD, NETWORK, [WEB, DB])
        world.cloud.trouble("PUT network /ports")
        card = msgspec.structs.replace(CARD, security_groups=["db"])
        web = msgspec.structs.replace(WEB, revision=9, rules=[EGRESS])
        reply = await network_sync(world.site, sync(networks=[NETWORK], security_groups=[web, DB], ports=[card]))
        assert reply.undone.keys() == {"port-1"}
        assert rules(world, "web") == {("egress", "IPv4", None, None)}

    play(story)


def test_a_mapped_network_is_used_and_never_touched() -> None:
    async def story(world: World) -> None:
        neutron = world.cloud.neutron
        neutron.things["networks"]["vendor"] = {"id": "vendor", "name": "provider", "project_id": "x", "tags": []}
        subnet = {"id": "vendor-4", "network_id": "vendor", "cidr": "10.0.0.0/24", "project_id": "x", "tags": []}
        neutron.things["subnets"]["vendor-4"] = subnet
        mapped = msgspec.structs.replace(NETWORK, site_network="provider")
        await ensure_port(world.site, UUID, CARD, mapped, [WEB, DB])
        (port,) = neutron.things["ports"].values()
        assert (port["network_id"], port["fixed_ips"][0]["subnet_id"]) == ("vendor", "vendor-4")
        renamed = msgspec.structs.replace(mapped, name="other")
        assert (await network_sync(world.site, sync(networks=[renamed]))).undone == {}
        assert neutron.things["networks"]["vendor"]["name"] == "provider" and len(neutron.things["subnets"]) == 1
        assert await release_ports(world.site, UUID) == []
        assert set(neutron.things["networks"]) == {"vendor"}
        for wrong in ({"site_network": "nowhere"}, {"subnets": [SLAAC]}):
            with pytest.raises(Refused, match="mapped"):
                await ensure_port(world.site, UUID, CARD, msgspec.structs.replace(mapped, **wrong), [WEB, DB])

    play(story)


def test_a_refused_port_leaves_no_network_and_no_group() -> None:
    async def story(world: World) -> None:
        world.cloud.neutron.extensions.discard("allowed-address-pairs")
        card = msgspec.structs.replace(CARD, allowed_address_pairs=[{"ip_address": "10.0.0.9"}])
        spec = server_spec(ports=[card], security_groups=[WEB, DB])
        with pytest.raises(Refused, match="allowed address pairs"):
            await ensure_ports(world.site, UUID, spec)
        assert not any(world.cloud.neutron.things[kind] for kind in ("networks", "ports", "security-groups"))

    play(story)


@pytest.mark.parametrize(
    ("lacking", "changes"),
    [
        ("security-group", {"security_groups": ["web"]}),
        ("port-security", {"port_security_enabled": False}),
        ("allowed-address-pairs", {"allowed_address_pairs": [{"ip_address": "10.0.0.9"}]}),
        ("extra_dhcp_opt", {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}]}),
    ],
)
def test_what_a_site_cannot_hold_is_refused(lacking: str, changes: dict[str, Any]) -> None:
    spec = msgspec.structs.replace(PORT, **changes)
    port_body(spec, NETWORK, {"sub-1": "s1"}, {"web": "w"}, ALL)
    with pytest.raises(Refused) as caught:
        port_body(spec, NETWORK, {"sub-1": "s1"}, {"web": "w"}, ALL - {lacking})
    assert caught.value.code is FaultCode.NETWORK and lacking in caught.value.message


def test_an_automatic_address_is_asked_for_by_its_subnet_alone() -> None:
    network = NetworkSpec("net-1", "n", "p", None, True, [SUBNET, SLAAC])
    card = msgspec.structs.replace(PORT, fixed_ips=[*PORT.fixed_ips, FixedIp("fd00::f8ff", "sub-6")])
    body = port_body(card, network, {"sub-1": "s1", "sub-6": "s6"}, {}, ALL)
    assert body["fixed_ips"] == [{"subnet_id": "s1", "ip_address": "10.0.0.17"}, {"subnet_id": "s6"}]
    found = [{"subnet_id": "s6", "ip_address": "fd00::f8ff"}, {"subnet_id": "s1", "ip_address": "10.0.0.17"}]
    rest = {"port_security_enabled": True, "allowed_address_pairs": []}
    assert port_changes(body, {"fixed_ips": found, **rest}) == {}
    assert port_changes(body, {"fixed_ips": found[1:], **rest}).keys() == {"fixed_ips"}


def test_a_port_without_security_drops_what_goes_with_it() -> None:
    open_port = msgspec.structs.replace(CARD, port_security_enabled=False, security_groups=[])
    body = port_body(open_port, NETWORK, {"sub-1": "s1"}, {}, ALL)
    assert (body["port_security_enabled"], body["security_groups"], body["allowed_address_pairs"]) == (False, [], [])
    assert "security_groups" not in port_body(PORT, NETWORK, {"sub-1": "s1"}, {}, ALL)  # an older bridge does not say


def test_a_port_gets_its_addresses_back_although_its_remembered_subnet_is_gone() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, PORT, NETWORK)
        [port] = world.cloud.neutron.things["ports"].values()
        subnets = world.cloud.neutron.things["subnets"]
        subnets.clear()  # Neutron began to delete the network
        port["fixed_ips"] = []
        with pytest.raises(Unavailable):
            await ensure_port(world.site, UUID, PORT, NETWORK)
        await ensure_port(world.site, UUID, PORT, NETWORK)
        [subnet] = subnets
        assert port["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.0.0.17"}]

    play(story)
