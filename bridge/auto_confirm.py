"""Confirms resizes that nobody confirmed for long, as nova-compute does (Nova 34, _poll_unconfirmed_resizes)."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Protocol

from bridge.core.inventory import Liveness
from bridge.presence import Presence
from proto.errors import CascadeError

LOG = logging.getLogger(__name__)

INTERVAL = 60.0  # s between two looks; Nova's own


class Conductor(Protocol):
    """What this needs of nova-conductor."""

    async def unconfirmed_resizes(self, host: str, window: int) -> list[dict[str, Any]]:
        """Return the host's migrations that have been finished for ``window`` s and were neither confirmed nor not."""
        ...


class NovaApi(Protocol):
    """What this needs of Nova's REST API."""

    async def confirm_resize(self, uuid: str) -> bool:
        """Ask for it as a tenant does; False if the instance is in no state for it."""
        ...


class AutoConfirm:
    """One owned site. It asks nova-api, so the confirm comes to us as a tenant's does, and everybody sees it begin."""

    def __init__(
        self, hosts: Collection[str], conductor: Conductor, nova_api: NovaApi, presence: Presence, window: int
    ) -> None:
        """``window``: s a resize waits for its tenant; 0 = for ever."""
        self._hosts = hosts
        self._conductor = conductor
        self._nova_api = nova_api
        self._presence = presence
        self._window = window

    async def run(self) -> None:
        """Confirm until cancelled, while the site answers; returns at once if no window is set."""
        while self._window:
            await asyncio.sleep(INTERVAL)
            if self._presence.liveness is Liveness.ONLINE:
                await self.round()

    async def round(self) -> None:
        """Ask for every confirm that is due; what cannot be asked now is due in the next round too."""
        for host in self._hosts:
            try:
                due = await self._conductor.unconfirmed_resizes(host, self._window)
            except CascadeError as error:
                LOG.warning("host=%s its unconfirmed resizes stay for now: %s", host, error)
                continue
            for migration in due:
                await self._confirm(migration["instance_uuid"])

    async def _confirm(self, uuid: str) -> None:
        try:
            confirming = await self._nova_api.confirm_resize(uuid)
        except CascadeError as error:
            LOG.warning("instance=%s its resize is not confirmed for now: %s", uuid, error)
            return
        if confirming:
            LOG.info("instance=%s was not confirmed for %d s: confirming its resize", uuid, self._window)
        else:
            LOG.debug("instance=%s is in no state to be confirmed", uuid)
