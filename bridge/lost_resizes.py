"""Ends resizes and cold migrations whose request was lost, as the site has the server; nothing of them stays above."""

from typing import Any

from bridge.core.situation import Above, Situation
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_objects import primitive
from bridge.requests import rpc
from bridge.resizing import Resizing
from bridge.showing import LOST, Showing
from proto.errors import FaultCode
from proto.messages import Fault
from proto.operations import BY_VERB, Verb

STATUSES = ("migrating", "pre-migrating")  # of the migration until the site has resized
RESIZED = "resized"  # vm_state of a server that waits for its tenant's word


class LostResizes:
    """One owned site."""

    def __init__(self, host: str, conductor: NovaConductor, resizing: Resizing, showing: Showing) -> None:
        """``host``: one of the site's, for an instance that says none."""
        self._host = host
        self._conductor = conductor
        self._resizing = resizing
        self._showing = showing

    async def end(self, now: Situation, above: Above) -> None:
        """End it above; may be repeated. Stale if its tenant began something else."""
        migration = await self._migration(now.uuid)
        if migration is None or now.server is None:
            await self._showing.show_site(now, above)
            return
        host = above.host or self._host
        wanted = {"migration": primitive("Migration", {name: migration[name] for name in ("id", "uuid")})}
        asked = rpc(host, now.uuid, Verb.RESIZE, args=wanted)
        done = now.server.server.vm_state == RESIZED
        if done:
            await self._resizing.finish(asked, now.server.server)
        else:
            await self._resizing.fail(asked, Fault(FaultCode.SITE_FAULT, LOST))
        event = BY_VERB[Verb.RESIZE].event
        await self._conductor.event_finish(asked.context, now.uuid, event, host, error=None if done else LOST)
        await self._showing.settle(now)

    async def _migration(self, uuid: str) -> dict[str, Any] | None:
        for status in STATUSES:
            if (migration := await self._conductor.migration_in(uuid, status)) is not None:
                return migration
        return None
