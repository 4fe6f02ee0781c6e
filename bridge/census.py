"""What a site holds: digests of what its cloud lists are compared with ours, and only what differs is told."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from bridge.core.census import Beliefs, Servers, recorded, standing_for
from bridge.core.records import CensusFigures, InstanceRecord
from bridge.instances import Instances
from proto import codec, subjects
from proto.census import BUCKETS, DIGEST_BYTES, PARTS, Parts, differing, part_of
from proto.errors import FaultCode, Refused, Unavailable
from proto.jetstream import JetStream
from proto.messages import CensusEntry, Query, Reply
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

TIMEOUT = 40.0  # s for one answer: the agent holds the first one back while it lists its servers
LISTING = 600.0  # s that one listing may take
LONGEST = 900.0  # s for all of a census
LOOKS = 50  # servers looked at one by one for one query
MOST = 200_000  # servers that one site may tell of


class Census:
    """One owned site."""

    def __init__(
        self, site: str, road: JetStream, instances: Instances, tell: Callable[[CensusFigures], Awaitable[None]]
    ) -> None:
        """``tell`` is called with the figures after each round."""
        self._site = site
        self._road = road
        self._instances = instances
        self._tell = tell
        self._beliefs = Beliefs()
        self._unlisted: set[str] = set()  # absent from the listing, but there when looked at by themselves
        self._bytes = 0
        self._one = asyncio.Lock()

    async def look(self) -> dict[str, CensusEntry]:
        """Return every tagged server of the site by instance; Unavailable while it is silent.

        One in agreement comes from its record: without times and status. None is missing that a record knows, unless
        a look at it alone has found nothing.
        """
        try:
            async with self._one, asyncio.timeout(LONGEST):
                return await self._look()
        except TimeoutError as error:
            raise Unavailable(f"census of {self._site}: it comes to no end") from error

    async def _look(self) -> dict[str, CensusEntry]:
        began, self._bytes = time.time(), 0
        parts: int | None = None
        try:
            found, parts = await self._by_digest()
        except Refused:
            found = await self._by_pages()
        figures = CensusFigures(began, time.time() - began, len(found), self._bytes, parts)
        LOG.log(
            logging.DEBUG if parts == 0 else logging.INFO,
            "site=%s census of %d servers: %d bytes, parts that differed: %s",
            self._site, figures.servers, figures.bytes, "told by pages" if parts is None else parts,
        )  # fmt: skip
        await self._tell(figures)
        return found

    async def find(self, uuids: Iterable[str]) -> dict[str, CensusEntry]:
        """Return the servers of some instances, each looked at by itself; one that is not there is left out.

        Unavailable while the site is silent, or hides servers because a cell of it is down.
        """
        wanted = set(uuids)
        try:
            return await self._found(wanted)
        except Refused:
            return {uuid: entry for uuid, entry in (await self._by_pages()).items() if uuid in wanted}

    async def _found(self, uuids: set[str]) -> dict[str, CensusEntry]:
        found: dict[str, CensusEntry] = {}
        left = sorted(uuids)
        while left:
            asked, left = left[:LOOKS], left[LOOKS:]
            sought = {uuid: record.server_id or "" if (record := self._instances.get(uuid)) else "" for uuid in asked}
            reply = await self._ask(QueryName.CENSUS_LOOK, sought=sought)
            told = self._grouped(reply.servers, sought.__contains__)
            found |= {uuid: standing_for(servers, self._instances.get(uuid)) for uuid, servers in told.items()}
        return found

    async def _by_digest(self) -> tuple[dict[str, CensusEntry], int]:
        """Return the site's servers and how many parts differed; Refused (unsupported) by an agent that is older."""
        snapshot, digests = await self._listed()
        records = {record.uuid: record for record in self._instances.all()}
        believed = self._beliefs.of(records)
        ours = Parts(entry for servers in believed.values() for entry in servers)
        parts = await self._differing_parts(snapshot, differing(digests, ours.bucket_digests()), ours)
        if parts:
            told = await self._told(snapshot, parts)
            self._complain_of_digests(parts, ours, told)
            for uuid in {uuid for uuid in believed if part_of(uuid) in parts} | told.keys():
                believed[uuid] = told.get(uuid, ())
                self._beliefs.learn(uuid, records.get(uuid), believed[uuid])
        shown = {uuid: standing_for(servers, records.get(uuid)) for uuid, servers in believed.items() if servers}
        return shown | await self._absent_found(records, believed, set(parts)), len(parts)

    def _complain_of_digests(self, parts: list[int], ours: Parts, told: dict[str, Servers]) -> None:
        theirs = Parts(entry for servers in told.values() for entry in servers)
        wrong = sum(theirs.digest(part) == ours.digest(part) for part in parts)
        if wrong:
            LOG.warning("site=%s census: %d digests are not those of the servers told", self._site, wrong)

    async def _absent_found(
        self, records: dict[str, InstanceRecord], believed: dict[str, Servers], parts: set[int]
    ) -> dict[str, CensusEntry]:
        """Look again at what the listing lacks: a server may have come or changed meanwhile, or lost its tag.

        What was absent before, and is so by the digests still, need not be looked at each time.
        """
        doubted = set()
        for record in self._instances.all():
            uuid = record.uuid
            if recorded(record) and not believed.get(uuid):
                changed = records.get(uuid) != record or part_of(uuid) in parts
                if changed or uuid in self._unlisted:
                    doubted.add(uuid)
        found = await self._found(doubted)
        self._unlisted = set(found)
        return found

    async def _listed(self) -> tuple[str, bytes]:
        """Have the site list its servers; return the name of the listing and the digests of its buckets."""
        give_up = time.monotonic() + LISTING
        reply = await self._ask(QueryName.CENSUS_DIGEST)
        while not reply.digests:
            if time.monotonic() > give_up or not reply.snapshot:
                raise Unavailable(f"site {self._site} does not come to the end of listing its servers")
            reply = await self._ask(QueryName.CENSUS_DIGEST, snapshot=reply.snapshot)
        return reply.snapshot, self._checked(reply.digests, BUCKETS)

    async def _differing_parts(self, snapshot: str, buckets: list[int], ours: Parts) -> list[int]:
        if not buckets:
            return []
        reply = await self._ask(QueryName.CENSUS_DIGEST, snapshot=snapshot, buckets=buckets)
        theirs = self._checked(reply.digests, len(buckets) * PARTS)
        places = differing(theirs, b"".join(ours.part_digests(bucket) for bucket in buckets))
        return [buckets[place // PARTS] * PARTS + place % PARTS for place in places]

    async def _told(self, snapshot: str, parts: list[int]) -> dict[str, Servers]:
        """Return what the site lists in some parts, by instance."""
        wanted, left, servers = set(parts), parts, list[CensusEntry]()
        while left:
            reply = await self._ask(QueryName.CENSUS_PARTS, snapshot=snapshot, buckets=left)
            answered = int(reply.marker) if reply.marker.isdecimal() else 0
            if not 0 < answered <= len(left):
                raise Unavailable(f"census of {self._site}: an answer about none of the parts asked for")
            left = left[answered:]
            self._add(servers, reply)
        return self._grouped(servers, lambda uuid: part_of(uuid) in wanted)

    async def _by_pages(self) -> dict[str, CensusEntry]:
        """Ask an agent that knows no digests."""
        servers: list[CensusEntry] = []
        marker, more = "", True
        while more:
            reply = await self._ask(QueryName.CENSUS, marker=marker)
            self._add(servers, reply)
            more, marker = bool(reply.marker) and reply.marker != marker, reply.marker
        told = self._grouped(servers, lambda _: True)
        return {uuid: standing_for(found, self._instances.get(uuid)) for uuid, found in told.items()}

    def _add(self, servers: list[CensusEntry], reply: Reply) -> None:
        servers += reply.servers
        if len(servers) > MOST:
            raise Unavailable(f"census of {self._site}: it tells of more than {MOST} servers")

    def _grouped(self, servers: list[CensusEntry], wanted: Callable[[str], bool]) -> dict[str, Servers]:
        """Return servers by instance; what was not asked for, or names no instance, is a lie and left out."""
        found: defaultdict[str, list[CensusEntry]] = defaultdict(list)
        lies = 0
        for entry in servers:
            if subjects.is_token(entry.uuid) and wanted(entry.uuid):
                found[entry.uuid].append(entry)
            else:
                lies += 1
        if lies:
            LOG.warning("site=%s census: %d servers that were not asked for are left out", self._site, lies)
        return {uuid: tuple(entries) for uuid, entries in found.items()}

    def _checked(self, digests: bytes, number: int) -> bytes:
        if len(digests) != number * DIGEST_BYTES:
            raise Unavailable(f"census of {self._site}: {len(digests)} bytes are not {number} digests")
        return digests

    async def _ask(self, verb: QueryName, **fields: Any) -> Reply:
        """Ask the site; Refused if its agent does not know the verb, Unavailable for any other trouble."""
        query = codec.encode(Query(site=self._site, verb=verb, **fields))
        subject = subjects.query(self._site, verb)
        data = await self._road.request(subject, query, timeout=TIMEOUT)
        self._bytes += len(subject) + len(query) + len(data)
        reply = codec.decode(data, Reply)
        if reply.fault is None:
            return reply
        if reply.fault.code is FaultCode.UNSUPPORTED and verb is not QueryName.CENSUS:
            raise Refused(reply.fault.code, reply.fault.message)
        raise Unavailable(f"census of {self._site}: {reply.fault.message}")
