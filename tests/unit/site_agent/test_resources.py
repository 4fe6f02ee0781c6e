"""Look, create, look: by many at once, after a crash, and where the site says no."""

import asyncio
from typing import Any

import msgspec
import pytest

from proto.errors import FaultCode, Refused, Unavailable
from proto.specs import PortSpec
from site_agent.core.answers import Answer
from site_agent.resources.flavor import ensure_flavor
from site_agent.resources.keypair import ensure_keypair
from site_agent.resources.network import ensure_network
from site_agent.resources.port import ensure_port, release_ports
from tests.fakes.cloud import FakeCloud
from tests.unit.site_agent.world import FLAVOR, KEYPAIR, NETWORK, OTHER, PORT, SUBNET, UUID, World, play

EXISTING = {"id": "vendor", "vcpus": 2, "ram": 2048, "disk": 20, "OS-FLV-EXT-DATA:ephemeral": 5, "swap": 512}


async def refusal(work: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await work
    return caught.value


def test_a_flavor_is_made_once_with_its_extra_specs() -> None:
    async def story(world: World) -> None:
        ids = await asyncio.gather(*(ensure_flavor(world.site, FLAVOR) for _ in range(5)))
        assert set(ids) == {"cascade-42-v3"}
        made = world.cloud.nova.flavors["cascade-42-v3"]
        assert made["extra_specs"] == {"hw:cpu_policy": "shared"}
        assert made["os-flavor-access:is_public"] is False
        assert world.cloud.count("POST compute /flavors/cascade-42-v3/os-extra_specs") == 1
        before = len(world.cloud.calls)
        await ensure_flavor(world.site, FLAVOR)
        assert len(world.cloud.calls) == before

    play(story)


def test_a_flavor_that_lost_its_extra_specs_to_a_crash_gets_them() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("os-extra_specs")
        with pytest.raises(Unavailable):
            await ensure_flavor(world.site, FLAVOR)
        assert await ensure_flavor(world.site, FLAVOR) == "cascade-42-v3"
        assert world.cloud.nova.flavors["cascade-42-v3"]["extra_specs"] == {"hw:cpu_policy": "shared"}

    play(story)


def test_where_flavors_may_not_be_made_one_that_equals_is_taken() -> None:
    async def story(world: World) -> None:
        error = await refusal(ensure_flavor(world.site, FLAVOR))
        assert error.code is FaultCode.FLAVOR
        world.cloud.nova.flavors["vendor"] = {**EXISTING, "extra_specs": {}}
        assert "extra spec hw:cpu_policy" in (await refusal(ensure_flavor(world.site, FLAVOR))).message
        world.cloud.nova.flavors["vendor"]["extra_specs"] = {"hw:cpu_policy": "shared"}
        assert await ensure_flavor(world.site, FLAVOR) == "vendor"

    play(story, cloud=FakeCloud(admin=False))


def test_a_keypair_is_known_by_its_key_and_not_by_its_name() -> None:
    async def story(world: World) -> None:
        world.cloud.nova.keypairs["theirs"] = {
            "name": "theirs", "type": "ssh", "fingerprint": "aa:bb", "public_key": f"{KEYPAIR.public_key}\n",
        }  # fmt: skip
        assert await ensure_keypair(world.site, KEYPAIR) == "theirs"
        other = msgspec.structs.replace(KEYPAIR, fingerprint="cc:dd", public_key="ssh-rsa cc:dd")
        made = await ensure_keypair(world.site, other)
        assert made.startswith("cascade-ccdd-")
        assert set(world.cloud.nova.keypairs) == {"theirs", made}

    play(story)


def test_two_tenants_texts_of_one_key_stay_apart() -> None:
    async def story(world: World) -> None:
        alice = msgspec.structs.replace(KEYPAIR, public_key="ssh-ed25519 AAAA alice@home aa:bb")
        bob = msgspec.structs.replace(KEYPAIR, name="same", public_key="ssh-ed25519 AAAA bob@work aa:bb")
        names = await asyncio.gather(*(ensure_keypair(world.site, spec) for spec in (alice, bob) * 3))
        assert len(set(names)) == len(world.cloud.nova.keypairs) == 2
        assert world.cloud.nova.keypairs[names[1]]["public_key"] == bob.public_key

    play(story)


def test_a_network_is_made_once_and_gives_out_only_its_share() -> None:
    async def story(world: World) -> None:
        ids = await asyncio.gather(*(ensure_network(world.site, NETWORK) for _ in range(5)))
        networks, subnets = world.cloud.neutron.things["networks"], world.cloud.neutron.things["subnets"]
        assert set(ids) == set(networks)
        [network], [subnet] = networks.values(), subnets.values()
        assert (network["tags"], network["mtu"], network["name"]) == (["cascade:net-1"], 1442, "private")
        assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.3"}]
        assert (subnet["tags"], subnet["gateway_ip"]) == (["cascade:sub-1"], "10.0.0.1")

    play(story)


def test_a_pool_follows_the_addresses_the_bridge_grants() -> None:
    async def story(world: World) -> None:
        await ensure_network(world.site, NETWORK)
        more = msgspec.structs.replace(SUBNET, site_addresses=["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        await ensure_network(world.site, msgspec.structs.replace(NETWORK, subnets=[more]))
        [subnet] = world.cloud.neutron.things["subnets"].values()
        assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.4"}]

    play(story)


def test_a_network_whose_tag_was_lost_to_a_crash_is_found_by_its_description() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("PUT network /networks")
        with pytest.raises(Unavailable):
            await ensure_network(world.site, NETWORK)
        world.restart()
        network_id = await ensure_network(world.site, NETWORK)
        assert set(world.cloud.neutron.things["networks"]) == {network_id}
        assert world.cloud.neutron.things["networks"][network_id]["tags"] == ["cascade:net-1"]

    play(story)


def test_of_two_networks_of_two_agents_the_older_stays() -> None:
    async def story(world: World) -> None:
        mine, _ = world.site, world.restart()
        ids = await asyncio.gather(ensure_network(mine, NETWORK), ensure_network(world.site, NETWORK))
        assert len(set(ids)) == 1
        assert set(world.cloud.neutron.things["networks"]) == set(ids)
        assert len(world.cloud.neutron.things["subnets"]) == 1

    play(story)


def test_a_port_is_made_with_its_mac_and_address_and_found_again() -> None:
    async def story(world: World) -> None:
        port_id = await ensure_port(world.site, UUID, PORT, NETWORK)
        assert await ensure_port(world.site, UUID, PORT, NETWORK) == port_id
        port = world.cloud.neutron.things["ports"][port_id]
        assert (port["mac_address"], port["description"]) == (PORT.mac_address, f"cascade:{UUID}")
        assert port["fixed_ips"][0]["ip_address"] == "10.0.0.17"
        error = await refusal(ensure_port(world.site, OTHER, PORT, NETWORK))
        assert error.code is FaultCode.NETWORK
        await release_ports(world.site, OTHER)
        assert set(world.cloud.neutron.things["ports"]) == {port_id}
        await release_ports(world.site, UUID)
        assert world.cloud.neutron.things["ports"] == {}

    play(story)


def test_a_port_that_lost_its_addresses_to_a_delete_of_its_network_gets_them_again() -> None:
    async def story(world: World) -> None:
        port_id = await ensure_port(world.site, UUID, PORT, NETWORK)
        port = world.cloud.neutron.things["ports"][port_id]
        addresses, port["fixed_ips"] = port["fixed_ips"], []
        assert await ensure_port(world.site, UUID, PORT, NETWORK) == port_id
        assert world.cloud.neutron.things["ports"][port_id]["fixed_ips"] == addresses

    play(story)


def test_an_address_of_somebody_else_is_a_refusal() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, PORT, NETWORK)
        rival = PortSpec("port-9", "net-1", "fa:16:3e:00:00:99", PORT.fixed_ips)
        error = await refusal(ensure_port(world.site, OTHER, rival, NETWORK))
        assert "already allocated" in error.message

    play(story)


def test_a_network_that_was_removed_below_is_made_again() -> None:
    async def story(world: World) -> None:
        await ensure_port(world.site, UUID, PORT, NETWORK)
        for things in world.cloud.neutron.things.values():
            things.clear()
        with pytest.raises(Unavailable):
            await ensure_port(world.site, UUID, PORT, NETWORK)
        assert await ensure_port(world.site, UUID, PORT, NETWORK)

    play(story)


def test_quota_is_told_as_such() -> None:
    async def story(world: World) -> None:
        over = Answer(409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['port']"}})
        world.cloud.trouble("POST network /ports", over)
        assert (await refusal(ensure_port(world.site, UUID, PORT, NETWORK))).code is FaultCode.QUOTA

    play(story)
