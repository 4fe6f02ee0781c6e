"""Reads one entry of clouds.yaml, without openstacksdk: its import costs 20 MiB and half a second."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from proto.errors import Misconfigured

CONFIG_VARIABLE = "OS_CLIENT_CONFIG_FILE"
SECURE_VARIABLE = "OS_CLIENT_SECURE_FILE"
PLACES = (".", "~/.config/openstack", "/etc/openstack")
SUFFIXES = ("yaml", "yml", "json")  # JSON is YAML


def entry(cloud: str, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the entry of a cloud, its part of secure.yaml merged in; Misconfigured if it is missing or unreadable.

    Looks where openstacksdk does: the file named by OS_CLIENT_CONFIG_FILE, else the first one of PLACES.
    Vendor profiles (key ``profile``) are not supported.
    """
    file = _find("clouds", environment.get(CONFIG_VARIABLE))
    if file is None:
        raise Misconfigured(f"no clouds.yaml in {', '.join(PLACES)}: name yours in {CONFIG_VARIABLE}")
    clouds = _clouds(file)
    if cloud not in clouds:
        raise Misconfigured(f"{file} has no cloud {cloud!r} (it has: {', '.join(sorted(clouds)) or 'none'})")
    found = dict(clouds[cloud] or {})
    if "profile" in found or "cloud" in found:
        raise Misconfigured(f"{file}: cloud {cloud!r} uses a vendor profile; write its auth_url out instead")
    secure = _find("secure", environment.get(SECURE_VARIABLE))
    return _merged(found, _clouds(secure).get(cloud) or {}) if secure else found


def _find(stem: str, named: str | None) -> Path | None:
    candidates = [Path(place).expanduser() / f"{stem}.{suffix}" for place in PLACES for suffix in SUFFIXES]
    if named:
        candidates.insert(0, Path(named).expanduser())
    return next((file for file in candidates if file.is_file()), None)


def _clouds(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise Misconfigured(f"{file} is no YAML: {' '.join(str(error).split())}") from error
    clouds = (content or {}).get("clouds") if isinstance(content or {}, dict) else None
    if not isinstance(clouds, dict):
        raise Misconfigured(f"{file} has no section 'clouds'")
    return clouds


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merged(base[key], value) if both else value
    return result
