"""Nova's and Neutron's words into the contract's, and back into network info."""

import json
from typing import Any

import pytest

from bridge.core import translate, translate_network
from proto.specs import FixedIp, FlavorSpec, KeypairSpec, ServerGroupSpec
from tests.fakes.messages import FLAVOR, IMAGE, NETWORK, SEALED

SUBNET: dict[str, Any] = {
    "id": "sub-1",
    "name": "private",
    "cidr": "10.0.0.0/24",
    "ip_version": 4,
    "gateway_ip": "10.0.0.1",
    "enable_dhcp": True,
    "dns_nameservers": ["9.9.9.9"],
    "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.254"}],
}
SUBNET_6: dict[str, Any] = {
    "id": "sub-6",
    "cidr": "fd00::/64",
    "ip_version": 6,
    "gateway_ip": None,
    "enable_dhcp": False,
}
NET: dict[str, Any] = {"id": "net-1", "name": "private", "project_id": "project-1", "mtu": 1442}
PORT: dict[str, Any] = {
    "id": "0123456789abcdef",
    "network_id": "net-1",
    "mac_address": "fa:16:3e:00:00:01",
    "fixed_ips": [{"ip_address": "10.0.0.17", "subnet_id": "sub-1"}, {"ip_address": "fd00::17", "subnet_id": "sub-6"}],
    "binding:vif_type": "ovs",
    "binding:vif_details": {"port_filter": True},
    "binding:profile": {translate.CREATED_MARK: True},
    "status": "ACTIVE",
}
INSTANCE: dict[str, Any] = {"uuid": "u-1", "project_id": "project-1", "display_name": "web-1"}


def test_a_flavor() -> None:
    nova = {
        "flavorid": 42,
        "name": "m1.small",
        "vcpus": 2,
        "memory_mb": 2048,
        "root_gb": 20,
        "ephemeral_gb": 5,
        "swap": 512,
        "extra_specs": {"hw:cpu_policy": "shared"},
    }
    assert translate.flavor_spec(nova, 3) == FLAVOR


def test_a_flavor_without_the_optional_parts() -> None:
    nova = {"flavorid": "1", "name": "t", "vcpus": 1, "memory_mb": 64, "root_gb": 0, "swap": None, "extra_specs": None}
    assert translate.flavor_spec(nova, 1) == FlavorSpec("1", "t", 1, 1, 64, 0, 0, 0, {})


def test_an_image_keeps_its_properties_and_nothing_of_glances_own() -> None:
    glance = {
        "id": "img-1",
        "name": "cirros",
        "size": 16_338_944,
        "os_hash_algo": "sha512",
        "os_hash_value": "ab" * 64,
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": 1,
        "min_ram": 64,
        "hw_disk_bus": "virtio",
        "owner": "x",
        "checksum": "x",
        "visibility": "public",
        "created_at": "x",
        "tags": ["a"],
        "os_hidden": False,
        "locations": [],
    }
    assert translate.image_spec(glance) == IMAGE


def test_a_nameless_image_is_called_by_its_id() -> None:
    glance = {"id": "img-1", "name": None, "disk_format": "raw", "container_format": "bare"}
    assert translate.image_spec(glance).name == "img-1"


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({}, None),
        ({"key_name": None, "keypairs": []}, None),
        ({"key_name": "mine", "keypairs": None}, None),
        (
            {"key_name": "mine", "keypairs": [
                {"name": "other", "public_key": "o", "fingerprint": "o", "type": "ssh"},
                {"name": "mine", "public_key": "k", "fingerprint": "f", "type": None},
            ]},
            KeypairSpec("mine", "k", "f", "ssh"),
        ),
    ],
)  # fmt: skip
def test_a_keypair(instance: dict[str, Any], expected: KeypairSpec | None) -> None:
    assert translate.keypair_spec(instance) == expected


def test_a_network_carries_the_addresses_kept_for_the_site_by_subnet() -> None:
    reserved = [
        {"fixed_ips": [{"ip_address": "10.0.0.3", "subnet_id": "sub-1"}]},
        {
            "fixed_ips": [
                {"ip_address": "10.0.0.2", "subnet_id": "sub-1"},
                {"ip_address": "fd00::2", "subnet_id": "sub-6"},
            ]
        },
    ]
    spec = translate_network.network_spec(NET, [SUBNET, SUBNET_6], reserved)
    assert [subnet.site_addresses for subnet in spec.subnets] == [["10.0.0.2", "10.0.0.3"], ["fd00::2"]]
    assert (spec.project_id, spec.mtu, spec.port_security_enabled) == ("project-1", 1442, True)
    assert spec.subnets[1].gateway_ip is None
    assert spec.subnets[0].host_routes == SUBNET["host_routes"]


def test_an_older_neutron_names_the_project_tenant() -> None:
    network = {"id": "n", "tenant_id": "p", "port_security_enabled": False}
    spec = translate_network.network_spec(network, [], [])
    assert (spec.project_id, spec.mtu, spec.port_security_enabled, spec.subnets) == ("p", None, False, [])


