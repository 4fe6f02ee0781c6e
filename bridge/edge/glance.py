"""The cascading Glance: what an image is, and its bytes."""

import time
from typing import Any

from bridge.edge.cloud_session import CloudSession
from proto.errors import FaultCode, Refused

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

    async def chunk(self, image_id: str, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of an image from ``offset`` on (fewer at its end); Refused if it cannot be read."""
        answer = await self._session.call(
            "image",
            "GET",
            f"/images/{image_id}/file",
            headers={"Range": f"bytes={offset}-{offset + length - 1}", "Accept": "application/octet-stream"},
        )
        if answer.status == 206:
            return answer.content
        if answer.status == 200:  # a store that cannot seek sends all of it
            return answer.content[offset : offset + length]
        raise Refused(FaultCode.IMAGE, f"image {image_id} cannot be read above: HTTP {answer.status}")
