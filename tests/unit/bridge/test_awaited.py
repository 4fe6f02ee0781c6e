"""CALLs with an effect: answered at their end, or refused with Nova's own exception."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import awaited
from bridge.awaited import AwaitedCalls
from bridge.core.inventory import Liveness
from bridge.edge.nova_rpc import IncomingRpc
from proto.errors import FaultCode
from proto.messages import Fault, Rpc
from proto.operations import BY_VERB, Verb
from tests.fakes.conductor import FakeConductor, wrapped
from tests.unit.bridge.cases import UUID, rpc

ROW = BY_VERB[Verb.SET_ADMIN_PASSWORD]
ARGS = {"instance": wrapped("Instance", uuid=UUID)}
CALL = IncomingRpc("paris", "set_admin_password", "rpc-1", {}, ARGS, is_call=True, redelivered=False)


class Stored:
    """An INTAKE that keeps what it is given."""

    def __init__(self) -> None:
        self.calls: list[IncomingRpc] = []
        self.conductor: Any = None

    async def store(self, incoming: IncomingRpc) -> None:
        self.calls.append(incoming)


def calls(live: Liveness | None = Liveness.ONLINE) -> tuple[AwaitedCalls, Stored]:
    stored: Any = Stored()
    presence: Any = SimpleNamespace(liveness=live)
    conductor: Any = FakeConductor(lambda: 0.0)
    conductor.add(UUID, vm_state="active", task_state="updating_password", host="paris")
    table = AwaitedCalls("paris", stored, presence, conductor)
    stored.conductor = conductor
    return table, stored


def done() -> Rpc:
    return rpc("set_admin_password", "rpc-1")


async def test_a_call_is_stored_and_answered_at_its_end() -> None:
    table, stored = calls()
    answer = asyncio.ensure_future(table.answer(CALL, ROW))
    await asyncio.sleep(0)
    assert stored.calls == [CALL] and not answer.done()
    table.ended(done(), None, "result")
    table.ended(done(), Fault(FaultCode.REJECTED, "too late to matter"))
    assert await answer == "result"


async def test_a_fault_is_novas_own_exception() -> None:
    table, _ = calls()
    answer = asyncio.ensure_future(table.answer(CALL, ROW))
    await asyncio.sleep(0)
    table.ended(done(), Fault(FaultCode.REJECTED, "no agent in the guest"))
    with pytest.raises(Exception, match="no agent in the guest") as raised:
        await answer
    assert type(raised.value).__name__ == "InstancePasswordSetFailed"


@pytest.mark.parametrize("live", [Liveness.SILENT, None])
async def test_a_silent_site_is_refused_at_once_and_nothing_is_stored(live: Liveness | None) -> None:
    table, stored = calls(live)
    with pytest.raises(Exception, match="does not answer"):
        await table.answer(CALL, ROW)
    assert stored.calls == []
    assert stored.conductor.instances[UUID]["task_state"] is None


async def test_nobody_waits_longer_than_nova(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited, "PATIENCE", 0.01)
    table, _ = calls()
    with pytest.raises(Exception, match="did not carry it out"):
        await table.answer(CALL, ROW)
    table.ended(done(), None)  # its outcome comes later, and nobody waits
