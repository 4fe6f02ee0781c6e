"""tempest.conf: what a cloud can do, told to Tempest. What is said to be missing here, Tempest skips."""

import configparser
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.tempest.contents import PUBLIC, VOLUME_TYPE, Contents

Options = dict[str, dict[str, str]]
BUILD_TIMEOUT = 180  # s
SERVICES = ("keystone", "nova", "neutron", "glance", "placement")
COMPUTE_FEATURES = {
    "resize": True,
    "rescue": True,
    "stable_rescue": True,
    "change_password": True,
    "shelve_migrate": True,
    "snapshot": True,
    "personality": True,
    "hostname_fqdn_sanitization": True,
    "vnc_console": True,  # a URL is given, nobody answers there: devcloud has no console proxy
    "metadata_service": False,  # devcloud has none
    "attach_encrypted_volume": False,  # no key manager
}
PLAIN_FEATURES = {"swap_volume": True, "volume_multiattach": True, "live_migration": True, "cold_migration": True}
"""What only the plain cloud can: volumes, and two hosts between which servers move."""


def options(
    login: Mapping[str, str], contents: Contents, extensions: list[str], *, plain: bool, state: Path
) -> Options:
    """PURE: every option that is not Tempest's default. ``extensions``: aliases of Neutron's API extensions."""
    flags = {**COMPUTE_FEATURES, **dict.fromkeys(PLAIN_FEATURES, plain)}
    return {
        "DEFAULT": {"log_file": str(state / "tempest.log"), "debug": "false"},
        "oslo_concurrency": {"lock_path": str(state / "lock")},
        "auth": _auth(login),
        "identity": {"uri_v3": login["auth_url"], "auth_version": "v3", "v3_endpoint_type": "public"},
        "enforce_scope": dict.fromkeys(SERVICES, "true"),
        "compute": {
            "image_ref": contents.images[0],
            "image_ref_alt": contents.images[1],
            "flavor_ref": contents.flavors[0],
            "flavor_ref_alt": contents.flavors[1],
            "min_compute_nodes": "2",  # above: the two sites
            "build_timeout": str(BUILD_TIMEOUT),
            "max_microversion": "latest",
        },
        "compute-feature-enabled": {
            **{name: str(value).lower() for name, value in flags.items()},
            "scheduler_enabled_filters": "all",
            "nova_policy_roles": "admin,manager,member,reader,service",
        },
        "validation": {"run_validation": "false"},  # no guest answers to ssh
        "network": {
            "public_network_id": contents.public_network,
            "floating_network_name": PUBLIC,
            "project_network_cidr": "10.100.0.0/16",
        },
        "network-feature-enabled": {"api_extensions": ",".join(extensions)},
        "service_available": {"cinder": str(plain).lower(), "swift": "false", "horizon": "false"},
        "volume": {"volume_type_multiattach": VOLUME_TYPE, "max_microversion": "latest"},
    }


def _auth(login: Mapping[str, str]) -> dict[str, str]:
    return {
        "admin_username": login["username"],
        "admin_password": login["password"],
        "admin_project_name": login["project_name"],
        "admin_domain_name": "Default",
        "use_dynamic_credentials": "true",
    }


def login_of(clouds_yaml: Path, cloud: str) -> dict[str, str]:
    """Return the ``auth`` of one entry of clouds.yaml."""
    found: dict[str, str] = yaml.safe_load(clouds_yaml.read_text())["clouds"][cloud]["auth"]
    return found


def write(file: Path, chosen: Options) -> None:
    """Write tempest.conf for its owner only: there is a password in it."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(chosen)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    with file.open("w") as text:
        parser.write(text)