def test_a_port() -> None:
    spec = translate_network.port_spec(PORT, "front")
    assert spec.fixed_ips == [FixedIp("10.0.0.17", "sub-1"), FixedIp("fd00::17", "sub-6")]
    assert (spec.port_id, spec.network_id, spec.mac_address, spec.tag) == (
        PORT["id"],
        "net-1",
        PORT["mac_address"],
        "front",
    )


def server(instance: dict[str, Any], request_spec: dict[str, Any] | None = None) -> Any:
    return translate.server_spec(instance, request_spec or {}, FLAVOR, IMAGE, [NETWORK], [], "north", SEALED, [], [])


def test_a_server() -> None:
    instance = {**INSTANCE, "display_description": "d", "user_id": "user-1", "metadata": {"role": "web"}}
    spec = server(instance, {"scheduler_hints": {"different_cell": ["x"]}})
    assert (spec.name, spec.description, spec.project_id, spec.user_id) == ("web-1", "d", "project-1", "user-1")
    assert (spec.metadata, spec.scheduler_hints) == ({"role": "web"}, {"different_cell": ["x"]})
    assert (spec.flavor, spec.image, spec.networks, spec.secrets) == (FLAVOR, IMAGE, [NETWORK], SEALED)
    assert spec.availability_zone == "north"


@pytest.mark.parametrize(("automatic", "shown"), [(True, "AUTO"), (False, "MANUAL"), (None, None)])
def test_the_hostname_and_the_disk_config(automatic: bool | None, shown: str | None) -> None:
    spec = server({**INSTANCE, "hostname": "web-1", "auto_disk_config": automatic})
    assert (spec.hostname, spec.disk_config) == ("web-1", shown)


def test_a_server_group_goes_with_its_rules() -> None:
    group = {"uuid": "g", "name": "web", "policy": "anti-affinity", "_rules": {"max_server_per_host": "2"}}
    spec = server(INSTANCE, {"instance_group": {**group, "members": ["u-1"], "hosts": None}})
    assert spec.group == ServerGroupSpec("g", "anti-affinity", {"max_server_per_host": "2"})
    assert server(INSTANCE, {"instance_group": None}).group is None
    assert server(INSTANCE, {"instance_group": {**group, "policy": None}}).group is None


def test_a_nameless_server_is_called_by_its_uuid() -> None:
    assert server({**INSTANCE, "display_name": None, "metadata": None}).name == "u-1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, False), ("", False), ("True", True), (True, True), ("1", True), (False, False), ("no", False)],
)
def test_a_config_drive_is_asked_for_in_many_ways(value: object, expected: bool) -> None:
    assert server({**INSTANCE, "config_drive": value}).config_drive is expected


def test_network_info_shows_each_address_under_its_subnet() -> None:
    vif = translate.vif(PORT, NET, [SUBNET, SUBNET_6])
    subnets = vif["network"]["subnets"]
    assert [[ip["address"] for ip in subnet["ips"]] for subnet in subnets] == [["10.0.0.17"], ["fd00::17"]]
    assert subnets[0]["gateway"] == {"address": "10.0.0.1", "type": "gateway", "version": 4, "meta": {}}
    assert subnets[1]["gateway"] == {"address": None, "type": "gateway", "version": None, "meta": {}}
    assert subnets[0]["dns"][0]["address"] == "9.9.9.9"
    assert subnets[0]["routes"][0]["gateway"]["address"] == "10.0.0.254"
    assert (vif["devname"], vif["active"], vif["preserve_on_delete"]) == ("tap0123456789a", True, False)


def test_two_addresses_of_one_subnet_are_one_subnet_with_two_addresses() -> None:
    fixed = [{"ip_address": f"10.0.0.{last}", "subnet_id": "sub-1"} for last in (17, 18)]
    subnets = translate.vif({**PORT, "fixed_ips": fixed}, NET, [SUBNET])["network"]["subnets"]
    assert [[ip["address"] for ip in subnet["ips"]] for subnet in subnets] == [["10.0.0.17", "10.0.0.18"]]


def test_an_address_of_a_subnet_nobody_knows_is_left_out() -> None:
    assert translate.vif(PORT, NET, [SUBNET_6])["network"]["subnets"][0]["cidr"] == "fd00::/64"


def test_a_tenants_own_port_outlives_its_instance() -> None:
    assert not translate.made_by_bridge({"binding:profile": {}})
    assert not translate.made_by_bridge({"binding:profile": None})
    assert translate.vif({**PORT, "binding:profile": None}, NET, [])["preserve_on_delete"] is True


def test_network_info_is_read_back_from_text_or_list() -> None:
    vifs = [translate.vif(PORT, NET, [SUBNET])]
    for cached in (json.dumps(vifs), vifs):
        assert translate.network_info({"info_cache": {"network_info": cached}}) == vifs
    for instance in (
        {},
        {"info_cache": None},
        {"info_cache": {"network_info": None}},
        {"info_cache": {"network_info": "[]"}},
    ):
        assert translate.network_info(instance) == []
