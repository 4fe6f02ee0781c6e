"""A Placement in memory, with the interface of bridge.edge.placement."""

from collections.abc import Collection
from dataclasses import dataclass, field

from bridge.core.inventory import DISABLED_TRAIT, Inventory, merged_traits
from proto.errors import FaultCode, Refused, Unavailable


@dataclass(slots=True)
class Provider:
    """One resource provider."""

    name: str
    inventories: Inventory = field(default_factory=dict)
    traits: set[str] = field(default_factory=set)
    aggregates: list[str] = field(default_factory=list)


class FakePlacement:
    """``allocations`` maps a consumer to the provider it holds something of; ``away`` makes every call fail."""

    def __init__(self, unknown_traits: Collection[str] = ()) -> None:
        self.providers: dict[str, Provider] = {}
        self.allocations: dict[str, str] = {}
        self.former: dict[str, set[str]] = {}  # consumer -> providers that it was evacuated from
        self.unknown_traits = frozenset(unknown_traits)
        self.away = False

    async def ensure_provider(self, uuid: str, name: str) -> None:
        """Make the provider exist; Refused if another one has the name."""
        self._answer()
        if any(other.name == name for key, other in self.providers.items() if key != uuid):
            raise Refused(FaultCode.CONFLICT, f"another resource provider is named {name}")
        self.providers.setdefault(uuid, Provider(name)).name = name

    async def set_inventories(self, uuid: str, ours: Inventory) -> bool:
        """Set our resource classes."""
        provider = self._provider(uuid)
        before = dict(provider.inventories)
        provider.inventories.update(ours)
        return provider.inventories != before

    async def set_traits(self, uuid: str, ours: Collection[str], formerly_ours: Collection[str] = ()) -> bool:
        """Set our traits and keep the operators' CUSTOM_ ones."""
        provider = self._provider(uuid)
        before = provider.traits
        provider.traits = set(merged_traits(before, set(ours) - self.unknown_traits, formerly_ours))
        return provider.traits != before

    async def set_disabled(self, uuid: str, disabled: bool) -> bool:
        """Set or unset COMPUTE_STATUS_DISABLED."""
        provider = self._provider(uuid)
        before = set(provider.traits)
        provider.traits = before | {DISABLED_TRAIT} if disabled else before - {DISABLED_TRAIT}
        return provider.traits != before

    async def delete_allocations(self, consumer: str) -> None:
        """Give back all a consumer holds."""
        self._answer()
        self.allocations.pop(consumer, None)
        self.former.pop(consumer, None)

    async def remove_allocation(self, consumer: str, provider: str) -> None:
        """Give back what a consumer holds of one provider."""
        self._answer()
        former = self.former.get(consumer, set())
        if self.allocations.get(consumer) != provider:
            former.discard(provider)
        elif former:
            self.allocations[consumer] = former.pop()
        else:
            del self.allocations[consumer]
        if not former:
            self.former.pop(consumer, None)

    async def move_allocations(self, source: str, target: str) -> bool:
        """Give ``target`` what ``source`` holds."""
        self._answer()
        if source not in self.allocations:
            return False
        self.allocations[target] = self.allocations.pop(source)
        return True

    async def consumers(self, uuid: str) -> list[str]:
        """Return who holds something of a provider."""
        self._answer()
        held = [consumer for consumer, provider in self.allocations.items() if provider == uuid]
        return [*held, *(consumer for consumer, providers in self.former.items() if uuid in providers)]

    async def aggregates(self, uuid: str) -> list[str]:
        """Return the aggregates of a provider."""
        self._answer()
        return list(self.providers[uuid].aggregates) if uuid in self.providers else []

    def _provider(self, uuid: str) -> Provider:
        self._answer()
        if uuid not in self.providers:
            raise Refused(FaultCode.REJECTED, f"no resource provider {uuid}")
        return self.providers[uuid]

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("placement is away")
