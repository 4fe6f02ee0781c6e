"""Does what the site has match what is wanted? Values in, answers out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from proto.specs import FlavorSpec, ImageSpec, SubnetSpec

IMAGE_PROPERTY = "cascade_image_id"  # the image above that it stands for
# The image above it was carried from, and the spool that carried it. Nova gives them to snapshots of its servers too.
CARRIED_PROPERTY = "cascade_carried"
CARRIER_PROPERTY = "cascade_carrier"
# The name that the agent gave it. Nova and Cinder hand properties on to what they make of an image, but never its name.
NAME_PROPERTY = "cascade_name"
SNAPSHOT_PROPERTY = "cascade_snapshot"  # the image above that the site's Nova made it for
SNAPSHOT_SERVER_PROPERTY = "cascade_server"  # the site's server it was taken of
# Properties Glance keeps for itself or that say where an image came from; they are never carried.
_OWN_PROPERTIES = ("os_glance_", "os_hash_", "owner_specified.", "cascade_")
_OWN_NAMES = frozenset({
    "base_image_ref", "boot_roles", "image_location", "image_state", "image_type", "instance_uuid", "locations",
    "owner_id", "owner_project_name", "owner_user_name", "stores", "user_id", "self", "file", "schema", "direct_url",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flavor:
    """A flavor of the site; units as in FlavorSpec."""

    flavor_id: str
    vcpus: int
    ram: int
    disk: int
    ephemeral: int
    swap: int
    extra_specs: Mapping[str, str] | None  # None = the site does not show them


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the site."""

    image_id: str
    status: str
    hash_algo: str
    hash_value: str
    disk_format: str
    created: str
    properties: Mapping[str, str]
    name: str = ""
    size: int = 0  # bytes
    container_format: str = ""

    @property
    def half(self) -> bool:
        """Whether its content is not there yet."""
        return self.status in ("queued", "saving", "uploading", "importing")


def was_carried(image: Image) -> bool:
    """Whether the agent made it for an image above; what only inherited our properties was not."""
    properties = image.properties
    made_by_nova = any(properties.get(name) for name in ("instance_uuid", "base_image_ref", "image_type"))
    named_by_us = properties.get(NAME_PROPERTY) == image.name
    return bool(properties.get(CARRIED_PROPERTY)) and named_by_us and not made_by_nova


def snapshot_name(image_id: str) -> str:
    """Return the name in the site of the snapshot that is taken for an image above."""
    return f"cascade-{image_id}"


def is_snapshot(image: Image, server_id: str = "") -> bool:
    """Whether the site's Nova took it on our command (of that server).

    A server rebuilt from one has its properties, and hands them on to what a vendor's shelve or backup makes of it:
    only the name is not inherited.
    """
    properties = image.properties
    above = properties.get(SNAPSHOT_PROPERTY, "")
    ours = bool(above) and above == properties.get(IMAGE_PROPERTY) and image.name == snapshot_name(above)
    taken_of = properties.get(SNAPSHOT_SERVER_PROPERTY)
    return ours and taken_of == properties.get("instance_uuid") and server_id in ("", taken_of)


def flavor_difference(wanted: FlavorSpec, found: Flavor) -> str:
    """Return the first field in which they differ, in words; empty if the flavor will do."""
    for field in ("vcpus", "ram", "disk", "ephemeral", "swap"):
        want, have = getattr(wanted, field), getattr(found, field)
        if want != have:
            return f"{field} is {have}, wanted {want}"
    if found.extra_specs is None:
        return "" if not wanted.extra_specs else "extra specs are not shown"
    for key in sorted({*wanted.extra_specs, *found.extra_specs}):
        want, have = wanted.extra_specs.get(key), found.extra_specs.get(key)
        if want != have:
            return f"extra spec {key} is {have!r}, wanted {want!r}"
    return ""


def nearest_flavor(wanted: FlavorSpec, found: Iterable[Flavor]) -> tuple[Flavor | None, str]:
    """Return a flavor that matches exactly, or (None, how the most similar one differs)."""
    best, reason = -1, "the site shows no flavor"
    for flavor in found:
        difference = flavor_difference(wanted, flavor)
        if not difference:
            return flavor, ""
        alike = sum(getattr(wanted, f) == getattr(flavor, f) for f in ("vcpus", "ram", "disk", "ephemeral", "swap"))
        if alike > best:
            best, reason = alike, f"the nearest, {flavor.flavor_id}, differs: {difference}"
    return None, reason


def carried_properties(wanted: ImageSpec) -> dict[str, str]:
    """Return the image properties that go down with an image."""
    return {k: v for k, v in wanted.properties.items() if k not in _OWN_NAMES and not k.startswith(_OWN_PROPERTIES)}


def matching_image(wanted: ImageSpec, found: Iterable[Image]) -> Image | None:
    """Return the image with the same content that boots the same way; ours first, then the oldest.

    The property alone proves nothing: Nova's snapshots inherit it from the image a server was made of.
    """
    usable = [image for image in found if _same_content(wanted, image) and _boots_alike(wanted, image)]
    return min(usable, key=lambda image: (not _is_ours(wanted, image), image.created, image.image_id), default=None)


def made_image(wanted: ImageSpec, found: Iterable[Image]) -> Image | None:
    """Return the image we made for the wanted one in a Glance whose hashes cannot be compared with those above."""
    return next(
        (
            image
            for image in found
            if image.status == "active"
            and _is_ours(wanted, image)
            and (was_carried(image) or is_snapshot(image))
            and holds(wanted, image)
            and image.disk_format == wanted.disk_format
        ),
        None,
    )


def holds(wanted: ImageSpec, image: Image) -> bool:
    """Whether an image has the content it was sent: by the hash if Glance uses the same one as above, else by size."""
    if image.hash_algo == wanted.hash_algo:
        return image.hash_value == wanted.hash_value
    return image.size == wanted.size


def pools(subnet: SubnetSpec) -> list[dict[str, str]]:
    """Return site_addresses as Neutron allocation pools; neighbours become one range."""
    addresses = sorted({ip_address(text) for text in subnet.site_addresses}, key=int)
    ranges: list[list[IPv4Address | IPv6Address]] = []
    for address in addresses:
        if ranges and int(ranges[-1][1]) + 1 == int(address):
            ranges[-1][1] = address
        else:
            ranges.append([address, address])
    return [{"start": str(first), "end": str(last)} for first, last in ranges]


def same_pools(wanted: list[dict[str, str]], found: list[dict[str, Any]]) -> bool:
    """Whether two lists of allocation pools hold the same addresses (as long as neither has needless splits)."""
    return {(p["start"], p["end"]) for p in wanted} == {(p["start"], p["end"]) for p in found}


def _same_content(wanted: ImageSpec, image: Image) -> bool:
    hashes = image.hash_algo == wanted.hash_algo and image.hash_value == wanted.hash_value
    return image.status == "active" and hashes and image.disk_format == wanted.disk_format


def _is_ours(wanted: ImageSpec, image: Image) -> bool:
    return image.properties.get(IMAGE_PROPERTY) == wanted.image_id


def _boots_alike(wanted: ImageSpec, image: Image) -> bool:
    if _is_ours(wanted, image):
        return True
    keys = [key for key in (*wanted.properties, *image.properties) if key.startswith(("hw_", "os_type", "os_require"))]
    return all(wanted.properties.get(key) == image.properties.get(key) for key in keys)
