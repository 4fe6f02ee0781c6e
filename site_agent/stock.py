"""What one agent process remembers of the things it made for boots: the newest flavors, and what lies unused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from proto.messages import Holding
from proto.specs import FlavorSpec


@dataclass(slots=True)
class Stock:
    """Only touched from the event loop; all of it comes back by being asked again."""

    flavors: dict[str, FlavorSpec] = field(default_factory=dict)  # by id above: the newest version asked for
    _unused: dict[tuple[str, str], float] = field(default_factory=dict)  # (kind, id here) -> epoch s first seen so

    def has(self, spec: FlavorSpec) -> None:
        """The site has a version of a flavor."""
        known = self.flavors.get(spec.flavor_id)
        if known is None or known.version <= spec.version:
            self.flavors[spec.flavor_id] = spec

    def lost(self, holding: Holding) -> None:
        """The site has a version of a flavor no more."""
        known = self.flavors.get(holding.source)
        if known is not None and known.version == holding.version:
            del self.flavors[holding.source]

    def dated(self, holdings: Iterable[Holding], now: float, asked_at: Callable[[str], float]) -> list[Holding]:
        """Return them with the time since when each unused one has been seen unused and not asked for.

        ``asked_at``: id here -> epoch s of the last time that somebody needed it, 0 = never.
        """
        seen = list(holdings)
        idle = {(one.kind.value, one.site_id) for one in seen if not one.used}
        self._unused = {key: self._unused.get(key, now) for key in idle}
        return [one if one.used else self._since(one, asked_at(one.site_id)) for one in seen]

    def _since(self, one: Holding, asked: float) -> Holding:
        seen = self._unused[(one.kind.value, one.site_id)]
        return msgspec.structs.replace(one, unused_since=max(seen, asked))
