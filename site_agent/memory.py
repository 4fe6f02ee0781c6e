"""What one agent process remembers of its site. All of it can be found again by looking: a restart loses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from proto.messages import Command, ServerState
from proto.specs import ServerNames

_MOST_DEAD = 20_000  # instances that are gone whose last generation is still remembered


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a command came from: what its observations are logged and traced under."""

    request_id: str = ""  # of Nova above
    headers: Mapping[str, str] = field(default_factory=dict)  # trace context


@dataclass(slots=True)
class Memory:
    """Facts by instance uuid (above). Only touched from the event loop."""

    generations: dict[str, int] = field(default_factory=dict)  # last command carried out
    origins: dict[str, Origin] = field(default_factory=dict)  # of that command
    server_ids: dict[str, list[str]] = field(default_factory=dict)  # more than one only after a race of two creates
    uuids: dict[str, str] = field(default_factory=dict)  # by server id; a deleted server has no tags any more
    told: dict[str, tuple[int, ServerState]] = field(default_factory=dict)  # generation and state last published
    complete: bool = False  # every server of the site has been seen since this process began
    deleting: set[str] = field(default_factory=set)  # the site accepted a delete of ours
    unplugging: dict[str, float] = field(default_factory=dict)  # port in the site -> monotonic time of the first try
    unseen: dict[str, float] = field(default_factory=dict)  # to be looked at one by one from that monotonic time on
    names: dict[str, ServerNames] = field(default_factory=dict)  # the latest that are being given, while they are
    busy: asyncio.Event = field(default_factory=asyncio.Event)  # something is expected to change
    _locks: dict[str, tuple[asyncio.Lock, int]] = field(default_factory=dict)  # and how many hold or want it

    def carried_out(self, command: Command, headers: Mapping[str, str], look_at: float) -> None:
        """The site accepted a command; what it leads to is looked for from monotonic ``look_at`` at the latest."""
        self.generations.pop(command.uuid, None)
        self.generations[command.uuid] = command.generation
        self.origins[command.uuid] = Origin(command.request_id, headers)
        self.told.pop(command.uuid, None)  # so that the next look is told, whatever it shows
        self.unseen[command.uuid] = look_at
        self.busy.set()

    def was_carried_out(self, command: Command) -> bool:
        """Whether this process already carried out this command or a later one of the instance."""
        return self.generations.get(command.uuid, 0) >= command.generation

    def know(self, uuid: str, server_id: str) -> None:
        """A server stands for an instance."""
        ids = self.server_ids.setdefault(uuid, [])
        if server_id not in ids:
            ids.append(server_id)
        self.uuids[server_id] = uuid

    def server_id(self, uuid: str) -> str | None:
        """The server that stands for an instance, as far as this process has seen it."""
        ids = self.server_ids.get(uuid)
        return ids[0] if ids else None

    def vanished(self, server_id: str) -> str:
        """A server is gone. Returns the instance that has no server left by that; empty if there is none."""
        uuid = self.uuids.pop(server_id, "")
        ids = self.server_ids.get(uuid, [])
        if server_id in ids:
            ids.remove(server_id)
        if ids or not uuid:
            return ""
        self.server_ids.pop(uuid, None)
        return uuid

    def forget(self, uuid: str) -> None:
        """The instance has no server any more; only its generation is kept, against an older command."""
        for server_id in self.server_ids.pop(uuid, []):
            self.uuids.pop(server_id, None)
        self.origins.pop(uuid, None)
        self.told.pop(uuid, None)
        self.unseen.pop(uuid, None)
        self.deleting.discard(uuid)
        while len(self.generations) > len(self.server_ids) + _MOST_DEAD:
            del self.generations[next(uuid for uuid in self.generations if uuid not in self.server_ids)]

    @contextlib.asynccontextmanager
    async def alone(self, uuid: str) -> AsyncIterator[None]:
        """Act on an instance while nobody else does; those who wait get it in order."""
        lock, waiting = self._locks.get(uuid, (asyncio.Lock(), 0))
        self._locks[uuid] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[uuid]
            if waiting > 1:
                self._locks[uuid] = (lock, waiting - 1)
            else:
                del self._locks[uuid]

    def occupied(self, uuid: str) -> bool:
        """Whether somebody acts on the instance now."""
        return uuid in self._locks
