"""What one agent process remembers of its site. All of it can be found again by looking: a restart loses nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from proto.messages import Command, ServerState

_MOST_DEAD = 20_000  # instances that are gone whose last generation is still remembered


@dataclass(slots=True)
class Memory:
    """Facts by instance uuid (above). Only touched from the event loop."""

    generations: dict[str, int] = field(default_factory=dict)  # last command carried out
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)  # trace of that command
    server_ids: dict[str, str] = field(default_factory=dict)
    uuids: dict[str, str] = field(default_factory=dict)  # by server id; a deleted server has no tags any more
    told: dict[str, tuple[int, ServerState]] = field(default_factory=dict)  # generation and state last published
    deleting: set[str] = field(default_factory=set)  # the site accepted a delete of ours
    unseen: dict[str, float] = field(default_factory=dict)  # to be looked at one by one from that monotonic time on
    busy: asyncio.Event = field(default_factory=asyncio.Event)  # something is expected to change
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def carried_out(self, command: Command, headers: Mapping[str, str], look_at: float) -> None:
        """The site accepted a command; what it leads to is looked for from monotonic ``look_at`` at the latest."""
        self.generations.pop(command.uuid, None)
        self.generations[command.uuid] = command.generation
        self.headers[command.uuid] = headers
        self.told.pop(command.uuid, None)  # so that the next look is told, whatever it shows
        self.unseen[command.uuid] = look_at
        self.busy.set()

    def was_carried_out(self, command: Command) -> bool:
        """Whether this process already carried out this command or a later one of the instance."""
        return self.generations.get(command.uuid, 0) >= command.generation

    def know(self, uuid: str, server_id: str) -> None:
        """A server stands for an instance."""
        self.server_ids[uuid] = server_id
        self.uuids[server_id] = uuid

    def forget(self, uuid: str) -> None:
        """The instance has no server any more; only its generation is kept, against an older command."""
        server_id = self.server_ids.pop(uuid, None)
        if server_id:
            self.uuids.pop(server_id, None)
        self.headers.pop(uuid, None)
        self.told.pop(uuid, None)
        self.unseen.pop(uuid, None)
        self.deleting.discard(uuid)
        lock = self.locks.get(uuid)
        if lock and not lock.locked():
            del self.locks[uuid]
        while len(self.generations) > len(self.server_ids) + _MOST_DEAD:
            del self.generations[next(uuid for uuid in self.generations if uuid not in self.server_ids)]

    def lock(self, uuid: str) -> asyncio.Lock:
        """The lock that whoever acts on an instance holds; waiters get it in order."""
        return self.locks.setdefault(uuid, asyncio.Lock())
