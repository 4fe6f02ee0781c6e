"""The servers of one owned site that an operator has to decide about: in memory, and written through to etcd."""

import logging
import time
from collections.abc import Collection

import msgspec

from bridge.core import keys
from bridge.core.records import Quarantined
from bridge.core.situation import Situation
from bridge.instances import RecordStore
from bridge.owner import Ownership
from proto import codec, subjects
from proto.errors import FaultCode, Refused, Unavailable
from proto.jetstream import JetStream
from proto.messages import Query, Reply
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

ANSWER = 60.0  # s for what the site does with one server


class Quarantine:
    """Only the owner writes entries. Nothing untagged is ever in here."""

    def __init__(self, ownership: Ownership, store: RecordStore, road: JetStream) -> None:
        self._ownership = ownership
        self._site = ownership.site
        self._store = store
        self._road = road
        self._entries: dict[str, Quarantined] = {}  # by server id

    async def load(self) -> None:
        """Read every entry of the site; call once, before anything else."""
        stored, _ = await self._store.list(keys.quarantine(self._site))
        for one in stored:
            entry = codec.from_json(one.value, Quarantined)
            self._entries[entry.server.server_id] = entry

    def find(self, name: str) -> Quarantined:
        """Return the entry of an instance's uuid or a server's id; Refused if there is none, or more than one."""
        found = [entry for entry in self._entries.values() if name in (entry.uuid, entry.server.server_id)]
        if len(found) != 1:
            which = "no server of" if not found else "more than one server (name it by the site's own id) of"
            raise Refused(FaultCode.MISSING, f"{which} {name} is in the quarantine of {self._site}")
        return found[0]

    async def take(self, now: Situation, why: str) -> Quarantined:
        """Keep the server of a situation, with what was recorded of it; may be repeated."""
        assert now.server is not None
        server = now.server.server
        known = self._entries.get(server.server_id)
        if known is None:
            LOG.error("site=%s server=%s is tagged %s and goes into quarantine: %s",
                      self._site, server.server_id, now.uuid, why)  # fmt: skip
            known = Quarantined(now.uuid, server, why, time.time(), now.server.generation, now.record)
        entry = msgspec.structs.replace(known, server=server, why=why, record=now.record or known.record)
        await self.put(entry)
        return entry

    async def put(self, entry: Quarantined) -> None:
        """Write an entry if it differs."""
        server_id = entry.server.server_id
        if self._entries.get(server_id) == entry:
            return
        self._ownership.check()
        key = keys.quarantined(self._site, server_id)
        await self._store.put(key, codec.to_json(entry), guard=self._ownership.guard)
        self._entries[server_id] = entry

    async def drop(self, server_id: str) -> None:
        """Forget a server; none is fine."""
        if server_id in self._entries:
            self._ownership.check()
            await self._store.delete(keys.quarantined(self._site, server_id), guard=self._ownership.guard)
            del self._entries[server_id]

    async def release_all_but(self, server_ids: Collection[str]) -> None:
        """Forget those that are gone from the site, or that somebody above knows again."""
        for server_id in self._entries.keys() - set(server_ids):
            LOG.warning("site=%s server=%s is in quarantine no more", self._site, server_id)
            await self.drop(server_id)

    async def act(self, verb: QueryName, uuid: str, server_id: str, asked_by: str) -> str:
        """Have the agent stop, return or purge one tagged server, and return what it says; may be repeated.

        Refused with the site's own reason, or by the agent where the server does not carry the instance's tag.
        """
        LOG.warning("audit: site=%s server=%s instance=%s %s asked by %s", self._site, server_id, uuid, verb, asked_by)
        self._ownership.check()
        query = Query(site=self._site, verb=verb, uuid=uuid, server_id=server_id, asked_by=asked_by)
        data = await self._road.request(subjects.query(self._site, verb), codec.encode(query), timeout=ANSWER)
        reply = codec.decode(data, Reply)
        if reply.fault is None:
            return reply.text
        if reply.fault.code is FaultCode.SITE_SILENT:
            raise Unavailable(reply.fault.message)
        raise Refused(reply.fault.code, reply.fault.message)
