"""One Nova host above that stands for a site: service, compute node, resource provider, inventory, traits and zone."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.core import inventory
from bridge.core.inventory import Inventory, Liveness
from bridge.heartbeats import Heartbeats
from proto.errors import Stale
from proto.messages import Capacity, SiteHost

LOG = logging.getLogger(__name__)

REFRESH_INTERVAL = 60.0  # s between two writes of what did not change: Nova shows the age, others may have changed it
NOT_SAVED = ("uuid", "host", "hypervisor_hostname")  # fields of a compute node that never change


class Conductor(Protocol):
    """What registering needs of nova-conductor."""

    async def get_service(self, host: str) -> Mapping[str, Any] | None:
        """Return the host's nova-compute service."""
        ...

    async def create_service(self, host: str, version: int) -> Mapping[str, Any]:
        """Create it, or return the one that is there."""
        ...

    async def set_service_disabled(self, service_id: int, version: int, disabled: bool, reason: str | None) -> None:
        """Disable or enable it; unlike the REST API this calls nobody back."""
        ...

    async def get_compute_node(self, host: str) -> Mapping[str, Any] | None:
        """Return the host's only compute node."""
        ...

    async def create_compute_node(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create it."""
        ...

    async def save_compute_node(self, node_id: int, fields: Mapping[str, Any]) -> object:
        """Change some fields of it."""
        ...


class Placement(Protocol):
    """What registering needs of Placement."""

    async def ensure_provider(self, uuid: str, name: str) -> None:
        """Make it exist."""
        ...

    async def set_inventories(self, uuid: str, ours: Inventory) -> bool:
        """Set our resource classes."""
        ...

    async def set_traits(self, uuid: str, ours: Collection[str], formerly_ours: Collection[str] = ()) -> bool:
        """Set our traits."""
        ...

    async def set_disabled(self, uuid: str, disabled: bool) -> bool:
        """Set or unset COMPUTE_STATUS_DISABLED."""
        ...


class NovaApi(Protocol):
    """What registering needs of Nova's REST API."""

    async def ensure_in_zone(self, host: str, zone: str) -> None:
        """Put the host into its availability zone."""
        ...


@dataclass(frozen=True, slots=True)
class Edges:
    """The outside systems a host lives in."""

    conductor: Conductor
    placement: Placement
    nova_api: NovaApi
    heartbeats: Heartbeats
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Node:
    """How Nova knows a registered host; what an instance claimed by it must carry."""

    host: str
    node: str  # hypervisor_hostname
    compute_id: int  # database id of the compute node
    service_id: int
    provider: str  # uuid of the compute node and of the resource provider


class HostPresence:
    """One host. Its methods are called by one task, but for ``on_beat`` and ``set_enabled``; all may be repeated."""

    def __init__(self, site: str, spec: SiteHost, edges: Edges, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self.node: Node | None = None
        self.new = False  # the service was made by us just now
        self.gone = False  # an operator deleted the service
        self.in_zone = False
        self.disabled = False
        self.reason: str | None = None
        self.forced_down = False
        self._site = site
        self._edges = edges
        self._on_change = on_change
        self._switched_at = float("-inf")  # monotonic s
        self._shown: tuple[Inventory, frozenset[str]] | None = None
        self._shown_at = float("-inf")  # monotonic s

    async def register(self) -> None:
        """Make service, compute node and provider exist, and begin to beat; the order is Nova's.

        A new host has no inventory, so nothing is scheduled to it before ``show``.
        """
        host, edges = self.spec.host, self._edges
        service = await edges.conductor.get_service(host)
        if service is None:
            self.new = True
            service = await edges.conductor.create_service(host, await edges.heartbeats.version())
            LOG.info("site=%s host=%s: registered as a new compute service", self._site, host)
        self._take(service)
        edges.heartbeats.keep(host, int(service["id"]), int(service.get("report_count") or 0), self.on_beat)
        node = await edges.conductor.get_compute_node(host)
        if node is None:
            node = await edges.conductor.create_compute_node(inventory.compute_node(host, self._site, None))
        await edges.placement.ensure_provider(str(node["uuid"]), host)
        self.node = Node(host, host, int(node["id"]), int(service["id"]), str(node["uuid"]))

    async def join_zone(self) -> None:
        """Put the host into its availability zone; Unavailable until Nova has mapped it to its cell."""
        if not self.in_zone:
            await self._edges.nova_api.ensure_in_zone(self.spec.host, self.spec.availability_zone)
            self.in_zone = True

    async def show(self, capacity: Capacity, offer: Inventory) -> None:
        """Write inventory, traits and compute node if they changed, or were not written for REFRESH_INTERVAL.

        What is used changes all the time, and only people read it: it alone is no reason to write.
        """
        now, node, host = self._edges.monotonic(), self._registered(), self.spec.host
        offered = inventory.with_vanished(offer, self._shown[0] if self._shown else {})
        wanted = (offered, inventory.traits(capacity.traits, self.disabled))
        if wanted == self._shown and now - self._shown_at < REFRESH_INTERVAL:
            return
        fields = inventory.compute_node(host, self._site, capacity, offer)
        for name in NOT_SAVED:
            del fields[name]
        await self._edges.conductor.save_compute_node(node.compute_id, fields)
        await self._edges.placement.set_inventories(node.provider, wanted[0])
        await self._edges.placement.set_traits(node.provider, wanted[1], self._shown[1] if self._shown else ())
        if self._shown is None or wanted[0] != self._shown[0]:
            LOG.info("site=%s host=%s: %s", self._site, host, _in_words(wanted[0]))
        self._shown, self._shown_at = wanted, now

    async def switch(self, live: Liveness | None, obstacle: str | None) -> None:
        """Disable or enable the service if that is due; what an operator disabled is left alone."""
        if inventory.switch(self.disabled, self.reason, live, obstacle) is None:
            return
        # Since the last heartbeat an operator may have disabled it for reasons of his own: look before writing.
        conductor = self._edges.conductor
        service = await conductor.get_service(self.spec.host)
        if service is None:
            return  # the next heartbeat says so too
        self._take(service)
        change = inventory.switch(self.disabled, self.reason, live, obstacle)
        if change is None:
            return
        version = await self._edges.heartbeats.version()
        await conductor.set_service_disabled(self._registered().service_id, version, change.disabled, change.reason)
        self.disabled, self.reason = change.disabled, change.reason
        self._switched_at = self._edges.monotonic()
        LOG.info("site=%s host=%s: %s", self._site, self.spec.host, change.reason or "enabled, the site is online")
        await self._mark()

    async def set_enabled(self, enabled: bool) -> str:
        """Answer Nova's CALL set_host_enabled: the service was just switched, so the trait must follow at once.

        Why it was disabled comes with the next heartbeat; until then it counts as an operator's doing.
        """
        if self.disabled == enabled:
            self.disabled, self.reason = not enabled, None
            self._switched_at = self._edges.monotonic()
        await self._mark()
        return "enabled" if enabled else "disabled"

    def on_beat(self, sent_at: float, service: Mapping[str, Any] | None) -> None:
        """Take what a heartbeat brought back, unless it was sent before our own last switch."""
        if service is None:
            self.gone = True
        elif sent_at > self._switched_at:
            before = (self.disabled, self.reason, self.forced_down)
            self._take(service)
            if before == (self.disabled, self.reason, self.forced_down):
                return
        self._on_change()

    def _take(self, service: Mapping[str, Any]) -> None:
        self.disabled = bool(service.get("disabled"))
        self.reason = service.get("disabled_reason")
        self.forced_down = bool(service.get("forced_down"))

    async def _mark(self) -> None:
        if self.node is not None:
            await self._edges.placement.set_disabled(self.node.provider, self.disabled)

    def _registered(self) -> Node:
        if self.node is None:
            raise Stale(f"host {self.spec.host} is not registered in Nova yet")
        return self.node


def _in_words(wanted: Inventory) -> str:
    return ", ".join(f"{name} {int(values['total'])}" for name, values in wanted.items())
