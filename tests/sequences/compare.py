"""What is compared of two runs of one sequence, and where they may differ. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GONE = {"status": "gone"}
UNSETTLED = {"settled": False}

# Fields of GET /servers/{id} that differ, each with its reason; all others, and all status codes, must be equal.
LISTED = {
    "OS-EXT-AZ:availability_zone": "the zone above is the site's name for tenants; the plain cloud has its own",
    "hostId": "Nova hashes host and project: other clouds, other hashes",
    "addresses": "two networks of two clouds; how many addresses there are is compared",
    "links": "the address of the API",
}
MOMENTS = ("created", "updated", "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at")  # set or not
IDS = ("id", "tenant_id", "user_id", "pinned_availability_zone")  # names of each cloud's own: set or not


@dataclass(frozen=True, slots=True)
class Step:
    """What a tenant saw of one call: its status code, the words of a refusal, and the server once it had settled."""

    call: str
    code: int
    message: str
    seen: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a tenant of the cascade sees otherwise than one of a plain Nova."""

    step: int
    call: str
    what: str
    plain: Any
    cascade: Any


def visible(server: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a server as two clouds can show it alike: ids by what they stand for, moments by whether they are set."""
    shown = {name: value for name, value in server.items() if name not in LISTED}
    shown["number of addresses"] = sum(len(addresses) for addresses in server.get("addresses", {}).values())
    shown.update({name: bool(server[name]) for name in MOMENTS if name in server})
    shown.update({name: bool(server[name]) for name in IDS if name in server})
    if server.get("image"):
        shown["image"] = names.get(server["image"]["id"], server["image"]["id"])
    if server.get("fault"):
        shown["fault"] = {"code": server["fault"]["code"], "message": server["fault"]["message"]}
    return shown


def imaged(image: Mapping[str, Any]) -> str:
    """Return what two clouds show alike of an image of a server."""
    told = (
        "status",
        "disk_format",
        "container_format",
        "min_disk",
        "min_ram",
        "visibility",
        "image_type",
        "backup_type",
    )
    return " ".join(f"{name}={image.get(name)}" for name in (*told, "image_state", "image_location"))


def differences(plain: list[Step], cascade: list[Step]) -> list[Difference]:
    """Return what differs, step by step; after a first one the rest may be its consequences."""
    found: list[Difference] = []
    for number, (one, other) in enumerate(zip(plain, cascade, strict=True)):
        pairs = [("status code", one.code, other.code), ("message", one.message, other.message)]
        pairs += [(name, one.seen.get(name), other.seen.get(name)) for name in sorted({*one.seen, *other.seen})]
        found += [Difference(number, one.call, *pair) for pair in pairs if pair[1] != pair[2]]
    return found
