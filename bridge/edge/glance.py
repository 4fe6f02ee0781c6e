"""The cascading Glance: what an image is, and its bytes."""

import time
from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec

from bridge.edge.cloud_session import CloudSession
from proto.errors import FaultCode, Refused, Unavailable

UPLOAD_TIMEOUT = 600.0  # s without a byte moving
CACHE_AGE = 300.0  # s an active image is believed unchanged: its content cannot change


class Glance:
    """Calls as the cascading cloud's admin."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session
        self._images: dict[str, tuple[float, dict[str, Any]]] = {}

    async def image(self, image_id: str) -> dict[str, Any]:
        """Return an active image; Refused if it is gone, empty or not active."""
        known = self._images.get(image_id)
        if known is not None and time.monotonic() - known[0] < CACHE_AGE:
            return known[1]
        answer = await self._session.call("image", "GET", f"/images/{image_id}")
        if answer.status != 200:
            raise Refused(FaultCode.IMAGE, f"image {image_id} does not exist")
        image: dict[str, Any] = answer.body
        if image.get("status") != "active" or not image.get("size"):
            raise Refused(
                FaultCode.IMAGE,
                f"image {image_id} is {image.get('status')} and holds {image.get('size') or 0} bytes: nothing to boot",
            )
        self._images[image_id] = (time.monotonic(), image)
        return image

    async def gone(self, image_id: str) -> bool:
        """Whether an image is deleted: Glance says so, it is not just that nothing was found out."""
        answer = await self._session.call("image", "GET", f"/images/{image_id}")
        return answer.status == 404 or (answer.ok and answer.body.get("status") in ("deleted", "pending_delete"))

    async def show(self, image_id: str) -> dict[str, Any] | None:
        """Return an image as it is now, whatever its status; None if there is none."""
        answer = await self._session.call("image", "GET", f"/images/{image_id}")
        if answer.status == 404:
            return None
        if not answer.ok:
            raise Refused(FaultCode.IMAGE, f"image {image_id}: {answer.message()}")
        found: dict[str, Any] = answer.body
        return found

    async def describe(self, image: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
        """Set fields and properties of an image, which Glance needs before its content; may be repeated."""
        changes = [
            {"op": "replace" if name in image else "add", "path": f"/{name}", "value": value}
            for name, value in wanted.items()
            if image.get(name) != value
        ]
        if not changes:
            return
        headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        content = msgspec.json.encode(changes)
        answer = await self._session.call("image", "PATCH", f"/images/{image['id']}", headers=headers, content=content)
        if not answer.ok:
            raise Refused(FaultCode.IMAGE, f"image {image['id']}: {answer.message()}")

    async def upload(self, image_id: str, content: BinaryIO) -> None:
        """Give an image its content; Refused with Glance's reason, Unavailable while an earlier try is not over."""
        answer = await self._session.call(
            "image",
            "PUT",
            f"/images/{image_id}/file",
            headers={"Content-Type": "application/octet-stream"},
            content=content,
            timeout=UPLOAD_TIMEOUT,
        )
        if answer.status == 409:
            raise Unavailable(f"image {image_id}: {answer.message()}", 5.0)
        if not answer.ok:
            code = FaultCode.QUOTA if answer.status == 413 else FaultCode.IMAGE
            raise Refused(code, f"image {image_id} cannot be stored above: {answer.message()}")

    async def delete(self, image_id: str) -> None:
        """Delete an image; one that is gone is fine."""
        answer = await self._session.call("image", "DELETE", f"/images/{image_id}")
        if not answer.ok and answer.status != 404:
            raise Refused(FaultCode.IMAGE, f"image {image_id}: {answer.message()}")

    async def backups(self, uuid: str, backup_type: str) -> list[dict[str, Any]]:
        """Return the backups of one type of an instance, the newest first."""
        query = {"image_type": "backup", "backup_type": backup_type, "instance_uuid": uuid, "sort": "created_at:desc"}
        answer = await self._session.call("image", "GET", "/images", query=query)
        if not answer.ok:
            raise Refused(FaultCode.IMAGE, f"Glance above lists no backups: HTTP {answer.status}")
        found: list[dict[str, Any]] = answer.body["images"]
        return found

    async def chunk(self, image_id: str, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of an image from ``offset`` on (fewer at its end); Refused if it cannot be read."""
        answer = await self._session.call(
            "image",
            "GET",
            f"/images/{image_id}/file",
            headers={"Range": f"bytes={offset}-{offset + length - 1}", "Accept": "application/octet-stream"},
            most=length,
        )
        if answer.status == 206:
            return answer.content
        if answer.status == 200 and len(answer.content) > offset:  # all of it, but it is small
            return answer.content[offset : offset + length]
        if answer.status == 200:
            reason = "the cascading Glance, or a proxy before it, ignores Range and would send all of it for each chunk"
        elif answer.status == 404:
            reason = "it was deleted above"
        else:
            reason = answer.message()
        self._images.pop(image_id, None)
        raise Refused(FaultCode.IMAGE, f"image {image_id} cannot be read above: {reason}")
