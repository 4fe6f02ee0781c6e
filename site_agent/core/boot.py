"""The boot plan: a ServerSpec and the ids it has in the site become the body of POST /servers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proto.errors import FaultCode, Refused
from proto.messages import Command
from proto.specs import DiskSpec, PortSpec, ServerSecrets, ServerSpec
from site_agent.core import identity

# Hints that name something of the cloud above (instances, groups, hosts, cells), which means nothing in a site.
_HINTS_OF_ABOVE = frozenset({
    "build_near_host_ip", "cidr", "different_cell", "different_host", "group", "query", "reservation", "same_host",
    "target_cell",
})  # fmt: skip
_FILES = "2.56"  # the newest microversion in which Nova takes files for the guest (personality), at boot and rebuild
# Microversion from which Nova takes the guest's hostname from the request -> what its schema lets pass, newest first.
# Nova above is not so strict with those it makes of names itself ("a", "café", the 63 letters and number of a third).
_HOSTNAMES = {
    (2, 94): re.compile(r"[a-zA-Z0-9._-]{1,255}"),
    (2, 90): re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,61}[a-zA-Z0-9]"),
}


@dataclass(frozen=True, slots=True)
class SiteIds:
    """What the things a server is made of are called in the site."""

    flavor: str
    image: str
    keypair: str | None
    ports: Sequence[str]  # in the order of ServerSpec.ports
    group: str | None = None


def refuse_what_cannot_be_made(spec: ServerSpec) -> None:
    """Raise Refused for what no site can do: boot without an image."""
    if spec.image is None:
        raise Refused(FaultCode.UNSUPPORTED, "boot from a volume is not supported in a site yet")


def spoken(newest: str, secrets: ServerSecrets) -> str:
    """Return the microversion for a boot or rebuild: the site's, an older one if files go along (gone since 2.57)."""
    return _FILES if secrets.injected_files and speaks(newest, (2, 57)) else newest


def personality(secrets: ServerSecrets) -> list[dict[str, str]] | None:
    """Return the files for the guest as Nova's API takes them, base64 as they came; None without any."""
    return [{"path": path, "contents": contents} for path, contents in secrets.injected_files] or None


def request_body(
    command: Command, spec: ServerSpec, secrets: ServerSecrets, ids: SiteIds, microversion: str
) -> dict[str, Any]:
    """Return the body of POST /servers (2.52 and above, `spoken`); identity and generation are in its tags."""
    server: dict[str, Any] = {
        "name": spec.name,
        "flavorRef": ids.flavor,
        "imageRef": ids.image,
        "tags": [identity.tag(command.uuid), identity.generation_tag(command.generation)],
        "metadata": dict(spec.metadata),
        "networks": [_card(port, made) for port, made in zip(spec.ports, ids.ports, strict=True)] or "none",
    }
    optional = {
        "description": spec.description,
        "key_name": ids.keypair,
        "availability_zone": spec.availability_zone,
        "user_data": secrets.user_data,
        "adminPass": secrets.admin_password,
        "personality": personality(secrets),
        "config_drive": spec.config_drive or None,
        "OS-DCF:diskConfig": spec.disk_config,
        "hostname": hostname_taken(spec.hostname, microversion),
        "block_device_mapping_v2": _disks(spec, ids.image),
    }
    server.update({key: value for key, value in optional.items() if value is not None})
    hints = site_hints(spec.scheduler_hints) | ({"group": ids.group} if ids.group else {})
    return {"server": server, **({"os:scheduler_hints": hints} if hints else {})}


def site_hints(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hints a site may see: those of its own filters, none that names something above or is Nova's own."""
    return {key: value for key, value in hints.items() if key not in _HINTS_OF_ABOVE and not key.startswith("_")}


def hostname_taken(hostname: str | None, microversion: str) -> str | None:
    """Return the guest's hostname if a site takes it; None where it is to make its own."""
    allowed = next((allowed for since, allowed in _HOSTNAMES.items() if speaks(microversion, since)), None)
    return hostname if hostname and allowed and allowed.fullmatch(hostname) else None


def speaks(microversion: str, wanted: tuple[int, int]) -> bool:
    """Whether a microversion is at least the wanted one."""
    major, _, minor = microversion.partition(".")
    return (int(major), int(minor)) >= wanted


def _disks(spec: ServerSpec, image: str) -> list[dict[str, Any]] | None:
    """Return the block devices, None where Nova's own choice for an image is what was asked for."""
    if all(disk == DiskSpec(0, None, device_type=disk.device_type) for disk in spec.disks):
        return None
    return [_disk(disk, image) for disk in spec.disks]


def _disk(disk: DiskSpec, image: str) -> dict[str, Any]:
    fields = {
        "volume_size": disk.size,
        "guest_format": disk.guest_format,
        "device_type": disk.device_type,
        "disk_bus": disk.disk_bus,
        "tag": disk.tag,
    }
    source = {"source_type": "image", "uuid": image} if disk.boot_index == 0 else {"source_type": "blank"}
    return {
        **source,
        "destination_type": "local",
        "boot_index": disk.boot_index,
        "delete_on_termination": True,
        **{key: value for key, value in fields.items() if value is not None},
    }


def _card(port: PortSpec, made: str) -> dict[str, str]:
    return {"port": made, **({"tag": port.tag} if port.tag else {})}
