"""What the configuration files say."""

import configparser

import pytest

from deploy.devcloud import config, config_apis, config_cinder, config_nova, identity, services
from deploy.devcloud.cloud import CASCADING, Options, create
from deploy.devcloud.config import Site


def test_render_is_what_oslo_config_reads() -> None:
    text = config.render({"DEFAULT": {"a": "1"}, "x": {"b": "two words"}})
    assert text == "[DEFAULT]\na = 1\n\n[x]\nb = two words\n"
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser["x"]["b"] == "two words"


def test_a_compute_has_no_database_and_a_state_path_of_its_own(paris: Site) -> None:
    first, second = (config_nova.compute(paris, host) for host in paris.cloud.hosts)
    assert not {"database", "api_database"} & set(first)
    assert first["DEFAULT"]["state_path"] != second["DEFAULT"]["state_path"]
    assert first["DEFAULT"]["host"] == "paris-compute1"
    assert first["devcloud"]["vcpus"] == "16"


def test_new_hosts_are_mapped_within_seconds(top: Site) -> None:
    written = config_nova.controller(top)
    assert written["scheduler"]["discover_hosts_in_cells_interval"] == "2"
    assert written["DEFAULT"]["periodic_fuzzy_delay"] == "0"


def test_a_cascading_cloud_has_no_compute(top: Site) -> None:
    assert top.cloud.hosts == ()
    assert services.third(top) == []


@pytest.mark.parametrize(
    ("options", "driver"),
    [
        (Options(), "devcloud"),
        (Options(role=CASCADING), "cascade"),
        (Options(role=CASCADING, ml2=False), "openvswitch"),
    ],
)
def test_which_driver_binds_ports(paris: Site, options: Options, driver: str) -> None:
    site = Site(create("other", options, paris.layout, ()), paris.infra, paris.layout)
    assert config_apis.ml2(site)["ml2"]["mechanism_drivers"] == driver


def test_two_clouds_share_nothing(paris: Site, top: Site) -> None:
    assert paris.memcached != top.memcached
    assert paris.transport_url.endswith("/paris") and top.transport_url.endswith("/top")
    assert "paris_nova" in paris.connection("nova") and "top_nova" in top.connection("nova")
    assert not set(paris.cloud.secrets.values()) & set(top.cloud.secrets.values())


def test_written_files_are_for_their_owner_only(paris: Site) -> None:
    config_apis.write_keys(paris)
    config_cinder.write_all(paris)
    config.write(paris.cloud.etc("nova") / "nova.conf", config_nova.controller(paris))
    files = [file for file in paris.cloud.etc("").rglob("*") if file.is_file()]
    assert files
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_an_older_release_has_an_environment_of_its_own_and_servers_that_open_their_port(zurich: Site) -> None:
    by_name = {service.name: service for service in services.everything(zurich)}
    assert all(
        "venv-openstack-zed" in service.command[0] for service in by_name.values() if service.name != "memcached"
    )
    assert by_name["keystone"].command[0].endswith("/uwsgi") and by_name["nova-api"].command[0].endswith("-os-compute")
    port = str(zurich.cloud.ports["neutron"])
    assert config_apis.neutron(zurich, str(zurich.venv))["DEFAULT"]["bind_port"] == port
    assert config_nova.controller(zurich)["DEFAULT"]["osapi_compute_listen_port"] == str(zurich.cloud.ports["nova-api"])
    assert config_apis.ml2(zurich)["ml2"]["tenant_network_types"] == "vxlan"


def test_the_current_release_is_told_nothing_of_ports(paris: Site) -> None:
    assert "bind_port" not in config_apis.neutron(paris, str(paris.venv))["DEFAULT"]
    assert config_apis.ml2(paris)["ml2"]["project_network_types"] == "vxlan"


def test_an_agent_without_admin_rights_is_a_plain_member(paris: Site, zurich: Site) -> None:
    assert identity.agent(paris.cloud).roles == ("admin", "member")
    assert identity.agent(zurich.cloud).roles == ("member",)
