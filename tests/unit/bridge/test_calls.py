"""CALLs that only read: one query to the site, or Nova's own exception."""

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.calls import Calls
from bridge.edge.nova_objects import DATA
from bridge.edge.nova_rpc import IncomingRpc
from proto import codec
from proto.errors import FaultCode, Unavailable
from proto.messages import Fault, Query, Reply
from proto.operations import CALL_REFUSALS
from tests.fakes.cloud_nova import DIAGNOSTICS
from tests.fakes.conductor import wrapped
from tests.unit.bridge.cases import UUID


class Road:
    """A site that gives one reply, or none."""

    def __init__(self, reply: Reply | None) -> None:
        self.reply = reply
        self.asked: list[Query] = []

    async def request(self, _subject: str, data: bytes, timeout: float) -> bytes:
        self.asked.append(codec.decode(data, Query))
        if self.reply is None:
            raise Unavailable("no responders")
        return codec.encode(self.reply)


async def answer(method: str, reply: Reply | None = None, **args: Any) -> Any:
    nothing: Any = SimpleNamespace()
    road: Any = Road(reply)
    call = IncomingRpc(
        "paris", method, "rpc-1", {}, {"instance": wrapped("Instance", uuid=UUID), **args}, is_call=True,
        redelivered=False,
    )  # fmt: skip
    return await Calls("paris", road, nothing, nothing, nothing).answer(call)


async def raised(method: str, reply: Reply | None = None) -> str:
    """Return the name of what nova-api sees."""
    with pytest.raises(Exception) as caught:
        await answer(method, reply)
    return type(caught.value).__name__


async def test_what_the_site_says_is_the_answer() -> None:
    assert await answer("get_console_output", Reply(text="login:"), tail_length=3) == "login:"
    assert await answer("get_vnc_console", Reply(text="http://x"), console_type="novnc") == {"access_url": "http://x"}
    assert await answer("get_diagnostics", Reply(diagnostics={"cpu0_time": 1})) == {"cpu0_time": 1}
    shown = await answer("get_instance_diagnostics", Reply(diagnostics=DIAGNOSTICS))
    assert shown[DATA]["num_cpus"] == 1 and shown[DATA]["nic_details"][0][DATA]["rx_octets"] == 2070139


@pytest.mark.parametrize(
    ("method", "silent", "missing", "not_now", "never"),
    [
        ("get_console_output", "ConsoleNotAvailable", "InstanceNotFound", "InstanceNotReady", "ConsoleNotAvailable"),
        ("get_vnc_console", "InstanceNotReady", "InstanceNotFound", "InstanceNotReady", "ConsoleTypeUnavailable"),
        ("get_diagnostics", "InstanceNotReady", "InstanceNotReady", "InstanceInvalidState", "NotImplementedError"),
        (
            "get_instance_diagnostics",
            "InstanceNotReady",
            "InstanceNotReady",
            "InstanceInvalidState",
            "NotImplementedError",
        ),
    ],
)
async def test_every_no_is_novas_own(method: str, silent: str, missing: str, not_now: str, never: str) -> None:
    assert await raised(method) == silent
    for code, name in (
        (FaultCode.SITE_SILENT, silent),
        (FaultCode.MISSING, missing),
        (FaultCode.CONFLICT, not_now),
        (FaultCode.REJECTED, never),
    ):
        assert await raised(method, Reply(fault=Fault(code, "no"))) == name


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {**DIAGNOSTICS, "driver": "abacus"},
        {**DIAGNOSTICS, "uptime": "long"},
        {**DIAGNOSTICS, "cpu_details": [7]},
        {**DIAGNOSTICS, "nic_details": [{"mac_address": "nobody"}]},
    ],
)
async def test_nonsense_of_a_site_does_not_reach_nova(shown: dict[str, Any]) -> None:
    assert await raised("get_instance_diagnostics", Reply(diagnostics=shown)) == "NotImplementedError"


@pytest.mark.parametrize("method", CALL_REFUSALS)
async def test_a_call_that_no_site_can_carry_out_is_refused(method: str) -> None:
    assert await raised(method) == CALL_REFUSALS[method]


async def test_a_call_of_a_newer_nova_is_not_implemented() -> None:
    assert await raised("do_what_nobody_knows_yet") == "NotImplementedError"


async def test_images_are_cached_by_their_first_boot_alone() -> None:
    assert await answer("cache_images", image_ids=["a", "b"]) == {"a": "unsupported", "b": "unsupported"}
