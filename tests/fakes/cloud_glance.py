"""Glance of a cascaded cloud in memory."""

import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from site_agent.core.answers import Answer
from site_agent.core.servers import iso


class SiteGlance:
    """Images with their content."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.content: dict[str, bytes] = {}
        self.refuse_properties = False
        self._numbers = itertools.count(1)

    def answer(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Answer:
        """Answer one request."""
        rest = path.split("/")[2:]
        if method == "POST":
            return self._create(body)
        if not rest:
            wanted = {key: value for key, value in params.items() if key != "limit"}
            found = [image for image in self.images.values() if all(image.get(k) == v for k, v in wanted.items())]
            return Answer(200, {"images": [dict(image) for image in found]})
        if rest[0] not in self.images:
            return Answer(404, "<html>404 Not Found</html>")
        if method == "DELETE":
            del self.images[rest[0]]
            return Answer(204)
        return Answer(200, dict(self.images[rest[0]]))

    async def upload(self, image_id: str, chunks: AsyncIterator[bytes]) -> Answer:
        """Take the content of an image."""
        self.images[image_id]["status"] = "saving"
        content = b"".join([chunk async for chunk in chunks])
        self.fill(image_id, content)
        return Answer(204)

    def fill(self, image_id: str, content: bytes) -> None:
        """Make an image active."""
        digest = hashlib.sha512(content).hexdigest()
        self.images[image_id] |= {"status": "active", "os_hash_algo": "sha512", "os_hash_value": digest}
        self.content[image_id] = content

    def _create(self, body: dict[str, Any]) -> Answer:
        if self.refuse_properties and any(key.startswith("hw_") for key in body):
            return Answer(403, "<html>403 Forbidden: property is protected</html>")
        image_id = f"site-image-{next(self._numbers)}"
        image = {"id": image_id, "status": "queued", "created_at": iso(time.time()), **body}
        self.images[image_id] = {**image, "os_hash_algo": None, "os_hash_value": None}
        return Answer(201, dict(image))
