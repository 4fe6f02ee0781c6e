"""One bridge that owns site paris, and the systems around it in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from bridge.core import inventory, keys
from bridge.core.records import SiteLife, SiteSpec
from bridge.edge.nova_conductor import ServiceGone
from bridge.heartbeats import Heartbeats
from bridge.presence import Presence
from proto.codec import from_json
from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Capacity, SiteHost, SiteStatus
from tests.fakes.placement import FakePlacement

HOST = "paris-1"
CAPACITY = Capacity(640, 1_048_576, 20_000, 64, 262_144, 4_000, 10, traits=["CUSTOM_GOLD"])


@dataclass
class Clock:
    """Monotonic seconds; UTC runs beside it."""

    seconds: float = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> float:
        return 1_800_000_000.0 + self.seconds


@dataclass
class Nova:
    """nova-conductor and nova-api of one cloud in memory; ``calls`` is what changed, in order."""

    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)
    unmapped: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    version: int = 74
    away: bool = False
    before_get: Callable[[], None] = lambda: None

    async def conductor_service_version(self) -> int:
        self._answer()
        return self.version

    async def get_service(self, host: str) -> Mapping[str, Any] | None:
        self._answer()
        self.before_get()
        return dict(self.services[host]) if host in self.services else None

    async def create_service(self, host: str, version: int) -> Mapping[str, Any]:
        self._answer()
        self.calls.append(f"create service {host} v{version}")
        self.services[host] = {
            "id": 7,
            "uuid": f"uuid-{host}",
            "report_count": 0,
            "disabled": False,
            "disabled_reason": None,
            "forced_down": False,
        }
        return dict(self.services[host])

    async def heartbeat(self, service_id: int, report_count: int, version: int) -> Mapping[str, Any]:
        self._answer()
        for service in self.services.values():
            if service["id"] == service_id:
                service["report_count"] = report_count
                return dict(service)
        raise ServiceGone(f"service {service_id}")

    async def get_compute_node(self, host: str) -> Mapping[str, Any] | None:
        self._answer()
        return self.nodes.get(host)

    async def create_compute_node(self, fields: dict[str, Any]) -> Mapping[str, Any]:
        self._answer()
        self.calls.append(f"create node {fields['host']} vcpus={fields['vcpus']}")
        self.nodes[fields["host"]] = {"id": 3, **fields}
        return self.nodes[fields["host"]]

    async def save_compute_node(self, node_id: int, fields: dict[str, Any]) -> object:
        self._answer()
        self.calls.append(f"save node vcpus={fields['vcpus']}")
        next(node for node in self.nodes.values() if node["id"] == node_id).update(fields)
        return None

    async def set_service_disabled(self, service_id: int, version: int, disabled: bool, reason: str | None) -> None:
        self._answer()
        self.calls.append(reason if disabled and reason else "enable")
        host = next(host for host, service in self.services.items() if service["id"] == service_id)
        self.disable(host, reason) if disabled else self.enable(host)

    async def ensure_in_zone(self, host: str, zone: str) -> None:
        self._answer()
        if host in self.unmapped:
            raise Unavailable(f"host {host} is not mapped")
        if self.zones.setdefault(host, zone) != zone:
            raise Refused(FaultCode.CONFLICT, "in another zone")
        self.calls.append(f"zone {zone}")

    def disable(self, host: str, reason: str | None) -> None:
        self.services[host] |= {"disabled": True, "disabled_reason": reason}

    def enable(self, host: str) -> None:
        self.services[host] |= {"disabled": False, "disabled_reason": None}

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("nova is away")


@dataclass
class Lease:
    """Counts its refreshes."""

    id: int
    refreshed: int = 0

    async def refresh(self) -> None:
        self.refreshed += 1


@dataclass
class Store:
    """etcd, as far as presence writes it."""

    values: dict[str, tuple[bytes, int | None]] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)
    away: bool = False

    async def grant(self, ttl: int, *, kept: bool = True) -> Lease:
        assert (ttl, kept) == (30, False)
        self.leases.append(Lease(len(self.leases) + 1))
        return self.leases[-1]

    async def get(self, key: str) -> Any:
        if self.away:
            raise Unavailable("etcd is away")
        return SimpleNamespace(value=self.values[key][0]) if key in self.values else None

    async def put(
        self, key: str, value: bytes, *, guard: tuple[str, int] | None = None, lease: int | None = None
    ) -> object:
        if self.away:
            raise Unavailable("etcd is away")
        self.values[key] = (value, lease)
        return 1


class World:
    """One bridge that owns site paris, and the systems around it."""

    def __init__(self, nova: Nova | None = None, spec: SiteHost | None = None) -> None:
        self.clock = Clock()
        self.nova = nova or Nova()
        self.placement = FakePlacement()
        self.store = Store()
        self.spec = spec or SiteHost(HOST, "paris")
        self.heartbeats = Heartbeats(self.nova, monotonic=self.clock.monotonic, now=self.clock.now)
        self.site = SiteSpec("paris", [self.spec], "", "")
        self.presence = self.owner()

    def owner(self) -> Presence:
        return Presence(
            self.site,
            conductor=self.nova,
            placement=self.placement,
            nova_api=self.nova,
            store=self.store,
            heartbeats=self.heartbeats,
            monotonic=self.clock.monotonic,
            now=self.clock.now,
        )

    async def hear(
        self,
        seconds: float = 5.0,
        capacity: Capacity | None = CAPACITY,
        problem: str | None = None,
        ahead: float = 0.0,
        epoch: int = 0,
    ) -> None:
        self.clock.seconds += seconds
        zones = {"": capacity} if capacity else {}
        status = SiteStatus("paris", "a", self.clock.now() + ahead, 0.0, zones, {}, 0, problem, epoch=epoch)
        await self.presence.on_status(status)
        await self.presence.round()

    async def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds
        await self.presence.round()

    async def beat(self) -> None:
        self.clock.seconds += 10
        for heart in self.heartbeats._due():
            await self.heartbeats._beat(heart)

    async def online(self) -> None:
        await self.presence.round()
        await self.hear()
        await self.hear()

    @property
    def life(self) -> str:
        """The state that is told of the site."""
        return from_json(self.store.values[keys.life("paris")][0], SiteLife).state

    @property
    def service(self) -> dict[str, Any]:
        return self.nova.services[HOST]

    @property
    def provider(self) -> Any:
        return self.placement.providers[inventory.node_uuid(HOST)]
