"""The fakes have the interface of what they stand for: every method they offer takes the same arguments."""

import inspect
from typing import Any

import pytest

from bridge.edge.etcd_store import EtcdStore
from bridge.edge.glance import Glance
from bridge.edge.neutron import Neutron
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_rpc import NovaRpc
from bridge.edge.placement import Placement
from proto import jetstream
from site_agent.edge.cloud import Cloud
from tests.fakes import road
from tests.fakes.cloud import FakeCloud
from tests.fakes.conductor import FakeConductor
from tests.fakes.etcd import FakeEtcdStore
from tests.fakes.glance import FakeGlance
from tests.fakes.neutron import FakeNeutron
from tests.fakes.placement import FakePlacement
from tests.fakes.rabbit import FakeNovaRpc

PAIRS: list[tuple[type, type]] = [
    (road.Link, jetstream.JetStream),
    (road.Pull, jetstream.Pull),
    (road.Delivery, jetstream.Delivery),
    (road.Subscription, jetstream.Subscription),
    (FakeConductor, NovaConductor),
    (FakeEtcdStore, EtcdStore),
    (FakeNovaRpc, NovaRpc),
    (FakeNeutron, Neutron),
    (FakeGlance, Glance),
    (FakePlacement, Placement),
    (FakeCloud, Cloud),
]
OF_NOVA_API = {"ensure_in_zone"}  # FakeConductor stands for two


def methods(kind: type) -> dict[str, Any]:
    """Return the coroutine methods that others call."""
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_") and inspect.iscoroutinefunction(value)
    }


@pytest.mark.parametrize(("fake", "real"), PAIRS, ids=lambda kind: kind.__name__)
def test_a_fake_takes_what_the_real_one_takes(fake: type, real: type) -> None:
    for name, method in methods(fake).items():
        if name in OF_NOVA_API:
            continue
        offered, wanted = inspect.signature(method).parameters, inspect.signature(getattr(real, name)).parameters
        flexible = any(parameter.kind is parameter.VAR_KEYWORD for parameter in offered.values())
        assert flexible or list(offered) == list(wanted), f"{fake.__name__}.{name}"
        for key in set(offered) & set(wanted):
            assert offered[key].default == wanted[key].default, f"{fake.__name__}.{name}({key})"
