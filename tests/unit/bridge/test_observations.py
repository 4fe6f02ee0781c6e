"""Whose command an observation ends: that of the pending RPC, never one that came after it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.core import keys
from bridge.core.records import InstanceRecord
from bridge.flight import End, Flight, Flights
from bridge.instances import Instances
from bridge.observations import Observations
from bridge.owner import Ownership
from bridge.publisher import Publisher
from proto import codec, subjects
from proto.messages import Observation, Outcome
from proto.operations import Verb
from tests.fakes.conductor import FakeConductor
from tests.fakes.etcd import FakeEtcd
from tests.unit.bridge.cases import UUID, absent, pending, rpc, seen, server


class Delivery:
    """One observation; ``settled`` says what became of it."""

    def __init__(self, observation: Observation) -> None:
        self.subject = subjects.event("paris", UUID)
        self.data = codec.encode(observation)
        self.headers: dict[str, str] = {}
        self.num_delivered = self.sequence = 1
        self.settled = ""

    async def ack(self) -> None:
        self.settled = "ack"

    async def nak(self, delay: float) -> None:
        self.settled = "nak"


class Bridge:
    """The observations of paris, with one instance."""

    def __init__(self) -> None:
        etcd = FakeEtcd()
        lease: Any = SimpleNamespace(ttl=15, confirmed_at=float("inf"), lost=asyncio.Event())
        ownership = Ownership("paris", etcd.write(keys.owner("paris"), b"", 0), lease)
        road: Any = SimpleNamespace()
        self.conductor: Any = FakeConductor(lambda: 0.0)
        self.conductor.add(UUID, vm_state="active", task_state="powering-off", host="paris")
        self.instances = Instances(ownership, etcd.store())
        self.flights = Flights()
        publisher = Publisher(ownership, 1, road, self.instances, lambda: 0.0)
        self.observations = Observations(
            ownership, road, self.instances, self.flights, publisher, self.conductor, ["paris"]
        )

    async def under_way(self, record: InstanceRecord, rpc_id: str, method: str) -> Flight:
        await self.instances.put(record)
        flight = Flight(rpc(method, rpc_id))
        self.flights.begin(flight)
        return flight

    async def hear(self, observation: Observation) -> str:
        delivery: Any = Delivery(observation)
        await self.observations._take(delivery)
        return str(delivery.settled)


async def test_the_rpc_of_the_pending_command_is_told_its_end() -> None:
    bridge, record = Bridge(), pending(Verb.STOP)
    flight = await bridge.under_way(record, "rpc-1", "stop_instance")
    assert await bridge.hear(seen(server("stopped", 4), record.generation)) == "ack"
    assert flight.ended.result() == (End.SUCCEEDED, None)
    assert bridge.conductor.instances[UUID]["vm_state"] == "stopped"


async def test_a_delete_under_way_is_not_ended_by_what_the_command_before_it_led_to() -> None:
    bridge, record = Bridge(), pending(Verb.STOP)
    delete = await bridge.under_way(record, "rpc-2", "terminate_instance")
    await bridge.hear(seen(server("stopped", 4), record.generation))
    assert not delete.ended.done()
    settled = bridge.instances.get(UUID)
    assert settled is not None
    assert settled.pending is None


@pytest.mark.parametrize(
    "observation",
    [
        lambda generation: seen(server("error", 0), generation),
        lambda generation: seen(server(), generation),
        lambda generation: seen(None, generation, outcome=Outcome.REFUSED),
    ],
)
async def test_a_delete_under_way_is_not_ended_by_the_boot_before_it(observation: Any) -> None:
    bridge, record = Bridge(), pending(Verb.CREATE)
    delete = await bridge.under_way(record, "rpc-2", "terminate_instance")
    assert await bridge.hear(observation(record.generation)) == "nak"
    assert not delete.ended.done()


async def test_the_end_of_a_delete_waits_until_its_rpc_is_back() -> None:
    bridge, record = Bridge(), pending(Verb.DELETE)
    await bridge.instances.put(record)
    assert await bridge.hear(absent(record.generation)) == "nak"
    flight = await bridge.under_way(record, "rpc-1", "terminate_instance")
    assert await bridge.hear(absent(record.generation)) == "ack"
    assert flight.ended.result() == (End.GONE, None)
