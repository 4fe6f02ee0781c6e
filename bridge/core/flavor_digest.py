"""When is a flavor another flavor? Pure."""

import hashlib

import msgspec

from proto.messages import FlavorSpec


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
