"""What the site's Nova says of a server, taken apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from proto.messages import ServerState
from site_agent.core import identity

_LONGEST_FAULT = 1000  # characters of a fault that go up
_STATE = "OS-EXT-STS:"


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the site. Tags, and so ``uuid``, are gone once it is deleted."""

    uuid: str  # instance above; empty = not ours, or deleted
    generation: int  # of the create; 0 = unknown
    created: str  # as Nova writes it; sorts by time
    state: ServerState
    partial: bool = False  # its cell is down: only the id is true
    flavor: str = ""  # its name; one that we made has its id for a name

    @property
    def server_id(self) -> str:
        """Id in the site."""
        return self.state.server_id

    @property
    def deleted(self) -> bool:
        """Whether it is gone for good."""
        return self.state.vm_state == "deleted" or self.state.status == "DELETED"

    @property
    def soft_deleted(self) -> bool:
        """Whether the site keeps it for ``reclaim_instance_interval``."""
        return self.state.vm_state == "soft-delete"

    @property
    def doubtful(self) -> bool:
        """An ERROR without a fault: Nova shows one for a moment now and then that is not true."""
        return self.state.vm_state == "error" and not self.state.fault


def read(document: dict[str, Any]) -> Server:
    """Return the server of one entry of GET /servers/detail, of any microversion from 2.26."""
    tags = document.get("tags") or []
    state = ServerState(
        server_id=document["id"],
        vm_state=document.get(f"{_STATE}vm_state") or "",
        task_state=document.get(f"{_STATE}task_state"),
        power_state=document.get(f"{_STATE}power_state") or 0,
        status=document.get("status") or "",
        launched_at=seconds(document.get("OS-SRV-USG:launched_at")),
        updated_at=seconds(document.get("updated")),
        fault=_fault(document),
        locked=bool(document.get("locked")),
    )
    return Server(
        uuid=identity.uuid_of(tags),
        generation=identity.generation_of(tags),
        created=document.get("created") or "",
        state=state,
        flavor=(document.get("flavor") or {}).get("original_name") or "",
        partial=state.status == "UNKNOWN" and f"{_STATE}vm_state" not in document,
    )


def seconds(text: str | None) -> float | None:
    """Return an ISO 8601 time of an OpenStack API as epoch s; a time without a zone is UTC."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def iso(moment: float) -> str:
    """Return epoch s as Nova's query strings take it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(state: ServerState) -> ServerState:
    """Return the part of a state that is worth an observation: two equal ones need only one."""
    return msgspec.structs.replace(state, updated_at=None)


def settled(state: ServerState) -> bool:
    """Whether nothing is going on with the server in the site."""
    return state.task_state is None and state.vm_state not in ("building", "soft-delete")


def surplus(servers: Iterable[Server]) -> list[Server]:
    """Return the servers to delete of those that one create made twice; the others stay.

    Two agents, or a POST that timed out and was done after all, can make two. Only servers of the same instance and
    of the same create are compared; the oldest that is not in ERROR stays.
    """
    groups: dict[tuple[str, int], list[Server]] = {}
    for server in servers:
        if server.uuid and server.generation and not server.deleted:
            groups.setdefault((server.uuid, server.generation), []).append(server)
    order = [sorted(group, key=_worth) for group in groups.values()]
    return [server for group in order for server in group[1:]]


def _worth(server: Server) -> tuple[bool, str, str]:
    return (server.state.vm_state == "error", server.created, server.server_id)


def _fault(document: dict[str, Any]) -> str | None:
    fault = document.get("fault") or {}
    text = str(fault.get("message") or "").strip()
    return text[:_LONGEST_FAULT] or None
