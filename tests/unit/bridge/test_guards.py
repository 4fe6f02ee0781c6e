"""What keeps a bridge from acting where another may act already, or where a tenant has the word."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.core import keys
from bridge.core.policies import Policies
from bridge.core.reconciler import Action, Step
from bridge.core.records import InstanceRecord
from bridge.core.situation import Situation
from bridge.edge.etcd_store import Conflict, OwnershipLost
from bridge.flight import Flight, Flights
from bridge.instances import Instances
from bridge.ownership import SAFETY, Ownership
from bridge.publisher import Publisher
from bridge.repairs import Repairs
from proto import codec
from proto.messages import CensusEntry
from proto.operations import Verb
from tests.fakes.clock import Clock, run
from tests.fakes.etcd import FakeEtcd
from tests.fakes.process import Process
from tests.fakes.road import Road
from tests.unit.bridge.cases import UUID, pending, rpc, seen, server
from tests.unit.bridge.test_observations import Bridge, Delivery

TTL = 15


def owned(etcd: FakeEtcd, confirmed_at: float = float("inf")) -> Ownership:
    """Return an ownership of paris whose lease was confirmed at a monotonic time."""
    lease: Any = SimpleNamespace(ttl=TTL, confirmed_at=confirmed_at, lost=asyncio.Event())
    return Ownership("paris", etcd.write(keys.owner("paris"), b"", 0), lease)


def test_an_ownership_ends_by_our_own_clock_before_etcd_lets_go() -> None:
    clock = Clock()

    async def main() -> None:
        ownership = owned(FakeEtcd(), clock.monotonic())
        await asyncio.sleep(TTL - SAFETY - 0.1)
        ownership.check()
        await asyncio.sleep(0.2)
        with pytest.raises(OwnershipLost):
            ownership.check()

    run(clock, main)


async def test_a_record_is_written_only_while_the_owner_key_is_ours() -> None:
    etcd = FakeEtcd()
    instances = Instances(owned(etcd), etcd.store())
    await instances.put(InstanceRecord(UUID, 1))
    etcd.remove([keys.owner("paris")])
    etcd.write(keys.owner("paris"), b"another's", 0)
    with pytest.raises(OwnershipLost):
        await instances.put(InstanceRecord(UUID, 2))


async def test_a_record_that_somebody_else_wrote_is_not_overwritten() -> None:
    etcd = FakeEtcd()
    instances = Instances(owned(etcd), etcd.store())
    await instances.put(InstanceRecord(UUID, 1))
    etcd.write(keys.instance("paris", UUID), codec.to_json(InstanceRecord(UUID, 7)), 0)
    with pytest.raises(Conflict):
        await instances.put(InstanceRecord(UUID, 2))


async def test_nothing_is_published_without_the_ownership() -> None:
    etcd = FakeEtcd()
    ownership = owned(etcd)
    instances = Instances(ownership, etcd.store())
    road: Any = Road().link(Process("bridge"))
    publisher = Publisher(ownership, 1, road, instances, lambda: 0.0)
    ownership.ended = True
    with pytest.raises(OwnershipLost):
        await publisher.publish(Flight(rpc("stop_instance")), pending(Verb.STOP), None, again=False)
    with pytest.raises(OwnershipLost):
        await publisher.withdraw(UUID)


async def test_nothing_is_saved_without_the_ownership() -> None:
    bridge, record = Bridge(), pending(Verb.STOP)
    await bridge.under_way(record, "rpc-1", "stop_instance")
    bridge.observations._ownership.ended = True
    with pytest.raises(OwnershipLost):
        await bridge.hear(seen(server("stopped", 4), record.generation))
    assert bridge.conductor.instances[UUID]["vm_state"] == "active"


async def test_the_outcome_of_an_operation_does_not_overwrite_what_its_tenant_began() -> None:
    bridge, record = Bridge(), pending(Verb.STOP)
    await bridge.under_way(record, "rpc-1", "stop_instance")
    bridge.conductor.change(UUID, task_state="deleting")
    await bridge.hear(seen(server("stopped", 4), record.generation))
    row = bridge.conductor.instances[UUID]
    assert (row["vm_state"], row["task_state"]) == ("active", "deleting")


async def test_what_a_site_did_by_itself_does_not_overwrite_what_its_tenant_began() -> None:
    bridge = Bridge()
    await bridge.instances.put(InstanceRecord(UUID, 1, 1, vm_state="active", power_state=1, server_id="srv-1"))
    bridge.conductor.change(UUID, task_state="rebooting")
    await bridge.hear(seen(server("stopped", 4), 1))
    row = bridge.conductor.instances[UUID]
    assert (row["vm_state"], row["task_state"]) == ("active", "rebooting")


async def test_an_observation_of_another_instance_than_its_subject_names_is_put_aside() -> None:
    bridge, record = Bridge(), pending(Verb.STOP)
    await bridge.under_way(record, "rpc-1", "stop_instance")
    told: Any = Delivery(seen(server("stopped", 4), record.generation))
    told.subject = told.subject.replace(UUID, UUID.replace("0", "f"))
    put_aside: list[str] = []

    async def publish(subject: str, *_args: Any, **_kwargs: Any) -> bool:
        put_aside.append(subject)
        return True

    async def term() -> None:
        told.settled = "term"

    told.term = term
    bridge.observations._road = SimpleNamespace(publish=publish)  # type: ignore[assignment]
    await bridge.observations._take(told)
    assert told.settled == "term" and put_aside
    assert bridge.conductor.instances[UUID]["vm_state"] == "active"


async def test_healing_leaves_an_instance_alone_that_somebody_is_at_work_for() -> None:
    etcd, flights = FakeEtcd(), Flights()
    instances = Instances(owned(etcd), etcd.store())
    road, nobody = cast(Any, Road().link(Process("bridge"))), cast(Any, None)
    repairs = Repairs("paris", "paris", road, instances, flights, nobody, nobody, nobody, nobody, Policies(), nobody)
    step, now = Step(UUID, Action.RECORD, "lost"), Situation(UUID, None, None, CensusEntry(UUID, 3, server()), 0.0)
    flights.begin(Flight(rpc("stop_instance")))
    await repairs.carry_out(now, step)
    assert instances.get(UUID) is None
    flights.finish(flights.all()[0])
    await repairs.carry_out(now, step)
    assert instances.get(UUID) is not None
