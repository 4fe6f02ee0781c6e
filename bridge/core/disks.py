"""What a boot asks of block devices: local disks go down, volumes are refused before anything is made. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from proto.errors import FaultCode, Refused
from proto.specs import DiskSpec

Mappings = Iterable[Mapping[str, Any]]  # flattened Nova BlockDeviceMappings


def disk_specs(mappings: Mappings) -> list[DiskSpec]:
    """Return the local disks of a boot, the image's first; Refused for anything that is a volume.

    A volume lives in the Cinder above, which no site can reach: a server without it would be half of what was asked.
    """
    found = list(mappings)
    for mapping in found:
        if mapping.get("destination_type") == "volume" or mapping.get("volume_id") or mapping.get("snapshot_id"):
            raise Refused(FaultCode.UNSUPPORTED, "volumes do not reach this availability zone: boot from an image")
    disks = [_disk(mapping) for mapping in found if not mapping.get("no_device")]
    return sorted(disks, key=lambda disk: disk.boot_index != 0)


def refuse_certificates(instance: Mapping[str, Any]) -> None:
    """Raise Refused for a boot that demands a signed image: the certificates are in the key manager above."""
    wanted = instance.get("trusted_certs") or {}
    if wanted.get("ids"):
        raise Refused(FaultCode.UNSUPPORTED, "trusted image certificates cannot be checked in this availability zone")


def _disk(mapping: Mapping[str, Any]) -> DiskSpec:
    root = mapping.get("source_type") == "image"
    size = mapping.get("volume_size")
    return DiskSpec(
        boot_index=0 if root else -1,
        size=None if root or not size else int(size),
        guest_format=mapping.get("guest_format"),
        device_type=mapping.get("device_type"),
        disk_bus=mapping.get("disk_bus"),
        tag=mapping.get("tag"),
    )
