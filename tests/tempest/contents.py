"""What Tempest needs in a cloud beyond what any cloud has: flavors, images, a network to the outside."""

import random
from dataclasses import dataclass
from typing import Any

from tests.e2e.clouds import User

FLAVORS = (
    {"id": "tempest-1", "name": "tempest-1", "vcpus": 1, "ram": 128, "disk": 1},
    {"id": "tempest-2", "name": "tempest-2", "vcpus": 1, "ram": 192, "disk": 2},
)
IMAGES = ("tempest-1", "tempest-2")
IMAGE_BYTES = 1 << 20
VOLUME_TYPE = "tempest-multiattach"
PUBLIC, POOL = "tempest-public", "tempest-pool"


@dataclass(frozen=True, slots=True)
class Contents:
    """The ids of what is there, for tempest.conf."""

    flavors: tuple[str, ...]
    images: tuple[str, ...]
    public_network: str


def ensure(admin: User, *, volumes: bool) -> Contents:
    """Make what is missing: look, then create. May be repeated; every name begins with ``tempest-``.

    ``volumes``: the cloud has Cinder; it gets a type of volumes that several servers may attach.
    """
    flavors = tuple(_flavor(admin, fields) for fields in FLAVORS)
    images = tuple(_image(admin, name) for name in IMAGES)
    network = _ensure(admin, "network", "networks", {"name": PUBLIC, "router:external": True, "is_default": True})
    subnet = {"network_id": network, "cidr": "203.0.113.0/24", "ip_version": 4, "enable_dhcp": False}
    _ensure(admin, "network", "subnets", {"name": PUBLIC, **subnet})
    pool = {"prefixes": ["10.200.0.0/16"], "default_prefixlen": 26, "shared": True, "is_default": True}
    _ensure(admin, "network", "subnetpools", {"name": POOL, **pool})
    if volumes:
        _volume_type(admin)
    return Contents(flavors, images, network)


def _ensure(admin: User, service: str, kind: str, fields: dict[str, Any]) -> str:
    for found in admin.get(service, f"/{kind}", name=fields["name"])[kind]:
        return str(found["id"])
    singular = kind.removesuffix("s")
    answer = getattr(admin.connection, service).post(f"/{kind}", json={singular: fields})
    answer.raise_for_status()
    return str(answer.json()[singular]["id"])


def _flavor(admin: User, fields: dict[str, Any]) -> str:
    if all(found["id"] != fields["id"] for found in admin.get("compute", "/flavors")["flavors"]):
        admin.connection.compute.post("/flavors", json={"flavor": fields}).raise_for_status()
    return str(fields["id"])


def _image(admin: User, name: str) -> str:
    """Return the id of an image with content; one that was left without (queued) gets it now."""
    listed = admin.get("image", "/images", name=name)["images"]
    if not listed:
        fields = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public", "min_disk": 1}
        listed = [admin.connection.image.post("/images", json=fields).json()]
    (image, *_) = listed
    if image["status"] == "queued":
        content = random.Random(f"{admin.connection.auth['auth_url']} {name}").randbytes(IMAGE_BYTES)
        headers = {"Content-Type": "application/octet-stream"}
        admin.connection.image.put(f"/images/{image['id']}/file", data=content, headers=headers).raise_for_status()
    return str(image["id"])


def _volume_type(admin: User) -> None:
    if all(found["name"] != VOLUME_TYPE for found in admin.get("block_storage", "/types")["volume_types"]):
        fields = {"name": VOLUME_TYPE, "extra_specs": {"multiattach": "<is> True"}}
        admin.connection.block_storage.post("/types", json={"volume_type": fields}).raise_for_status()
