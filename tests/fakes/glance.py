"""The cascading Glance in memory, with the interface of bridge.edge.glance.Glance."""

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any, BinaryIO

from proto.errors import FaultCode, Refused
from tests.fakes.neutron import CONTENT, IMAGE


class FakeGlance:
    """One image to boot, and those that nova-api makes for snapshots."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {IMAGE["id"]: dict(IMAGE)}
        self.content: dict[str, bytes] = {IMAGE["id"]: CONTENT}
        self.refuse_uploads: Refused | None = None
        self._numbers = itertools.count(1)

    async def image(self, image_id: str) -> dict[str, Any]:
        """Return an active image."""
        image = self.images.get(image_id)
        if image is None or image["status"] != "active":
            raise Refused(FaultCode.IMAGE, f"image {image_id} does not exist")
        return image

    async def gone(self, image_id: str) -> bool:
        """Whether an image is deleted."""
        return image_id not in self.images

    async def show(self, image_id: str) -> dict[str, Any] | None:
        """Return an image of any status."""
        image = self.images.get(image_id)
        return None if image is None else dict(image)

    async def describe(self, image: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
        """Set fields."""
        self.images[image["id"]] |= wanted

    async def upload(self, image_id: str, content: BinaryIO) -> None:
        """Give an image its content."""
        if self.refuse_uploads:
            raise self.refuse_uploads
        image, data = self.images[image_id], content.read()
        assert image["status"] == "queued" and image["disk_format"] and image["container_format"]
        hashes = {"os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(data).hexdigest()}
        image |= {"status": "active", "size": len(data), **hashes}
        self.content[image_id] = data

    async def delete(self, image_id: str) -> None:
        """Delete an image."""
        self.images.pop(image_id, None)
        self.content.pop(image_id, None)

    async def chunk(self, image_id: str, offset: int, length: int) -> bytes:
        """Return bytes of an image."""
        if image_id not in self.content:
            raise Refused(FaultCode.IMAGE, f"image {image_id} cannot be read above: it was deleted above")
        return self.content[image_id][offset : offset + length]

    async def backups(self, uuid: str, backup_type: str) -> list[dict[str, Any]]:
        """Return the backups of an instance, the newest first."""
        found = [image for image in self.images.values() if image.get("backup_type") == backup_type]
        return [image for image in reversed(found) if image["instance_uuid"] == uuid]

    def begin_snapshot(self, instance: str, **properties: str) -> str:
        """Make an image as nova-api does before it casts, and return its id."""
        image_id = f"snap-{next(self._numbers)}"
        self.images[image_id] = {
            "id": image_id, "name": f"snapshot of {instance}", "status": "queued", "visibility": "private",
            "disk_format": None, "container_format": None, "image_type": "snapshot", "instance_uuid": instance,
            "base_image_ref": IMAGE["id"], "min_disk": 1, "min_ram": 0, **properties,
        }  # fmt: skip
        return image_id
