"""Glance of a cascaded cloud in memory."""

import hashlib
import itertools
import time
from collections.abc import Mapping
from typing import Any

from site_agent.core.answers import Answer
from site_agent.core.servers import iso


class SiteGlance:
    """Images with their content."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.content: dict[str, bytes] = {}
        self.refuse_properties = False
        self.room = 1 << 40  # bytes that one image may have
        self._numbers = itertools.count(1)

    def answer(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Answer:
        """Answer one request."""
        rest = path.split("/")[2:]
        if method == "POST":
            return self._create(body)
        if not rest:
            wanted = {key: value for key, value in params.items() if key not in ("limit", "owner", "sort")}
            found = [image for image in self.images.values() if all(image.get(k) == v for k, v in wanted.items())]
            return Answer(200, {"images": [dict(image) for image in found]})
        if rest[0] not in self.images:
            return Answer(404, "<html>404 Not Found</html>")
        if method == "DELETE":
            del self.images[rest[0]]
            return Answer(204)
        return Answer(200, dict(self.images[rest[0]]))

    def saving(self, image_id: str) -> None:
        """The content of an image begins to come."""
        self.images[image_id]["status"] = "saving"

    def upload(self, image_id: str, content: bytes) -> Answer:
        """Take the content of an image; one that was deleted meanwhile is gone."""
        if image_id not in self.images:
            return Answer(410, "<html>410 Gone</html>")
        if len(content) > self.room:
            self.images[image_id]["status"] = "queued"
            return Answer(413, "<html><body>Image storage media is full: no room</body></html>")
        self.fill(image_id, content)
        return Answer(204)

    def chunk(self, image_id: str, offset: int, length: int) -> Answer:
        """Return a part of the content of an image."""
        if image_id not in self.content:
            return Answer(404, "<html>404 Not Found</html>")
        return Answer(206, self.content[image_id][offset : offset + length])

    def fill(self, image_id: str, content: bytes) -> None:
        """Make an image active."""
        digest = hashlib.sha512(content).hexdigest()
        hashes = {"os_hash_algo": "sha512", "os_hash_value": digest}
        self.images[image_id] |= {"status": "active", "size": len(content), **hashes}
        self.content[image_id] = content

    def snapshot(self, server_id: str, name: str, metadata: Mapping[str, str]) -> str:
        """Make the image of a snapshot, as the site's nova-api does: with what the server's own image has."""
        base = next(iter(self.images.values()), {})
        ours = {key: value for key, value in base.items() if key.startswith("cascade_")}
        of_nova = {"image_type": "snapshot", "instance_uuid": server_id, "base_image_ref": base.get("id")}
        fields = {"name": name, "disk_format": "raw", "container_format": "bare", **ours, **of_nova, **metadata}
        return str(self._create(fields).body["id"])

    def _create(self, body: dict[str, Any]) -> Answer:
        if self.refuse_properties and any(key.startswith("hw_") for key in body):
            return Answer(403, "<html>403 Forbidden: property is protected</html>")
        image_id = f"site-image-{next(self._numbers)}"
        image = {"id": image_id, "status": "queued", "created_at": iso(time.time()), **body}
        self.images[image_id] = {**image, "os_hash_algo": None, "os_hash_value": None}
        return Answer(201, dict(image))
