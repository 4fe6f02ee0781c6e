"""A census by digest over a real NATS, of a site that two agents serve. Needs nats-server."""

from typing import Any

from bridge.census import Census
from bridge.core.records import CensusFigures, InstanceRecord
from deploy.embedded.servers import NatsServer
from tests.fakes.census import recorded, tagged
from tests.integration.test_site_agent import staged
from tests.servers.nats import nats_server

__all__ = ["nats_server"]

SERVERS = 300


class Records(dict[str, InstanceRecord]):
    """A bridge's records, as far as a census asks for them."""

    def all(self) -> list[InstanceRecord]:
        return list(self.values())


async def test_of_two_agents_the_one_that_listed_tells_of_its_listing(nats_server: NatsServer) -> None:
    records, rounds = Records(), list[CensusFigures]()
    known: Any = records

    async def tell(figures: CensusFigures) -> None:
        rounds.append(figures)

    async with staged(nats_server) as stage, stage.agent(), stage.agent():
        census = Census(stage.name, stage.road, known, tell)
        for number in range(SERVERS):
            uuid = f"u{number}"
            stage.cloud.nova.servers[f"srv-{uuid}"] = tagged(uuid)
            records[uuid] = recorded(uuid)
        for _ in range(4):
            assert set(await census.look()) == set(records)
            assert (rounds[-1].parts, rounds[-1].bytes < 4096) == (0, True)
        for number in range(8):
            del stage.cloud.nova.servers[f"srv-u{number}"]
            found = await census.look()
            assert set(found) == {f"u{left}" for left in range(number + 1, SERVERS)}
            assert rounds[-1].parts == 1
        assert set(await census.find(["u1", "u250"])) == {"u250"}
