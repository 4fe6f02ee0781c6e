"""Builds that were lost before they reached a site's host: only Placement still knows of them."""

import time
from collections.abc import Collection, Iterable

from bridge.core.reconciler import DELIVERY
from bridge.core.shelving import OFFLOADED
from bridge.edge.nova_conductor import NovaConductor, admin_context
from bridge.edge.placement import Placement
from bridge.instances import Instances
from bridge.presence import Presence
from bridge.repairs import FailBuild, Repairs
from bridge.requests import rpc
from proto.errors import FaultCode
from proto.messages import Fault
from proto.operations import Verb

FAULT = Fault(FaultCode.SITE_FAULT, "the build was lost before it reached the site's host")


class LostBuilds:
    """One owned site. Nova 34, _error_out_instances_whose_build_was_interrupted: allocations here, without a host."""

    def __init__(
        self,
        hosts: Iterable[str],
        instances: Instances,
        conductor: NovaConductor,
        placement: Placement,
        presence: Presence,
        repairs: Repairs,
        fail_build: FailBuild,
    ) -> None:
        self._hosts = list(hosts)
        self._instances = instances
        self._conductor = conductor
        self._placement = placement
        self._presence = presence
        self._repairs = repairs
        self._fail_build = fail_build
        self._since: dict[str, float] = {}  # by instance: monotonic s of the first call that found it lost

    async def end(self, known: Collection[str]) -> None:
        """End those that were lost DELIVERY s ago already; ``known``: instances that are looked at otherwise."""
        lost: dict[str, float] = {}
        for host in self._hosts:
            for consumer in await self._placement.consumers(self._presence.node_of(host).provider):
                if consumer in known or self._instances.get(consumer) is not None:
                    continue
                if verb := await self._lost_verb(consumer):
                    since = lost[consumer] = self._since.get(consumer, time.monotonic())
                    if time.monotonic() - since >= DELIVERY and not await self._repairs.busy(consumer):
                        await self._fail_build(rpc(host, consumer, verb), FAULT)
        self._since = lost

    async def _lost_verb(self, uuid: str) -> Verb | None:
        """Return what never reached a host, None if the instance waits for nothing."""
        instance = await self._conductor.get_instance(admin_context(), uuid)
        if instance is None or instance["host"]:
            return None
        if (instance["vm_state"], instance["task_state"]) == (OFFLOADED, "unshelving"):
            return Verb.UNSHELVE
        return Verb.CREATE if instance["vm_state"] == "building" else None
