"""What a cloud is: name, role, size, ports and passwords; kept in its `cloud.json`."""

import dataclasses
import json
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.devcloud import ports
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.paths import Layout
from deploy.devcloud.releases import CURRENT, named

CASCADING = "cascading"
SITE = "site"
ADMIN, MEMBER = "admin", "member"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9]{0,15}")
REGION = "RegionOne"
API_SERVICES = ("keystone", "placement", "glance", "neutron", "nova-api")
CINDER_API = "cinder-api"
MEMCACHED = "memcached"
SECRETS = ("admin", "demo", "agent", "service", "services", "database", "rabbit")


@dataclass(frozen=True, slots=True)
class Size:
    """What one fake compute host offers."""

    vcpus: int = 16
    ram_mib: int = 32768
    disk_gib: int = 200


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose with `up` when a cloud is made; it cannot be changed later."""

    role: str = SITE
    computes: int = 1
    cinder: bool = False
    ml2: bool = True
    size: Size = field(default_factory=Size)
    release: str = CURRENT.name
    agent_role: str = ADMIN


@dataclass(frozen=True, slots=True)
class Cloud:
    """One cloud. `ready` is False until `up` has come to its end once: what is not ready is made anew."""

    name: str
    options: Options
    ports: dict[str, int]
    secrets: dict[str, str]
    home: Path
    ready: bool = False

    @property
    def auth_url(self) -> str:
        """Keystone's public address."""
        return f"{self.url('keystone')}/v3"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the compute hosts; none in a cascading cloud, whose hosts come from outside."""
        count = 0 if self.options.role == CASCADING else self.options.computes
        return tuple(f"{self.name}-compute{number}" for number in range(1, count + 1))

    @property
    def file(self) -> Path:
        """The cloud's `cloud.json`."""
        return self.home / "cloud.json"

    def etc(self, service: str) -> Path:
        """Configuration directory of one service."""
        return self.home / "etc" / service

    def data(self, service: str) -> Path:
        """Data directory of one service."""
        return self.home / "data" / service

    def log(self, service: str) -> Path:
        """Log file of one service."""
        return self.home / "log" / f"{service}.log"

    def pid_file(self, service: str) -> Path:
        """Pid file of one service."""
        return self.home / "pids" / f"{service}.pid"

    def url(self, service: str) -> str:
        """Base address of an API service, without a final slash."""
        return f"http://{ports.LOOPBACK}:{self.ports[service]}"

    def schema(self, database: str) -> str:
        """Name of one of the cloud's schemas, for instance paris_nova_api."""
        return f"{self.name}_{database}"


def check_name(name: str) -> None:
    """Raises for a name that cannot be part of a schema's and a vhost's name."""
    if not NAME_PATTERN.fullmatch(name):
        raise DevcloudError(f"{name!r} cannot be a cloud's name: use up to 16 small letters and digits, a letter first")


def check_options(options: Options) -> None:
    """Raises for what does not go together."""
    if options.cinder and not named(options.release).has_cinder:
        raise DevcloudError(f"there is no Cinder of release {options.release} here; leave --cinder out")


def create(name: str, options: Options, layout: Layout, taken: Collection[int]) -> Cloud:
    """A new cloud with ports and passwords of its own, not yet written anywhere."""
    check_name(name)
    services = [*API_SERVICES, MEMCACHED, *([CINDER_API] if options.cinder else [])]
    passwords = {purpose: secrets.token_hex(12) for purpose in SECRETS}
    return Cloud(name, options, ports.pick(services, taken), passwords, layout.cloud(name))


def load(name: str, layout: Layout) -> Cloud | None:
    """The cloud as it was saved, or None if there is none of this name."""
    try:
        saved: dict[str, Any] = json.loads((layout.cloud(name) / "cloud.json").read_text())
        made = saved["made_with"]
        options = Options(**{**made["options"], "size": Size(**made["options"]["size"])})
        return Cloud(name, options, saved["ports"], made["secrets"], layout.cloud(name), made["ready"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        file = layout.cloud(name) / "cloud.json"
        raise DevcloudError(
            f"{file} is damaged; end the processes in {file.parent}/pids and delete {file.parent}"
        ) from error


def load_all(layout: Layout) -> list[Cloud]:
    """All clouds of the state directory, in the order of their names."""
    names = sorted(file.parent.name for file in layout.clouds.glob("*/cloud.json"))
    return [cloud for cloud in (load(name, layout) for name in names) if cloud]


def save(cloud: Cloud, published: dict[str, Any]) -> None:
    """Writes `cloud.json`: `published` for other programs, and `made_with`, which only this module reads."""
    made_with = {"options": dataclasses.asdict(cloud.options), "secrets": cloud.secrets, "ready": cloud.ready}
    document = {**published, "ports": cloud.ports, "made_with": made_with}
    cloud.home.mkdir(parents=True, exist_ok=True)
    partial = cloud.file.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n")
    partial.chmod(0o600)
    partial.rename(cloud.file)
