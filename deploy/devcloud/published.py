"""What other programs read: `cloud.json` of each cloud, and `clouds.yaml` of all."""

import json
from typing import Any

from deploy.devcloud import cloud as clouds
from deploy.devcloud import identity, ports
from deploy.devcloud.cloud import REGION, Cloud
from deploy.devcloud.config import Site
from deploy.devcloud.infra import MARIADB, RABBITMQ
from deploy.devcloud.paths import Layout


def save(site: Site) -> None:
    """Writes a cloud's `cloud.json`."""
    clouds.save(site.cloud, describe(site))


def describe(site: Site) -> dict[str, Any]:
    """The public part of `cloud.json`: how to reach everything of a cloud, passwords included."""
    cloud, infra = site.cloud, site.infra
    return {
        "name": cloud.name,
        "role": cloud.options.role,
        "release": cloud.options.release,
        "region": REGION,
        "auth_url": cloud.auth_url,
        "transport_url": site.transport_url,
        "rabbit": {
            "host": ports.LOOPBACK, "port": infra.ports[RABBITMQ],
            "user": cloud.name, "password": cloud.secrets["rabbit"], "vhost": cloud.name,
        },
        "mariadb": {
            "host": ports.LOOPBACK, "port": infra.ports[MARIADB],
            "user": cloud.name, "password": cloud.secrets["database"], "schemas": f"{cloud.name}_*",
        },
        "memcached": site.memcached,
        "hosts": list(cloud.hosts),
        "venv": str(site.venv),
        "clouds_yaml": str(site.layout.clouds_yaml),
        "etc": {file.name: str(file) for file in sorted((cloud.home / "etc").glob("*"))},
        "logs": str(cloud.home / "log"),
        "pids": str(cloud.home / "pids"),
    }  # fmt: skip


def write_clouds_yaml(layout: Layout) -> None:
    """Rewrites `clouds.yaml` from all clouds that are ready. A JSON string is a YAML scalar too."""
    lines = ["# written by deploy.devcloud; every change is lost", "clouds:"]
    for cloud in clouds.load_all(layout):
        if cloud.ready:
            for name, (user, secret, project) in logins(cloud).items():
                lines += entry(cloud, name, user, cloud.secrets[secret], project)
    if len(lines) == 2:
        lines[1] = "clouds: {}"
    layout.root.mkdir(parents=True, exist_ok=True)
    partial = layout.clouds_yaml.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text("\n".join(lines) + "\n")
    partial.rename(layout.clouds_yaml)


def logins(cloud: Cloud) -> dict[str, tuple[str, str, str]]:
    """Name in clouds.yaml -> user, which of the cloud's secrets is the password, project."""
    found = {cloud.name: ("admin", "admin", "admin")}
    for user in identity.users(cloud):
        if user.login:
            found[f"{cloud.name}-{user.login}"] = (user.name, user.secret, user.project)
    return found


def entry(cloud: Cloud, name: str, user: str, password: str, project: str) -> list[str]:
    """The lines of one cloud of `clouds.yaml`."""
    auth = {
        "auth_url": cloud.auth_url,
        "username": user,
        "password": password,
        "project_name": project,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    lines = [f"  {name}:", f"    region_name: {REGION}", '    identity_api_version: "3"', "    auth:"]
    return lines + [f"      {key}: {json.dumps(value)}" for key, value in auth.items()]
