"""Which of the things a site carries for us does nothing above need any more? Pure; times are UTC epoch s."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bridge.core import flavor_digest
from bridge.core.records import FlavorVersion
from proto.messages import Holding, HoldingKind

GROUP_KEEP = 600.0  # s an empty server group stays
KEYPAIR_KEEP = 600.0  # s an unused keypair stays, as one tenant often boots several servers in a row


@dataclass(frozen=True, slots=True)
class Needs:
    """What operations under way name: never dropped, whatever it looks like."""

    flavors: frozenset[str] = frozenset()  # ids above, any version
    images: frozenset[str] = frozenset()  # ids above
    keypairs: frozenset[str] = frozenset()  # fingerprints
    groups: frozenset[str] = frozenset()  # ids above


@dataclass(frozen=True, slots=True)
class Above:
    """What is known of the cascading cloud."""

    versions: Mapping[str, FlavorVersion]  # of all flavors
    images_gone: Collection[str]  # ids that Glance said are deleted
    image_keep: float  # s an unused copy of an image stays


def unneeded(holdings: Iterable[Holding], above: Above, needs: Needs, now: float) -> list[tuple[Holding, str]]:
    """Return what to drop, and why. What a server of the site uses always stays."""
    reasons = [(holding, _reason(holding, above, needs, now)) for holding in holdings if not holding.used]
    return [(holding, reason) for holding, reason in reasons if reason]


def images_to_look_up(holdings: Iterable[Holding], needs: Needs) -> list[str]:
    """Return the images above whose deletion would let a copy go."""
    images = {one.source for one in holdings if one.kind is HoldingKind.IMAGE and not one.used}
    return sorted(images - needs.images)


def taken_numbers(holdings: Iterable[Holding], versions: Mapping[str, FlavorVersion]) -> dict[str, int]:
    """Return flavor -> version for those that a site has beyond the last number given: etcd lost its count."""
    taken: dict[str, int] = {}
    for one in holdings:
        record = versions.get(one.source)
        if one.kind is HoldingKind.FLAVOR and record is not None and one.version > max(record.last, record.version):
            taken[one.source] = max(one.version, taken.get(one.source, 0))
    return taken


def _reason(holding: Holding, above: Above, needs: Needs, now: float) -> str:
    match holding.kind:
        case HoldingKind.FLAVOR:
            return "" if holding.source in needs.flavors else _flavor(holding, above.versions.get(holding.source))
        case HoldingKind.IMAGE:
            return "" if holding.source in needs.images else _image(holding, above, now)
        case HoldingKind.KEYPAIR:
            idle = holding.source not in needs.keypairs and _idle(holding, now) >= KEYPAIR_KEEP
            return "no server uses it" if idle else ""
        case HoldingKind.SERVER_GROUP:
            idle = holding.source not in needs.groups and _idle(holding, now) >= GROUP_KEEP
            return "no server is in it" if idle else ""


def _flavor(holding: Holding, record: FlavorVersion | None) -> str:
    if record is None or not flavor_digest.is_above(record):
        return "the flavor is not above any more"
    return "" if holding.version == record.version else f"version {record.version} took its place"


def _image(holding: Holding, above: Above, now: float) -> str:
    if holding.source in above.images_gone:
        return "the image was deleted above"
    return "no server has used it for long" if _idle(holding, now) >= above.image_keep else ""


def _idle(holding: Holding, now: float) -> float:
    return now - holding.unused_since
