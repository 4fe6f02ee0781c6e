"""Nova's periodic usage audit: once a period each host tells which instances existed in it."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from bridge.core import audit_period
from bridge.core.audit_period import AuditPeriod
from bridge.edge.nova_audit import NovaAudit
from bridge.edge.nova_conductor import PAGE, admin_context
from bridge.notifications import Notifications
from proto.errors import CascadeError

LOG = logging.getLogger(__name__)

LOOK = 60.0  # s between two looks whether a period is over, as nova-compute's


class UsageAudit:
    """The hosts of one owned site; ``period`` is Nova's option instance_usage_audit_period.

    Nova's task log says which host has told of which period, so that it is told once, whichever bridge has the site.
    """

    def __init__(self, hosts: Sequence[str], audit: NovaAudit, notifications: Notifications, period: str) -> None:
        self._hosts = hosts
        self._audit = audit
        self._notifications = notifications
        self._period = period
        self._told: set[tuple[str, AuditPeriod]] = set()

    async def run(self) -> None:
        """Tell of each period that ends, until cancelled."""
        while True:
            period = audit_period.last_completed(self._period, audit_period.utc(time.time()))
            self._told = {known for known in self._told if known[1] == period}
            for host in self._hosts:
                try:
                    await self._tell(host, period)
                except CascadeError as error:
                    LOG.warning("host=%s usage is not told yet: %s", host, error)
            await asyncio.sleep(LOOK)

    async def _tell(self, host: str, period: AuditPeriod) -> None:
        if (host, period) in self._told:
            return
        if not await self._audit.begun(host, period):
            instances = await self._instances(host, period)
            if await self._audit.begin(host, period, len(instances)):
                await self._tell_all(host, period, instances)
                await self._audit.end(host, period, len(instances))
                LOG.info("host=%s usage of %d instances told, from %s", host, len(instances), period.beginning)
        self._told.add((host, period))

    async def _instances(self, host: str, period: AuditPeriod) -> list[dict[str, Any]]:
        """Return all of them, which the task log is to count before the first is told."""
        instances: list[dict[str, Any]] = []
        while True:
            page = await self._audit.page(host, period, instances[-1]["uuid"] if instances else None)
            instances += page
            if len(page) < PAGE:
                return instances

    async def _tell_all(self, host: str, period: AuditPeriod, instances: list[dict[str, Any]]) -> None:
        context = admin_context()
        for number, instance in enumerate(instances):
            if number % PAGE == 0:
                await self._notifications.room()
            self._notifications.exists(instance, host, context, period)
