"""Which network a boot with `networks=auto` gets, while Neutron is still making one for another instance."""

import asyncio
from typing import Any, cast

import pytest

from bridge.addresses import Addresses
from bridge.cards import Cards
from bridge.networks import Networks
from proto.messages import Rpc
from tests.fakes.neutron import NETWORK, FakeNeutron

UUID = "11111111-2222-3333-4444-555555555555"


class AutoNeutron(FakeNeutron):
    """A Neutron that makes a project's network step by step: it is down until it is complete."""

    def __init__(self, networks: list[dict[str, Any]]) -> None:
        super().__init__()
        self.listed = networks
        self.asked = 0

    async def networks_of(self, project_id: str) -> list[dict[str, Any]]:
        """Return those of the project."""
        return self.listed

    async def auto_allocated(self, project_id: str) -> str:
        """Return the one that is complete."""
        self.asked += 1
        return str(NETWORK["id"])


@pytest.mark.parametrize(("listed", "asked"), [
    ([], 1),
    ([{"id": "half-made", "admin_state_up": False}], 1),
    ([{"id": "half-made", "admin_state_up": False}, {**NETWORK, "admin_state_up": True}], 0),
])  # fmt: skip
def test_a_network_that_is_still_being_made_is_not_used(listed: list[dict[str, Any]], asked: int) -> None:
    async def story() -> None:
        neutron = AutoNeutron(listed)
        cards = Cards(cast(Any, neutron), Addresses("paris", ["paris"], cast(Any, neutron)), cast(Networks, Unmapped()))
        args = {"requested_networks": [{"network_id": "auto"}]}
        rpc = Rpc("rpc-1", "paris", "build_and_run_instance", UUID, {}, args, 0.0)
        ((port, _),) = await cards.ports(rpc, {"project_id": "project-1"})
        assert port["device_id"] == UUID and neutron.asked == asked

    asyncio.run(story())


class Unmapped:
    """No network is mapped to one of the site's."""

    def mapped(self, network_id: str) -> None:
        """None is."""
