"""Calls to nova-conductor's object methods: contexts, threads, and its errors as ours.

Nova 34, conductor/manager.py ConductorManager. Foreign exceptions arrive as oslo_messaging.RemoteError with the class
name only, because we allow no module of Nova's to be imported; builtin ones arrive as themselves.
"""

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

import kombu.exceptions
import oslo_messaging

from bridge.edge.nova_objects import CHANGES, DATA, MANIFESTS, NAME, Primitive, unwrap
from bridge.edge.nova_threads import Threads
from proto import waits
from proto.errors import CascadeError, Stale, Unavailable

TOPIC = "conductor"
VERSION = "3.0"
TASK_NAMESPACE = "compute_task"
TASK_VERSION = "1.20"  # the first in which build_instances and migrate_server have all that we send
SEND_RETRIES = 3  # reconnects (1, 3, 5 s) before a call counts as not sent

Context = dict[str, Any]


class InstanceGone(Stale):
    """The instance is deleted, or never was in this cell."""


class TaskStateChanged(Stale):
    """The instance is not in the task_state or vm_state that was expected; ``deleting``: a delete came between."""

    def __init__(self, message: str, deleting: bool) -> None:
        super().__init__(message)
        self.deleting = deleting


class ServiceGone(CascadeError):
    """An operator deleted the service record."""


class ServiceTooOld(CascadeError):
    """We advertise less than the oldest nova-compute: read conductor_service_version again."""


class RemoteFailure(CascadeError):
    """Any other exception in the conductor; ``kind`` is its class name."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"nova-conductor: {kind}: {message}")
        self.kind = kind


# Exceptions that pass: the conductor's database or message queue is away or busy.
_PASSING = frozenset(
    {
        "DBConnectionError",
        "DBDeadlock",
        "CantStartEngineError",
        "MessagingTimeout",
        "MessageDeliveryFailure",
        "TimeoutError",
        "UnknownInstanceUpdateConflict",
    }
)
_GONE = frozenset({"InstanceNotFound", "InstanceInfoCacheNotFound"})
_STATE_CHANGED = frozenset({"UnexpectedTaskStateError", "InstanceUpdateConflict", "UnexpectedVMStateError"})


def request_context(
    request_id: str,
    user_id: str | None,
    project_id: str | None,
    is_admin: bool = False,
    read_deleted: str = "no",
    roles: Sequence[str] = (),
) -> Context:
    """Return what a conductor call needs to know of the request it belongs to; holds no token.

    Instance action events are found by request id, so every call of an operation must carry the id of its cast.
    """
    return {
        "request_id": request_id,
        "user_id": user_id,
        "project_id": project_id,
        "is_admin": is_admin,
        "read_deleted": read_deleted,
        "roles": list(roles),
        "timestamp": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "service_catalog": [],
        "remote_address": None,
        "quota_class": None,
        "auth_token": None,
    }


def admin_context(read_deleted: str = "no") -> Context:
    """Return a context of our own, with a fresh request id."""
    return request_context(f"req-{uuid.uuid4()}", None, None, is_admin=True, read_deleted=read_deleted)


class ConductorRpc:
    """Blocking RPC in ``workers`` threads. A call that was given up may still be carried out."""

    def __init__(self, transport: Any, timeout: float, workers: int) -> None:
        target = oslo_messaging.Target(topic=TOPIC, version=VERSION)
        self._client = oslo_messaging.get_rpc_client(transport, target, timeout=timeout, retry=SEND_RETRIES)
        tasks = oslo_messaging.Target(topic=TOPIC, version="1.0", namespace=TASK_NAMESPACE)
        self._tasks = oslo_messaging.get_rpc_client(transport, tasks, retry=SEND_RETRIES).prepare(version=TASK_VERSION)
        self._threads = Threads("nova-conductor", workers)

    def close(self) -> None:
        """Start no more calls."""
        self._threads.close()

    async def of_class(self, context: Context, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a class method of an object and return its raw result."""
        return await self._call(
            self._client.call,
            context,
            "object_class_action_versions",
            objname=name,
            objmethod=method,
            object_versions=MANIFESTS[name],
            args=args,
            kwargs=kwargs,
        )

    async def of_object(self, context: Context, target: Primitive, method: str, **kwargs: Any) -> dict[str, Any]:
        """Call a method of this object and return all its fields that are known then, unwrapped."""
        updates, _ = await self._call(
            self._client.call, context, "object_action", objinst=target, objmethod=method, args=(), kwargs=kwargs
        )
        updates.pop("obj_what_changed", None)
        return unwrap({**target[DATA], **updates})

    async def cast_task(self, context: Context, method: str, **kwargs: Any) -> None:
        """Send a task to the conductor; returns when RabbitMQ has it."""
        await self._call(self._tasks.cast, context, method, **kwargs)

    async def _call(self, function: Any, context: Context, method: str, **kwargs: Any) -> Any:
        try:
            with waits.waiting():
                return await self._threads.run(lambda: function(context, method, **kwargs))
        except oslo_messaging.RemoteError as error:
            raise _translated(str(error.exc_type), str(error.value)) from error
        except oslo_messaging.MessagingTimeout as error:
            raise Unavailable(f"nova-conductor does not answer {_what(method, kwargs)}", retry_after=5.0) from error
        except (oslo_messaging.MessagingException, kombu.exceptions.KombuError, OSError) as error:
            raise Unavailable(f"cannot reach nova-conductor: {error}", retry_after=5.0) from error
        except Exception as error:
            # A builtin exception of the conductor's, re-created here with its traceback in the text.
            raise RemoteFailure(type(error).__name__, str(error).partition("\n")[0]) from error


def _translated(kind: str, message: str) -> CascadeError:
    if kind in _GONE:
        return InstanceGone(message)
    if kind in _STATE_CHANGED:
        return TaskStateChanged(message, deleting=False)
    if kind == "UnexpectedDeletingTaskStateError":
        return TaskStateChanged(message, deleting=True)
    if kind == "ServiceNotFound":
        return ServiceGone(message)
    if kind == "ServiceTooOld":
        return ServiceTooOld(message)
    if kind in _PASSING:
        return Unavailable(f"nova-conductor: {kind}: {message}", retry_after=5.0)
    return RemoteFailure(kind, message)


def _what(method: str, kwargs: dict[str, Any]) -> str:
    name = kwargs.get("objname") or kwargs.get("objinst", {}).get(NAME)
    return f"{name}.{kwargs['objmethod']}" if name else method


def without_changes(target: Primitive) -> Primitive:
    """Return an object whose save() would write nothing of what it holds."""
    return {**target, CHANGES: []}
