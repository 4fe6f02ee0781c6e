"""Configuration files: the sections that all services share, and how they are written.

One module per group of services (`config_apis`, `config_nova`, `config_cinder`) says what is special about each. What
is not set here is as upstream ships it: these are unpatched clouds.
"""

from dataclasses import dataclass
from pathlib import Path

from deploy.devcloud import ports
from deploy.devcloud.cloud import MEMCACHED, REGION, Cloud
from deploy.devcloud.infra import MARIADB, RABBITMQ, Infra
from deploy.devcloud.paths import Layout
from deploy.devcloud.releases import Release, named

Config = dict[str, dict[str, str]]
"""Section -> option -> value."""


@dataclass(frozen=True, slots=True)
class Site:
    """Everything a configuration may depend on."""

    cloud: Cloud
    infra: Infra
    layout: Layout

    @property
    def release(self) -> Release:
        """The OpenStack release of the cloud."""
        return named(self.cloud.options.release)

    @property
    def venv(self) -> Path:
        """The Python environment with the release's packages."""
        return self.release.venv(self.layout)

    @property
    def transport_url(self) -> str:
        """The cloud's own vhost with its own user."""
        cloud = self.cloud
        port = self.infra.ports[RABBITMQ]
        return f"rabbit://{cloud.name}:{cloud.secrets['rabbit']}@{ports.LOOPBACK}:{port}/{cloud.name}"

    @property
    def memcached(self) -> str:
        """The cloud's own memcached, never a shared one: the cache keys of two Keystones are equal."""
        return f"{ports.LOOPBACK}:{self.cloud.ports[MEMCACHED]}"

    def connection(self, database: str) -> str:
        """SQLAlchemy URL of one of the cloud's schemas."""
        port = self.infra.ports[MARIADB]
        account = f"{self.cloud.name}:{self.cloud.secrets['database']}"
        return f"mysql+pymysql://{account}@{ports.LOOPBACK}:{port}/{self.cloud.schema(database)}?charset=utf8mb3"


def render(config: Config) -> str:
    """The text of an oslo.config file."""
    lines = []
    for section, options in config.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {value}" for name, value in options.items()]
        lines.append("")
    return "\n".join(lines)


def write(file: Path, config: Config) -> None:
    """Writes a configuration file that only its owner may read: there are passwords in it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(render(config))


def defaults(**extra: str) -> dict[str, str]:
    """[DEFAULT] of every service: logs go to standard error, which `process.start` appends to the log file."""
    return {"use_stderr": "true", "debug": "false", **extra}


def credentials(site: Site, user: str) -> dict[str, str]:
    """How a service user logs in at Keystone (options of a keystoneauth section)."""
    return {
        "auth_type": "password",
        "auth_url": site.cloud.auth_url,
        "username": user,
        "password": site.cloud.secrets["services"],
        "user_domain_name": "Default",
        "project_name": "service",
        "project_domain_name": "Default",
        "region_name": REGION,
    }


def token_section(site: Site, user: str) -> dict[str, str]:
    """[keystone_authtoken]. The service role is required: Nova and Cinder refuse each other without a service token."""
    return {
        **credentials(site, user),
        "www_authenticate_uri": site.cloud.auth_url,
        "memcached_servers": site.memcached,
        "service_token_roles": "service",
        "service_token_roles_required": "true",
    }


def database_section(connection: str) -> dict[str, str]:
    """[database] and its like, with few connections: many clouds share one server."""
    return {"connection": connection, "max_pool_size": "5", "max_overflow": "20", "connection_recycle_time": "600"}
