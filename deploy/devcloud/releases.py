"""The OpenStack releases a cloud may be of, and what differs between them."""

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.paths import PACKAGE, Layout


@dataclass(frozen=True, slots=True)
class Release:
    """One release. An API service is either an application that uwsgi loads or a program that opens its port itself."""

    name: str
    environment: str  # directory below the state directory
    requirements: Path  # locked, with hashes
    applications: Mapping[str, str]  # API service -> what uwsgi loads: module, or module:factory()
    programs: Mapping[str, str] = field(default_factory=dict)  # API service -> console script
    network_types: str = "project_network_types"  # the option of [ml2]
    network_extensions: str = "port_security,dns"  # ML2's, beyond those every Neutron has
    has_cinder: bool = True
    packages: Mapping[str, str] = field(default_factory=dict)  # Debian package -> file, beyond those of every cloud

    def venv(self, layout: Layout) -> Path:
        """The Python environment with the release's packages."""
        return layout.root / self.environment


COMPILER = {
    "gcc": "/usr/bin/gcc",
    "libc6-dev": "/usr/include/stdlib.h",
    "python3-dev": str(Path(sysconfig.get_path("include")) / "Python.h"),
}
CURRENT = Release(
    name="2026.2",
    environment="venv-openstack",
    requirements=PACKAGE / "requirements.lock",
    applications={
        "keystone": "keystone.wsgi.api",
        "placement": "placement.wsgi.api",
        "glance": "glance.wsgi.api",
        "neutron": "neutron.wsgi.api",
        "nova-api": "nova.wsgi.osapi_compute",
        "cinder-api": "cinder.wsgi.api",
    },
)
ZED = Release(
    name="zed",
    environment="venv-openstack-zed",
    requirements=PACKAGE / "requirements-zed.lock",
    applications={
        "keystone": "keystone.server.wsgi:initialize_public_application()",
        "placement": "placement.wsgi:init_application()",
        "glance": "glance.common.wsgi_app:init_app()",
    },
    # Their notifications run in green threads, which nothing but their own eventlet servers switches to.
    programs={"neutron": "neutron-server", "nova-api": "nova-api-os-compute"},
    network_types="tenant_network_types",
    network_extensions="port_security",  # a site that keeps no DNS names stays tested
    has_cinder=False,
    packages=COMPILER,  # netifaces has no wheel for Python 3.11
)
RELEASES = {release.name: release for release in (CURRENT, ZED)}


def named(name: str) -> Release:
    """The release of this name; raises with the names that do exist."""
    if name not in RELEASES:
        raise DevcloudError(
            f"no release {name!r} (there is: {', '.join(RELEASES)}); this cloud.json is of another version"
        )
    return RELEASES[name]
