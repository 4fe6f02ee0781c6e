"""When is a flavor another flavor, and which version of it is this? Pure; `now` is UTC epoch s."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.core.records import FlavorVersion
from proto.specs import FlavorSpec

REMEMBERED = 64  # former contents whose number is kept: a boot that was under way during a change still names its own


def digest(flavor: FlavorSpec) -> str:
    """Return a digest of what a server gets from a flavor: vcpus, ram, disks, swap and extra specs, not its name."""
    content = [
        flavor.vcpus,
        flavor.ram,
        flavor.disk,
        flavor.ephemeral,
        flavor.swap,
        sorted(flavor.extra_specs.items()),
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def of_api(flavor: Mapping[str, Any]) -> FlavorSpec:
    """Return the contract's flavor, without a version, from an entry of Nova's GET /flavors/detail (2.61 and above)."""
    return FlavorSpec(
        flavor_id=str(flavor["id"]),
        name=str(flavor["name"]),
        version=0,
        vcpus=int(flavor["vcpus"]),
        ram=int(flavor["ram"]),
        disk=int(flavor["disk"]),
        ephemeral=int(flavor.get("OS-FLV-EXT-DATA:ephemeral") or 0),
        swap=int(flavor.get("swap") or 0),  # "" for none before 2.75
        extra_specs={str(key): str(value) for key, value in (flavor.get("extra_specs") or {}).items()},
    )


def numbered(record: FlavorVersion | None, content: str) -> tuple[FlavorVersion, int]:
    """Return the record with a number for a content that a boot brings, and that number.

    What the flavor is above now is left alone: a boot may bring what it was some time ago.
    """
    known = record or FlavorVersion(0, "")
    if known.version and known.digest == content:
        return known, known.version
    if content in known.past:
        return known, known.past[content]
    number = _last(known) + 1
    return msgspec.structs.replace(known, last=number, past=_remembering(known.past, content, number)), number


def seen(record: FlavorVersion | None, flavor: FlavorSpec) -> FlavorVersion:
    """Return the record of a flavor as it is above now: the same one if nothing changed, else with the next number."""
    content = digest(flavor)
    known = record or FlavorVersion(0, "")
    if known.version and known.digest == content:
        number, past = known.version, known.past
    else:
        # A boot may have brought this content before the look above did: then it has its number. A content that
        # comes back gets a new one, as versions count up.
        brought = known.past.get(content, 0)
        number = brought if brought > known.version else _last(known) + 1
        past = _remembering(known.past, known.digest, known.version) if known.version else known.past
    return FlavorVersion(
        version=number,
        digest=content,
        last=max(_last(known), number),
        past={key: version for key, version in past.items() if key != content},
        definition=msgspec.structs.replace(flavor, version=number),
    )


def gone(record: FlavorVersion, now: float) -> FlavorVersion:
    """Return the record of a flavor that is not above any more; its numbers stay taken."""
    return msgspec.structs.replace(record, deleted_at=now)


def beyond(record: FlavorVersion, taken: int) -> FlavorVersion:
    """Return the record of a flavor of which a site holds a version that was never given: etcd had lost its count.

    What has been counted since may stand for other contents there, so all of it gets new numbers above that one.
    """
    definition = record.definition and msgspec.structs.replace(record.definition, version=taken + 1)
    number = taken + 1 if record.version else 0
    return msgspec.structs.replace(record, version=number, last=taken + 1, past={}, definition=definition)


def is_above(record: FlavorVersion) -> bool:
    """Whether the flavor exists above and its present content is known."""
    return record.definition is not None and record.deleted_at is None


def _last(record: FlavorVersion) -> int:
    return max(record.last, record.version)


def _remembering(past: Mapping[str, int], content: str, number: int) -> dict[str, int]:
    kept = {key: version for key, version in past.items() if key != content} | {content: number}
    return dict(list(kept.items())[-REMEMBERED:])
