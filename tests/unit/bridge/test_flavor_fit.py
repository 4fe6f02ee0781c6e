"""A flavor that can never work in a site is refused before anything is made."""

import msgspec
import pytest

from bridge.core.flavor_fit import refuse_misfit
from proto.errors import FaultCode, Refused
from proto.messages import Capacity, ClassCapacity
from tests.fakes.messages import FLAVOR

SITE = Capacity(
    8, 8, 8, 8, 8, 8, 1, traits=["HW_CPU_X86_AVX2"], classes={"CUSTOM_GPU": ClassCapacity(4, 4)}, measured_at=1.0
)


def check(specs: dict[str, str], capacity: Capacity | None = SITE) -> None:
    refuse_misfit(msgspec.structs.replace(FLAVOR, extra_specs=specs), capacity)


@pytest.mark.parametrize(
    ("spec", "value", "reason"),
    [
        ("accel:device_profile", "gpu", "device profile 'gpu'"),
        ("resources:CUSTOM_FPGA", "1", "class CUSTOM_FPGA"),
        ("resources1:CUSTOM_FPGA", "1", "class CUSTOM_FPGA"),
        ("trait:CUSTOM_GOLD", "required", "trait CUSTOM_GOLD"),
    ],
)
def test_refused_with_the_reason(spec: str, value: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as caught:
        check({spec: value})
    assert caught.value.code is FaultCode.FLAVOR


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("resources:CUSTOM_GPU", "2"),
        ("resources:CUSTOM_FPGA", "0"),
        ("resources:VGPU", "1"),  # Placement above says whether there is any
        ("trait:HW_CPU_X86_AVX2", "required"),
        ("trait:CUSTOM_GOLD", "forbidden"),
        ("hw:cpu_policy", "dedicated"),
        ("quota:cpu_shares", "512"),
        ("capabilities:cpu_info", "x"),
    ],
)
def test_let_through(spec: str, value: str) -> None:
    check({spec: value})


def test_a_site_that_shows_no_hosts_proves_nothing() -> None:
    check({"trait:CUSTOM_GOLD": "required"}, None)
    check({"trait:CUSTOM_GOLD": "required"}, msgspec.structs.replace(SITE, hosts=0, traits=[]))
    check({"trait:CUSTOM_GOLD": "required"}, msgspec.structs.replace(SITE, measured_at=0.0))  # an older agent
