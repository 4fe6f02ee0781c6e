"""Images of the site's Glance."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from proto.errors import FaultCode
from proto.messages import ImageSpec
from site_agent.core.answers import checked
from site_agent.core.matching import IMAGE_PROPERTY, Image
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

    async def create(self, spec: ImageSpec, properties: Mapping[str, str]) -> str:
        """Make an empty private image and return its id; Refused(IMAGE) if Glance does not take it as it is."""
        body: dict[str, Any] = {
            **properties,
            IMAGE_PROPERTY: spec.image_id,
            "name": spec.name,
            "disk_format": spec.disk_format,
            "container_format": spec.container_format,
            "min_disk": spec.min_disk,
            "min_ram": spec.min_ram,
            "visibility": "private",
        }
        answer = await self._cloud.request(Service.IMAGE, "POST", "/images", json=body)
        return str(checked(answer, FaultCode.IMAGE)["id"])

    async def upload(self, image_id: str, chunks: AsyncIterator[bytes]) -> None:
        """Fill an image from a stream; errors of the stream come through and leave a half image."""
        answer = await self._cloud.upload(f"/images/{image_id}/file", chunks)
        checked(answer, FaultCode.IMAGE)

    async def get(self, image_id: str) -> Image | None:
        """Return one image, or None."""
        answer = await self._cloud.request(Service.IMAGE, "GET", f"/images/{image_id}")
        return None if answer.status == 404 else _image(checked(answer))

    async def delete(self, image_id: str) -> None:
        """Delete an image; one that is gone is fine."""
        answer = await self._cloud.request(Service.IMAGE, "DELETE", f"/images/{image_id}")
        if answer.status != 404:
            checked(answer, FaultCode.IMAGE)

    async def _list(self, **query: str) -> list[Image]:
        params = {"limit": 100, **query}
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
        properties={key: value for key, value in document.items() if isinstance(value, str)},
    )
