"""Configuration of Keystone, Placement, Glance and Neutron."""

import base64
import os

from deploy.devcloud import ports
from deploy.devcloud.cloud import CASCADING
from deploy.devcloud.config import Config, Site, credentials, database_section, defaults, token_section, write

PASTE = "glance-api-paste.ini"
KEY_REPOSITORIES = ("fernet-keys", "credential-keys")


def write_all(site: Site) -> None:
    """Writes the files of the four services, and Keystone's keys if there are none."""
    cloud, venv = site.cloud, site.venv
    write_keys(site)
    write(cloud.etc("keystone") / "keystone.conf", keystone(site))
    write(cloud.etc("placement") / "placement.conf", placement(site))
    write(cloud.etc("glance") / "glance-api.conf", glance(site))
    paste = venv / "etc" / "glance" / PASTE
    (cloud.etc("glance") / PASTE).write_text(paste.read_text())
    write(cloud.etc("neutron") / "neutron.conf", neutron(site, str(venv)))
    write(cloud.etc("neutron") / "plugins" / "ml2" / "ml2_conf.ini", ml2(site))


def write_keys(site: Site) -> None:
    """Fernet repositories: two files each with url-safe base64 of 32 random bytes."""
    for name in KEY_REPOSITORIES:
        repository = site.cloud.etc("keystone") / name
        repository.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in "01":
            file = repository / number
            if not file.exists():
                file.touch(mode=0o600)
                file.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))


def keystone(site: Site) -> Config:
    """keystone.conf; receipts need a repository too, or `keystone-manage bootstrap` dies."""
    etc = site.cloud.etc("keystone")
    tokens, secrets = (str(etc / name) for name in KEY_REPOSITORIES)
    return {
        "DEFAULT": defaults(),
        "database": database_section(site.connection("keystone")),
        "fernet_tokens": {"key_repository": tokens},
        "fernet_receipts": {"key_repository": tokens},
        "credential": {"key_repository": secrets},
        "identity": {"password_hash_rounds": "4"},
        "cache": {"enabled": "true", "backend": "dogpile.cache.pymemcache", "memcache_servers": site.memcached},
    }


def placement(site: Site) -> Config:
    """placement.conf."""
    return {
        "DEFAULT": defaults(),
        "placement_database": database_section(site.connection("placement")),
        "api": {"auth_strategy": "keystone"},
        "keystone_authtoken": token_section(site, "placement"),
        "oslo_policy": {"policy_file": "policy.yaml"},  # older releases look for policy.json
    }


def glance(site: Site) -> Config:
    """glance-api.conf with one store in the cloud's data directory, besides the two reserved ones.

    The paste file lies beside it, where older releases look for it.
    """
    data = site.cloud.data("glance")
    stores = {name: {"filesystem_store_datadir": str(data / name)} for name in ("file", "staging", "tasks")}
    for name in stores:
        (data / name).mkdir(parents=True, exist_ok=True)
    return {
        "DEFAULT": defaults(
            enabled_backends="file:file",
            worker_self_reference_url=site.cloud.url("glance"),
            bind_host=ports.LOOPBACK,
        ),
        "database": database_section(site.connection("glance")),
        "glance_store": {"default_backend": "file"},
        "file": stores["file"],
        "os_glance_staging_store": stores["staging"],
        "os_glance_tasks_store": stores["tasks"],
        "keystone_authtoken": token_section(site, "glance"),
        "paste_deploy": {"flavor": "keystone", "config_file": str(site.cloud.etc("glance") / PASTE)},
        "oslo_concurrency": {"lock_path": str(data / "locks")},
    }


def neutron(site: Site, venv: str) -> Config:
    """neutron.conf: ML2, routers and `networks=auto`; no agents, quotas off until somebody sets one."""
    unlimited = ("network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule")
    return {
        "DEFAULT": defaults(
            core_plugin="ml2",
            dns_domain="example.org.",  # with its default Neutron forgets every dns_name
            service_plugins="router,auto_allocate",
            transport_url=site.transport_url,
            auth_strategy="keystone",
            api_paste_config=f"{venv}/etc/neutron/api-paste.ini",
            state_path=str(site.cloud.data("neutron")),
            dhcp_agent_notification="false",
            notify_nova_on_port_status_changes="true",
            notify_nova_on_port_data_changes="true",
            send_events_interval="1",
            **own_port(site),
        ),
        "database": database_section(site.connection("neutron")),
        "keystone_authtoken": token_section(site, "neutron"),
        "nova": credentials(site, "nova"),
        "placement": credentials(site, "placement"),
        "quotas": {f"quota_{resource}": "-1" for resource in unlimited},
        "oslo_concurrency": {"lock_path": str(site.cloud.data("neutron") / "locks")},
    }


def own_port(site: Site) -> dict[str, str]:
    """Where neutron-server listens, in releases in which it is a program of its own; few agents ask it anything."""
    if "neutron" not in site.release.programs:
        return {}
    port = str(site.cloud.ports["neutron"])
    workers = {"api_workers": "1", "rpc_workers": "1", "rpc_state_report_workers": "0"}
    return {"bind_host": ports.LOOPBACK, "bind_port": port, **workers}


def ml2(site: Site) -> Config:
    """ml2_conf.ini; which driver binds ports is what makes the difference between the roles."""
    return {
        "ml2": {
            "type_drivers": "local,flat,vlan,vxlan",
            site.release.network_types: "vxlan",
            "mechanism_drivers": mechanism_driver(site),
            "extension_drivers": site.release.network_extensions,
        },
        "ml2_type_vxlan": {"vni_ranges": "1:100000"},
        "ml2_type_flat": {"flat_networks": "*"},
    }


def mechanism_driver(site: Site) -> str:
    """A site binds with the pretended agents of `runtime/devcloud_ml2.py`, a cascading cloud with the product's driver.

    `--no-ml2` leaves the cascading cloud with openvswitch, which binds nothing as no agent of its kind lives.
    """
    if site.cloud.options.role != CASCADING:
        return "devcloud"
    return "cascade" if site.cloud.options.ml2 else "openvswitch"
