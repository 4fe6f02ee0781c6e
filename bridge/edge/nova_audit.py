"""What Nova's usage audit reads and notes above: the instances of a period, and that a host has told of them."""

import datetime
from typing import Any

from bridge.core.audit_period import AuditPeriod
from bridge.edge import nova_objects
from bridge.edge.nova_conductor import PAGE
from bridge.edge.nova_conductor_rpc import ConductorRpc, RemoteFailure, admin_context
from bridge.edge.nova_objects import unwrap

TASK = "instance_usage_audit"  # GET /os-instance_usage_audit_log shows it
ATTRIBUTES = ["system_metadata", "info_cache", "metadata", "flavor"]
_BEGUN = ("TaskAlreadyRunning",)


class NovaAudit:
    """Client of one cell's conductors."""

    def __init__(self, rpc: ConductorRpc) -> None:
        self._rpc = rpc

    async def begun(self, host: str, period: AuditPeriod) -> bool:
        """Whether some host of that name has begun to tell of a period."""
        times = [_parameter(period.beginning), _parameter(period.ending)]
        return bool(await self._rpc.of_class(admin_context(), "TaskLog", "get", TASK, *times, host))

    async def begin(self, host: str, period: AuditPeriod, instances: int) -> bool:
        """Note that it has begun; False if another was faster."""
        log = self._log(host, period, "Instance usage audit started...", task_items=instances)
        try:
            await self._rpc.of_object(admin_context(), log, "begin_task")
        except RemoteFailure as error:
            if error.kind not in _BEGUN:
                raise
            return False
        return True

    async def end(self, host: str, period: AuditPeriod, told: int) -> None:
        """Note that all is told."""
        message = f"Instance usage audit ran for host {host}, {told} instances"
        await self._rpc.of_object(admin_context(), self._log(host, period, message, errors=0), "end_task")

    async def page(self, host: str, period: AuditPeriod, marker: str | None) -> list[dict[str, Any]]:
        """Return up to PAGE instances that were there at some time of a period, deleted ones too, after ``marker``."""
        begin, end = _aware(period.beginning), _aware(period.ending)
        found = await self._rpc.of_class(
            admin_context(),
            "InstanceList",
            "_get_active_by_window_joined",
            nova_objects.timestamp(begin),
            nova_objects.timestamp(end),
            host=host,
            expected_attrs=ATTRIBUTES,
            limit=PAGE,
            marker=marker,
        )
        instances: list[dict[str, Any]] = unwrap(found)
        return instances

    def _log(self, host: str, period: AuditPeriod, message: str, **numbers: int) -> nova_objects.Primitive:
        fields = {
            "task_name": TASK,
            "host": host,
            "period_beginning": _aware(period.beginning),
            "period_ending": _aware(period.ending),
            "message": message,
            **numbers,
        }
        return nova_objects.primitive("TaskLog", fields)


def _aware(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC)


def _parameter(moment: datetime.datetime) -> str:
    """Return a time as Nova's serialize_args sends it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
