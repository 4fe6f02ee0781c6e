"""Configuration of Nova: one file for API, conductor and scheduler, one directory for every compute."""

from deploy.devcloud import ports
from deploy.devcloud.cloud import CASCADING, REGION, Cloud
from deploy.devcloud.config import Config, Site, credentials, database_section, defaults, token_section, write

LOG_LEVELS = (
    "amqp=WARN", "sqlalchemy=WARN", "urllib3.connectionpool=WARN", "keystonemiddleware=WARN", "stevedore=WARN",
    "taskflow=WARN", "neutronclient=ERROR", "nova.service=DEBUG",
)  # fmt: skip
"""nova.service says only at DEBUG when a service's RPC queues are there (`services.READY_LINES`)."""
FILTERS = (
    "ComputeFilter", "ComputeCapabilitiesFilter", "ImagePropertiesFilter", "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter", "SameHostFilter", "DifferentHostFilter",
)  # fmt: skip
"""Nova's defaults and the two that honour the hints same_host and different_host, as most clouds have them."""
AGGREGATE_FILTERS = ("AggregateInstanceExtraSpecsFilter", "AggregateMultiTenancyIsolation")
"""What lets an operator give sites to flavors or tenants."""
COMPUTE_DRIVER = "devcloud_fake.DevcloudDriver"
"""Module and class below nova.virt, whose path `runtime/launch.py` extends with `runtime/nova_virt`."""


def write_all(site: Site) -> None:
    """Writes nova.conf of the controller and of every compute, and the api-paste.ini that nova-api looks for beside."""
    etc = site.cloud.etc("nova")
    write(etc / "nova.conf", controller(site))
    write(etc / "nova-scheduler.conf", scheduler(site))
    paste = site.venv / "etc" / "nova" / "api-paste.ini"
    (etc / "api-paste.ini").write_text(paste.read_text())
    for host in site.cloud.hosts:
        site.cloud.data(host).mkdir(parents=True, exist_ok=True)
        write(site.cloud.etc(host) / "nova.conf", compute(site, host))


def controller(site: Site) -> Config:
    """nova.conf of nova-api, nova-conductor and nova-scheduler.

    New compute hosts are mapped to the cell within 2 s; without periodic_fuzzy_delay = 0 the first look comes up to
    60 s late.
    """
    config = common(site, str(site.cloud.data("nova")))
    config["DEFAULT"].update(periodic_fuzzy_delay="0", compute_link_prefix=site.cloud.url("nova-api"), **own_port(site))
    config.update(
        {
            "api_database": database_section(site.connection("nova_api")),
            "database": database_section(site.connection("nova")),
            "api": {"auth_strategy": "keystone"},
            "keystone_authtoken": token_section(site, "nova"),
            "wsgi": {"api_paste_config": str(site.cloud.etc("nova") / "api-paste.ini")},
            "conductor": {"workers": "1"},
            "scheduler": {"workers": "1", "discover_hosts_in_cells_interval": "2", "max_attempts": "3"},
            "filter_scheduler": {"enabled_filters": ",".join(FILTERS)},
            "quota": {"instances": "-1", "cores": "-1", "ram": "-1", "key_pairs": "-1", "server_groups": "-1"},
        }
    )
    return config


def scheduler(site: Site) -> Config:
    """nova-scheduler.conf, which only nova-scheduler reads after nova.conf.

    In a cascading cloud a host is a whole site: anti-affinity is kept within it, so it must not need another host.
    nova-conductor refuses groups whose filter is not in its own configuration.
    """
    if site.cloud.options.role != CASCADING:
        return {}
    kept = [name for name in FILTERS if name != "ServerGroupAntiAffinityFilter"]
    return {"filter_scheduler": {"enabled_filters": ",".join([*kept, *AGGREGATE_FILTERS])}}


def own_port(site: Site) -> dict[str, str]:
    """Where nova-api listens, in releases in which it is a program of its own."""
    if "nova-api" not in site.release.programs:
        return {}
    port = str(site.cloud.ports["nova-api"])
    return {"osapi_compute_listen": ports.LOOPBACK, "osapi_compute_listen_port": port, "osapi_compute_workers": "1"}


def compute(site: Site, host: str) -> Config:
    """nova.conf of one nova-compute: no database; a state path of its own keeps its identity (file compute_id)."""
    size = site.cloud.options.size
    state_path = site.cloud.data(host)
    config = common(site, str(state_path))
    config["DEFAULT"].update(
        host=host,
        compute_driver=COMPUTE_DRIVER,
        instances_path=str(state_path / "instances"),
        vif_plugging_is_fatal="false",
        vif_plugging_timeout="10",
    )
    config["devcloud"] = {
        "vcpus": str(size.vcpus),
        "ram_mib": str(size.ram_mib),
        "disk_gib": str(size.disk_gib),
        "instances_file": str(state_path / "servers.json"),
    }
    config.update(notifications())
    return config


def notifications() -> Config:
    """What tells tests how a plain host notifies: into its log, as a queue that nobody reads would grow."""
    return {
        "notifications": {"notification_format": "both"},
        "oslo_messaging_notifications": {"driver": "log"},
    }


def common(site: Site, state_path: str) -> Config:
    """What every Nova service needs. The default of manager_shutdown_timeout, 160 s, would hold up every stop."""
    config: Config = {
        "DEFAULT": defaults(
            transport_url=site.transport_url,
            my_ip=ports.LOOPBACK,
            state_path=state_path,
            allow_resize_to_same_host="true",
            graceful_shutdown_timeout="2",
            manager_shutdown_timeout="1",
            default_log_levels=",".join(LOG_LEVELS),
        ),
        "placement": credentials(site, "placement"),
        "neutron": credentials(site, "neutron"),
        "glance": {"region_name": REGION},
        "service_user": {**credentials(site, "nova"), "send_service_user_token": "true"},
        "oslo_concurrency": {"lock_path": f"{state_path}/locks"},
    }
    config.update(cinder_section(site.cloud, site))
    return config


def cinder_section(cloud: Cloud, site: Site) -> Config:
    """[cinder], only where there is one."""
    if not cloud.options.cinder:
        return {}
    return {
        "cinder": {**credentials(site, "cinder"), "catalog_info": "block-storage::publicURL", "os_region_name": REGION}
    }
