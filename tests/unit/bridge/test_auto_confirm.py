"""Resizes that nobody confirms are confirmed through nova-api, whatever becomes of one of them."""

import asyncio
from typing import Any, cast

from bridge.auto_confirm import AutoConfirm
from proto.errors import Unavailable

PRESENCE = cast(Any, None)


class Nova:
    """Conductor and API in one."""

    def __init__(self, **unconfirmed: list[str] | None) -> None:
        self.unconfirmed = unconfirmed  # by host; None: the conductor is away
        self.asked: list[str] = []

    async def unconfirmed_resizes(self, host: str, window: int) -> list[dict[str, Any]]:
        """What waits longer than the window, which must be the operator's."""
        assert window == 30
        found = self.unconfirmed[host]
        if found is None:
            raise Unavailable("nova-conductor does not answer")
        return [{"instance_uuid": uuid} for uuid in found]

    async def confirm_resize(self, uuid: str) -> bool:
        """Take it, unless it is in no state for it."""
        self.asked.append(uuid)
        return uuid != "deleting"


def test_each_host_is_looked_at() -> None:
    nova = Nova(paris=None, oslo=["deleting", "waiting"])
    asyncio.run(AutoConfirm(["paris", "oslo"], nova, nova, PRESENCE, 30).round())
    assert nova.asked == ["deleting", "waiting"]


def test_without_a_window_nothing_is_looked_at() -> None:
    asyncio.run(AutoConfirm(["paris"], Nova(), Nova(), PRESENCE, 0).run())
