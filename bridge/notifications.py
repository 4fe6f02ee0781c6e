"""What billing and DNS services listen to: Nova's notifications, sent where an action event begins or ends above.

The bridge stands where nova-compute would, which tells others of what it does (`notices` says what). Nobody waits for
it: a task of its own looks at the instance and hands over what there is to say, in order for each instance. After a
crash something may be told twice.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core import audit_period
from bridge.core.audit_period import AuditPeriod
from bridge.core.notices import (
    CREATE,
    EXISTS,
    REBUILD,
    RESCUE,
    SHUTDOWN,
    ActionEvent,
    Kind,
    Phase,
    legacy_type,
    notices,
    versioned_type,
)
from bridge.core.notification_payload import Subject, legacy_payload
from bridge.core.versioned_payload import versioned_payload
from bridge.edge.glance import Glance
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_notifications import Notification, NovaNotifications
from bridge.edge.nova_objects import unwrap
from bridge.flight import Flights
from proto.errors import CascadeError, Unavailable
from proto.messages import Rpc

LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 2000  # being put together in one site
TRIES = 6  # to read an instance while nova-conductor is away
LAST_WORDS = 5.0  # s for what is on its way when the site is given up
ATTRIBUTES = ("flavor", "metadata", "system_metadata", "info_cache")
OF_A_BOOT = (*ATTRIBUTES, "keypairs", "tags")
DELETED = "compute_terminate_instance"
NAMED_IMAGES = {CREATE: "image", REBUILD: "image_ref", RESCUE: "rescue_image_ref"}  # arguments of the RPC


@dataclass(frozen=True, slots=True)
class Telling:
    """How a bridge tells others of what its sites do."""

    sender: NovaNotifications
    glance_url: str  # of the cascading cloud, without a version
    period: str = "month"  # Nova's option instance_usage_audit_period
    audit: bool = False  # Nova's option instance_usage_audit


class Notifications:
    """Notifications of one owned site."""

    def __init__(self, conductor: NovaConductor, glance: Glance, flights: Flights, telling: Telling) -> None:
        self._conductor = conductor
        self._glance = glance
        self._flights = flights
        self._sender = telling.sender
        self._glance_url = telling.glance_url
        self._period = telling.period
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}  # by instance

    def heard(self, event: ActionEvent) -> None:
        """Tell of an action event that was begun or ended; returns at once and raises nothing."""
        told = notices(event)
        if not told:
            return
        if len(self._tasks) >= MOST_AT_ONCE:
            LOG.warning("instance=%s %s is told to nobody: too much at once", event.uuid, event.name)
            return
        work = self._tell(event, told, self._rpc(event), self._last.get(event.uuid))
        task = asyncio.get_running_loop().create_task(work, name=f"notify {event.uuid}")
        self._tasks.add(task)
        self._last[event.uuid] = task
        task.add_done_callback(lambda done: self._done(event.uuid, done))

    def exists(self, instance: Mapping[str, Any], host: str, context: Mapping[str, Any], period: AuditPeriod) -> None:
        """Tell that an instance was there in a period; raises nothing."""
        subject = Subject(instance, context, glance_url=self._glance_url, period=period)
        try:
            self._send(EXISTS, None, subject, host)
        except Exception:
            LOG.exception("instance=%s its usage is told to nobody", instance.get("uuid"))

    async def room(self) -> None:
        """Return once there is room for many more."""
        await self._sender.room()

    async def close(self) -> None:
        """Let what is on its way be told, for LAST_WORDS s at the most."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LAST_WORDS)

    def _done(self, uuid: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._last.get(uuid) is task:
            del self._last[uuid]

    def _rpc(self, event: ActionEvent) -> Rpc | None:
        """Return the RPC that an event belongs to, if it is under way here."""
        flight = self._flights.get(event.uuid)
        ours = flight is not None and flight.rpc.context.get("request_id") == event.context.get("request_id")
        return flight.rpc if flight is not None and ours else None

    async def _tell(
        self,
        event: ActionEvent,
        told: Sequence[tuple[Kind, Phase | None]],
        rpc: Rpc | None,
        before: "asyncio.Task[None] | None",
    ) -> None:
        try:
            args = unwrap(rpc.args) if rpc is not None else {}
            sent = args.get("instance") or {}
            instance = await self._instance(event, sent)
            if before is not None:
                await asyncio.wait({before})
            context = rpc.context if rpc is not None else event.context
            for kind, phase in told:
                shown = sent if kind is SHUTDOWN and ATTRIBUTES[0] in sent else instance  # it goes before the delete
                subject = Subject(
                    shown,
                    context,
                    args,
                    event.error,
                    self._glance_url,
                    await self._image_name(kind, args, instance),
                    audit_period.current(self._period, audit_period.utc(time.time())) if kind is EXISTS else None,
                )
                self._send(kind, phase, subject, event.host or str(instance.get("host")))
        except Exception:
            LOG.exception("instance=%s %s is told to nobody", event.uuid, event.name)

    async def _instance(self, event: ActionEvent, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the instance as Nova's host would know it: as the RPC brought it, at the end with what became of it.

        What belongs to a deleted row is deleted too, so that is as the RPC brought it.
        """
        wanted: Sequence[str] = OF_A_BOOT if any(kind is CREATE for kind, _ in notices(event)) else ATTRIBUTES
        complete = all(name in sent for name in wanted)
        if event.began and complete:
            return sent
        wanted = () if event.name == DELETED and complete else wanted
        row = await self._read(event, wanted)
        return {**sent, **{name: value for name, value in row.items() if name in wanted or name not in OF_A_BOOT}}

    async def _read(self, event: ActionEvent, attributes: Sequence[str]) -> Mapping[str, Any]:
        for number in range(TRIES):
            try:
                found = await self._conductor.get_instance(dict(event.context), event.uuid, attributes, "yes")
            except Unavailable as error:
                LOG.debug("instance=%s try %d: %s", event.uuid, number + 1, error)
                await asyncio.sleep(error.retry_after)
            else:
                return found or {}
        raise Unavailable("nova-conductor has been away for too long")

    async def _image_name(self, kind: Kind, args: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
        """Return the name of the image that an operation is about; it is not worth a failure."""
        if kind not in NAMED_IMAGES:
            return ""
        image = args.get(NAMED_IMAGES[kind])
        if isinstance(image, Mapping):
            return str(image.get("name") or "")
        try:
            found = await self._glance.image(str(image or instance.get("image_ref")))
        except CascadeError:
            return ""
        return str(found.get("name") or "")

    def _send(self, kind: Kind, phase: Phase | None, subject: Subject, host: str) -> None:
        priority = "error" if phase is Phase.ERROR else "info"
        legacy, versioned = legacy_type(kind, phase), versioned_type(kind, phase)
        if legacy and self._sender.unversioned:
            payload = legacy_payload(kind, phase, subject)
            self._sender.offer(Notification(False, subject.context, f"compute.{host}", legacy, priority, payload))
        if versioned and self._sender.versioned:
            payload = versioned_payload(kind, phase, subject)
            publisher = f"nova-compute:{host}"
            self._sender.offer(Notification(True, subject.context, publisher, versioned, priority, payload))
