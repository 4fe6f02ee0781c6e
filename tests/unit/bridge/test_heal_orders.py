"""What an operator orders of healing: the plan in pages, and the fate of a quarantined server."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.core import keys
from bridge.core.records import Quarantined
from bridge.core.situation import Above, Action, Situation, Step
from bridge.heal_orders import page, told
from bridge.healing import Plan
from bridge.instances import Instances
from bridge.owner import Ownership
from bridge.quarantine import Quarantine
from bridge.quarantine_orders import QuarantineOrders
from proto import codec
from proto.errors import FaultCode, Refused
from proto.messages import Fault, PlannedStep, Query, Reply, SiteHost
from proto.queries import QueryName
from tests.fakes.conductor import FakeConductor
from tests.fakes.etcd import FakeEtcd
from tests.unit.bridge.cases import UUID, record, server

ENTRY = Quarantined(UUID, server(), "nobody knows it", 1.0, 7, record(generation=9))


class Bridge:
    """The quarantine of paris with one server; ``answers`` of the agent to what it is asked."""

    def __init__(self, **row: Any) -> None:
        etcd = FakeEtcd()
        self.etcd = etcd
        lease: Any = SimpleNamespace(ttl=15, confirmed_at=float("inf"), lost=asyncio.Event())
        ownership = Ownership("paris", etcd.write(keys.owner("paris"), b"", 0), lease)
        road: Any = SimpleNamespace(request=self._answer)
        self.asked: list[Query] = []
        self.reply = Reply(text="done")
        self.conductor: Any = FakeConductor(lambda: 0.0)
        if row:
            self.conductor.add(UUID, **{"vm_state": "error", "task_state": None, **row})
        self.instances = Instances(ownership, etcd.store())
        self.quarantine = Quarantine(ownership, etcd.store(), road)
        node = SimpleNamespace(host="paris", node="paris", compute_id=3)
        presence: Any = SimpleNamespace(node_of=lambda _host: node)
        repairs: Any = SimpleNamespace(busy=self._busy)
        self.busy = False
        hosts = [SiteHost("paris", "az")]
        self.orders = QuarantineOrders(hosts, self.quarantine, self.instances, self.conductor, presence, repairs)

    async def _answer(self, _subject: str, data: bytes, timeout: float) -> bytes:
        self.asked.append(codec.decode(data, Query))
        return codec.encode(self.reply)

    async def _busy(self, _uuid: str) -> bool:
        return self.busy


def order(verb: QueryName = QueryName.QUARANTINE_ADOPT, name: str = UUID) -> Query:
    return Query("paris", verb, server_id=name, asked_by="ann")


async def held(**row: Any) -> Bridge:
    bridge = Bridge(**row)
    await bridge.quarantine.put(ENTRY)
    return bridge


@pytest.mark.parametrize("name", [UUID, "srv-1"])
async def test_what_is_adopted_is_the_server_of_its_instance(name: str) -> None:
    bridge = await held(host=None, system_metadata={"shelved_host": "x", "kept": "1"})
    await bridge.orders.adopt(order(name=name))
    row = bridge.conductor.instances[UUID]
    assert (row["host"], row["compute_id"], row["vm_state"]) == ("paris", 3, "active")
    assert row["system_metadata"] == {"kept": "1"}
    known = bridge.instances.get(UUID)
    assert known is not None
    assert (known.generation, known.server_id, known.vm_state, known.pending) == (9, "srv-1", "active", None)
    assert keys.quarantined("paris", "srv-1") not in bridge.etcd.keys
    with pytest.raises(Refused):
        await bridge.orders.adopt(order(name=name))


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"host": "paris", "deleted": True},
        {"host": "lyon"},
        {"host": "paris", "task_state": "rebuilding"},
    ],
)
async def test_an_instance_without_a_place_for_it_adopts_nothing(row: dict[str, Any]) -> None:
    bridge = await held(**row)
    before = dict(bridge.conductor.instances)
    with pytest.raises(Refused):
        await bridge.orders.adopt(order())
    assert bridge.conductor.instances == before and bridge.instances.get(UUID) is None
    assert bridge.quarantine.find(UUID) == ENTRY


async def test_nothing_is_adopted_while_something_is_under_way() -> None:
    bridge = await held(host="paris")
    bridge.busy = True
    with pytest.raises(Refused, match="under way"):
        await bridge.orders.adopt(order())


async def test_what_is_returned_is_held_no_more() -> None:
    bridge = await held()
    assert (await bridge.orders.give_back(order())).text == "done"
    (asked,) = bridge.asked
    assert (asked.verb, asked.uuid, asked.server_id, asked.asked_by) == ("server_return", UUID, "srv-1", "ann")
    with pytest.raises(Refused, match="no server"):
        bridge.quarantine.find(UUID)


async def test_what_is_purged_is_held_until_the_site_lacks_it() -> None:
    bridge = await held(host="lyon")
    await bridge.orders.purge(order())
    assert bridge.asked[0].verb == "server_purge"
    assert bridge.quarantine.find(UUID).purged_at is not None
    await bridge.quarantine.release_all_but([])
    with pytest.raises(Refused):
        bridge.quarantine.find(UUID)


@pytest.mark.parametrize("what", ["give_back", "purge"])
async def test_the_server_of_an_instance_that_lives_here_is_no_orphan(what: str) -> None:
    bridge = await held(host="paris")
    with pytest.raises(Refused, match="delete it there"):
        await getattr(bridge.orders, what)(order())
    assert bridge.asked == []


async def test_what_the_site_refuses_stays_held() -> None:
    bridge = await held()
    bridge.reply = Reply(fault=Fault(FaultCode.CONFLICT, "it is paused"))
    with pytest.raises(Refused, match="paused"):
        await bridge.orders.give_back(order())
    assert bridge.quarantine.find(UUID) == ENTRY


async def test_two_servers_of_one_instance_are_told_apart_by_their_own_ids() -> None:
    bridge = await held()
    other = Quarantined(UUID, server(), "", 1.0)
    await bridge.quarantine.put(codec.from_json(codec.to_json(other).replace(b"srv-1", b"srv-2"), Quarantined))
    with pytest.raises(Refused, match="more than one"):
        bridge.quarantine.find(UUID)
    assert bridge.quarantine.find("srv-2").server.server_id == "srv-2"


def test_a_plan_is_told_in_words() -> None:
    above = Above(UUID, False, "active", "powering-off", "t", host="paris")
    now = Situation(UUID, above, record(), None, 0.0)
    step = Step(UUID, Action.MISSING, "why")
    plan = Plan({UUID: step}, {UUID: now}, (step,), frozenset(), frozenset(), 1)
    assert told(plan) == [PlannedStep(UUID, "missing", "why", "active/powering-off on paris", "settled", "", True)]


def test_a_long_plan_comes_in_pages() -> None:
    steps = [PlannedStep(f"i{number:03}", "missing", "why" * 20) for number in range(100)]
    found: list[PlannedStep] = []
    marker = ""
    pages = 0
    while True:
        reply = page([step for step in steps if step.uuid > marker], room=2_000)
        found += reply.steps
        marker, pages = reply.marker, pages + 1
        if not marker:
            break
    assert found == steps and pages > 3
