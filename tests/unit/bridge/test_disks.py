"""What a boot asks of block devices and certificates."""

from typing import Any

import pytest

from bridge.core.disks import disk_specs, refuse_certificates
from proto.errors import FaultCode, Refused
from proto.specs import DiskSpec

IMAGE: dict[str, Any] = {
    "source_type": "image", "destination_type": "local", "boot_index": 0, "volume_size": None, "device_type": "disk",
}  # fmt: skip
EPHEMERAL: dict[str, Any] = {
    "source_type": "blank", "destination_type": "local", "boot_index": -1, "volume_size": 2, "guest_format": "ext4",
    "disk_bus": "scsi", "tag": "scratch",
}  # fmt: skip


def test_local_disks_go_down_the_images_first() -> None:
    assert disk_specs([EPHEMERAL, IMAGE]) == [
        DiskSpec(0, None, device_type="disk"),
        DiskSpec(-1, 2, guest_format="ext4", disk_bus="scsi", tag="scratch"),
    ]


def test_a_device_that_is_left_out_is_no_disk() -> None:
    assert disk_specs([IMAGE, {"no_device": True, "device_name": "vdb"}]) == [DiskSpec(0, None, device_type="disk")]


@pytest.mark.parametrize(
    "volume",
    [
        {"source_type": "volume", "destination_type": "volume", "volume_id": "v"},
        {"source_type": "image", "destination_type": "volume", "image_id": "i", "boot_index": 0},
        {"source_type": "blank", "destination_type": "volume"},
        {"source_type": "snapshot", "destination_type": None, "snapshot_id": "s"},
    ],
)
def test_a_volume_is_refused(volume: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refusal:
        disk_specs([IMAGE, volume])
    assert refusal.value.code is FaultCode.UNSUPPORTED


def test_certificates_are_refused() -> None:
    refuse_certificates({"trusted_certs": None})
    refuse_certificates({})
    with pytest.raises(Refused):
        refuse_certificates({"trusted_certs": {"ids": ["c"]}})
