"""Images of the site's Glance."""

from collections.abc import Mapping
from typing import Any, BinaryIO

from proto.errors import FaultCode
from proto.specs import ImageSpec
from site_agent.core.answers import checked
from site_agent.core.matching import (
    CARRIED_PROPERTY,
    CARRIER_PROPERTY,
    IMAGE_PROPERTY,
    NAME_PROPERTY,
    SNAPSHOT_PROPERTY,
    Image,
)
from site_agent.edge.cloud import Cloud, Service


class Images:
    """Images the agent's project may use."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def with_hash(self, hash_value: str) -> list[Image]:
        """Return the images with this os_hash_value."""
        return await self._list(os_hash_value=hash_value)

    async def carried(self, image_id: str) -> list[Image]:
        """Return the images that say they are the copy of an image above, finished or not."""
        return await self._list(**{IMAGE_PROPERTY: image_id})

    async def snapshots(self, image_id: str) -> list[Image]:
        """Return the images that were taken in this site for an image above, finished or not."""
        return await self._list(**{SNAPSHOT_PROPERTY: image_id})

    async def newest(self, limit: int) -> list[Image]:
        """Return the project's newest images, at most ``limit`` (1000 at the most)."""
        return await self._list(owner=self._cloud.project_id, sort="created_at:desc", limit=limit)

    async def create(self, spec: ImageSpec, properties: Mapping[str, str], carrier: str) -> str:
        """Make an empty private image and return its id; Refused(IMAGE) if Glance does not take it as it is."""
        body: dict[str, Any] = {
            **properties,
            IMAGE_PROPERTY: spec.image_id,
            CARRIED_PROPERTY: spec.image_id,
            CARRIER_PROPERTY: carrier,
            NAME_PROPERTY: spec.name,
            "name": spec.name,
            "disk_format": spec.disk_format,
            "container_format": spec.container_format,
            "min_disk": spec.min_disk,
            "min_ram": spec.min_ram,
            "visibility": "private",
        }
        answer = await self._cloud.request(Service.IMAGE, "POST", "/images", json=body)
        return str(checked(answer, FaultCode.IMAGE)["id"])

    async def upload(self, image_id: str, content: BinaryIO) -> None:
        """Fill an image from a file; what fails leaves a half image. Refused(QUOTA) if the store is full."""
        answer = await self._cloud.upload(f"/images/{image_id}/file", content)
        checked(answer, FaultCode.IMAGE)

    async def chunk(self, image_id: str, offset: int, length: int) -> bytes:
        """Return bytes of an image's content."""
        answer = await self._cloud.download(f"/images/{image_id}/file", offset, length)
        return bytes(checked(answer, FaultCode.IMAGE))

    async def get(self, image_id: str) -> Image | None:
        """Return one image, or None."""
        answer = await self._cloud.request(Service.IMAGE, "GET", f"/images/{image_id}")
        return None if answer.status == 404 else _image(checked(answer))

    async def delete(self, image_id: str) -> None:
        """Delete an image; one that is gone is fine."""
        answer = await self._cloud.request(Service.IMAGE, "DELETE", f"/images/{image_id}")
        if answer.status != 404:
            checked(answer, FaultCode.IMAGE)

    async def _list(self, **query: str | int) -> list[Image]:
        params: dict[str, Any] = {"limit": 100, **query}
        answer = await self._cloud.request(Service.IMAGE, "GET", "/images", params=params)
        return [_image(document) for document in checked(answer)["images"]]


def _image(document: Mapping[str, Any]) -> Image:
    return Image(
        image_id=document["id"],
        status=document["status"],
        hash_algo=document.get("os_hash_algo") or "",
        hash_value=document.get("os_hash_value") or "",
        disk_format=document.get("disk_format") or "",
        created=document.get("created_at") or "",
        name=document.get("name") or "",
        size=document.get("size") or 0,
        container_format=document.get("container_format") or "",
        properties={key: value for key, value in document.items() if isinstance(value, str)},
    )
