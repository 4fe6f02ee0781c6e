"""A bridge's census and an agent's answers, joined without NATS: what the tests and the benchmark of it play with."""

import asyncio
import time
from typing import Any

from bridge.census import Census
from bridge.core.records import CensusFigures, InstanceRecord
from proto import codec, subjects
from proto.errors import Unavailable
from proto.messages import Bundle, Query, SiteHost
from proto.sealing import PrivateKey
from site_agent import queries, site
from site_agent.core import identity
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_nova import SiteServer

PARIS = "paris"
KNOWS_NO_DIGESTS = ("census_digest", "census_parts", "census_look")


class Meeting:
    """One site, its agents, and a bridge's records; ``asked`` holds the queries sent, ``figures`` the last round's."""

    def __init__(self, agents: int = 1, *, old: bool = False) -> None:
        """``old``: the agents know no digests."""
        self.cloud = FakeCloud()
        self.records: dict[str, InstanceRecord] = {}
        self.agents = [self._agent() for _ in range(agents)]
        self.old = old
        self.asked: list[Query] = []
        self.figures: CensusFigures | None = None
        self.agent_seconds = 0.0  # spent answering
        self.before_answer: Any = None  # called with each query
        instances: Any = self
        road: Any = self
        self.census = Census(PARIS, road, instances, self._tell)

    def _agent(self) -> site.Site:
        unused: Any = None
        cloud: Any = self.cloud
        bundle = Bundle(PARIS, 1, [SiteHost(PARIS, "eu")], [], "", "")
        return site.make(bundle, PrivateKey(base64="x" * 43 + "="), cloud, unused, unused)

    async def _tell(self, figures: CensusFigures) -> None:
        self.figures = figures

    # -- what a Census needs of the records and of the road ------------------------------------------------------------

    def all(self) -> list[InstanceRecord]:
        """Return every record."""
        return list(self.records.values())

    def get(self, uuid: str) -> InstanceRecord | None:
        """Return one record."""
        return self.records.get(uuid)

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Have the agents answer: the first that does counts."""
        query = codec.decode(data, Query)
        assert subject == subjects.query(PARIS, query.verb)
        self.asked.append(query)
        if self.before_answer:
            self.before_answer(query)
        if self.old and query.verb in KNOWS_NO_DIGESTS:
            query = Query(PARIS, "unheard_of")
        began = time.process_time()
        replies = await asyncio.gather(*(queries.answer(agent, query) for agent in self.agents))
        answers = [codec.encode(reply) for reply in replies if reply is not None]
        self.agent_seconds += time.process_time() - began
        if not answers:
            raise Unavailable(f"no answer on {subject}")
        return answers[0]

    # -- what is there -------------------------------------------------------------------------------------------------

    def add_server(self, uuid: str, **fields: Any) -> SiteServer:
        """Have the site hold a server."""
        server = tagged(uuid, **fields)
        self.cloud.nova.servers[server.id] = server
        return server

    def add_record(self, uuid: str, **fields: Any) -> None:
        """Have the bridge remember an instance."""
        self.records[uuid] = recorded(uuid, **fields)

    def add(self, uuid: str) -> None:
        """Have both know an instance."""
        self.add_server(uuid)
        self.add_record(uuid)


def tagged(uuid: str, *, server_id: str = "", generation: int = 1, vm_state: str = "active") -> SiteServer:
    """Return a server of ours as a site holds it."""
    tags = [identity.tag(uuid), identity.generation_tag(generation)]
    body: dict[str, Any] = {"name": uuid, "tags": tags, "networks": "none"}
    now, power_state = time.time(), power_of(vm_state)
    return SiteServer(server_id or f"srv-{uuid}", body, now, now, vm_state, None, power_state)


def recorded(uuid: str, *, server_id: str = "", generation: int = 1, vm_state: str = "active") -> InstanceRecord:
    """Return the record that says the same."""
    return InstanceRecord(
        uuid=uuid,
        generation=generation,
        server_id=server_id or f"srv-{uuid}",
        vm_state=vm_state,
        power_state=power_of(vm_state),
        created=generation,
    )


def power_of(vm_state: str) -> int:
    """Return the power state that goes with a vm_state."""
    return 1 if vm_state == "active" else 4
