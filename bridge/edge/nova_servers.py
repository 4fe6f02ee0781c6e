"""Servers of the cascading Nova in detail, read page by page. Administrator rights."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from bridge.core.names import Known, Look, of_api
from bridge.edge.cloud_session import CloudSession
from proto.errors import Unavailable

MICROVERSION = "2.53"  # description (2.19); not yet what costs more: fault, locked reason, numa
PAGE = 500  # servers a page; Nova gives at most osapi_max_limit (1000)


class NovaServers:
    """Reads only, so all may be repeated."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session

    async def changed_since(self, moment: float) -> Look:
        """Return what changed since then (epoch s, the cloud's clock)."""
        return await self._look({"changes-since": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")})

    async def on_host(self, host: str) -> Look:
        """Return every server of a host."""
        return await self._look({"host": host})

    async def _look(self, query: Mapping[str, str]) -> Look:
        found: list[Known] = []
        began, clock_ahead = time.time(), 0.0
        marker: dict[str, str] = {}
        while True:
            asked = {"all_tenants": "1", "limit": str(PAGE), **query, **marker}
            answer = await self._session.call(
                "compute", "GET", "/servers/detail", query=asked, microversion=MICROVERSION
            )
            if not answer.ok:  # a marker that was deleted meanwhile, say
                raise Unavailable(f"GET compute /servers/detail: {answer.message()}")
            clock_ahead = clock_ahead or _clock_ahead(answer.headers)
            servers = answer.body["servers"]
            found += [known for document in servers if (known := of_api(document)) is not None]
            if not servers or not answer.body.get("servers_links"):
                return Look(found, began + clock_ahead)
            marker = {"marker": servers[-1]["id"]}


def _clock_ahead(headers: Mapping[str, str]) -> float:
    """Return how far the cloud's clock is ahead of ours, s; 0 where nothing between tells it."""
    text = headers.get("Date")
    return parsedate_to_datetime(text).timestamp() - time.time() if text else 0.0
