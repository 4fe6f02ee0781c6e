"""What the brake holds back in one owned site, told where `cascade` can see it, and let go by an operator."""

import logging
import time
from collections.abc import Collection

from bridge.core import brake, keys
from bridge.core.records import Braked
from bridge.core.situation import Step
from bridge.instances import RecordStore
from bridge.owner import Ownership
from proto import codec

LOG = logging.getLogger(__name__)


class Brake:
    """What was approved is in memory only: after a take-over an operator is asked again."""

    def __init__(self, ownership: Ownership, store: RecordStore) -> None:
        self._ownership = ownership
        self._store = store
        self._held: tuple[Step, ...] = ()  # by the last round
        self._approved: tuple[Step, ...] = ()
        self._since: float | None = None

    def held_back(self, steps: Collection[Step], servers: int) -> tuple[Step, ...]:
        """Return the steps of a round that must wait; ``servers``: how many the site holds."""
        return tuple(brake.held_back(steps, servers, self._approved))

    def approve(self) -> int:
        """Let the next rounds do what the last one held back, and nothing else; return how many steps that are."""
        self._approved += self._held
        return len(self._held)

    async def told(self, steps: Collection[Step], held: tuple[Step, ...], servers: int) -> None:
        """Remember what a round of these steps holds back, and show that something waits."""
        planned = {(step.uuid, step.action) for step in steps}
        self._approved = tuple(step for step in self._approved if (step.uuid, step.action) in planned)
        if held and not self._held:
            LOG.error(
                "site=%s healing would end %d of %d servers at once: it waits for `cascade heal approve %s`",
                self._ownership.site, len(held), servers, self._ownership.site,
            )  # fmt: skip
        self._held = held
        await self._show(servers)

    async def _show(self, servers: int) -> None:
        key, guard = keys.brake(self._ownership.site), self._ownership.guard
        self._ownership.check()
        if self._held:
            self._since = self._since or time.time()
            shown = Braked(self._since, len(self._held), servers)
            await self._store.put(key, codec.to_json(shown), guard=guard)
        elif self._since != 0.0:
            self._since = 0.0
            await self._store.delete(key, guard=guard)
