"""Addresses that a tenant adds to a card or takes away (Nova's API below 2.44)."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec

from bridge.network_info import NetworkInfo
from proto.messages import Rpc
from tests.fakes.conductor import FakeConductor
from tests.fakes.neutron import FakeNeutron
from tests.unit.bridge.cases import UUID, rpc


class Above:
    """An instance with one card."""

    def __init__(self) -> None:
        self.conductor, self.neutron = FakeConductor(lambda: 0.0), FakeNeutron()
        self.conductor.add(UUID, vm_state="active", task_state=None, host="paris")
        self.port = self.neutron.add(device_id=UUID)["id"]
        networks: Any = SimpleNamespace(changed=lambda uuid, ports: None)
        conductor: Any = self.conductor
        neutron: Any = self.neutron
        self.info = NetworkInfo(conductor, neutron, networks)

    async def ask(self, method: str, rpc_id: str = "rpc-1", **args: Any) -> None:
        await self.info.carry_out(msgspec.structs.replace(asked(method, rpc_id), args=args))

    @property
    def addresses(self) -> list[str]:
        return [fixed["ip_address"] for fixed in self.neutron.made[self.port]["fixed_ips"]]

    @property
    def shown(self) -> list[str]:
        vifs = json.loads(self.conductor.instances[UUID]["info_cache"]["network_info"])
        return [ip["address"] for vif in vifs for subnet in vif["network"]["subnets"] for ip in subnet["ips"]]


def asked(method: str, rpc_id: str) -> Rpc:
    return rpc(method, rpc_id)


async def test_an_address_is_added_once_however_often_it_is_asked_for() -> None:
    above = Above()
    for _ in range(2):
        await above.ask("add_fixed_ip_to_instance", network_id="net-1")
    assert len(above.addresses) == 2 and above.shown == above.addresses
    await above.ask("add_fixed_ip_to_instance", "rpc-2", network_id="net-1")
    assert len(above.addresses) == 3


async def test_an_address_is_taken_away_and_that_may_be_repeated() -> None:
    above = Above()
    await above.ask("add_fixed_ip_to_instance", network_id="net-1")
    first, second = above.addresses
    for _ in range(2):
        await above.ask("remove_fixed_ip_from_instance", "rpc-2", address=second)
        assert above.addresses == above.shown == [first]


async def test_a_network_without_a_free_address_leaves_a_fault_and_no_task() -> None:
    above = Above()
    above.neutron.full = True
    await above.ask("add_fixed_ip_to_instance", network_id="net-1")
    assert "no further address" in above.conductor.faults[UUID][0]
    assert len(above.shown) == 1 and above.conductor.instances[UUID]["task_state"] is None


async def test_injecting_shows_what_is() -> None:
    above = Above()
    await above.ask("inject_network_info")
    assert above.shown == above.addresses
