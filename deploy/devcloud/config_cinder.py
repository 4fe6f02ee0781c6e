"""Configuration of Cinder, where a cloud has one."""

from deploy.devcloud.config import Config, Site, credentials, database_section, defaults, token_section, write

VOLUME_DRIVER = "devcloud_cinder.NullDriver"


def write_all(site: Site) -> None:
    """Writes cinder.conf, or nothing."""
    if site.cloud.options.cinder:
        site.cloud.data("cinder").mkdir(parents=True, exist_ok=True)
        write(site.cloud.etc("cinder") / "cinder.conf", cinder(site))


def cinder(site: Site) -> Config:
    """cinder.conf with one back end that stores nothing."""
    etc = site.venv / "etc" / "cinder"
    data = site.cloud.data("cinder")
    return {
        "DEFAULT": defaults(
            transport_url=site.transport_url,
            auth_strategy="keystone",
            host=site.cloud.name,
            state_path=str(data),
            enabled_backends="null",
            api_paste_config=str(etc / "api-paste.ini"),
            resource_query_filters_file=str(etc / "resource_filters.json"),
            glance_api_servers=site.cloud.url("glance"),
            quota_volumes="-1",
            quota_snapshots="-1",
            quota_gigabytes="-1",
        ),
        "null": {"volume_driver": VOLUME_DRIVER, "volume_backend_name": "null"},
        "database": database_section(site.connection("cinder")),
        "keystone_authtoken": token_section(site, "cinder"),
        "service_user": {**credentials(site, "cinder"), "send_service_user_token": "true"},
        "nova": credentials(site, "nova"),
        "oslo_concurrency": {"lock_path": str(data / "locks")},
    }
