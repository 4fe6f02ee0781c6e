"""CALLs with an effect: stored like casts, and answered once the instance's worker has ended them."""

import asyncio
import logging
import time
from typing import Any

from bridge.core.inventory import Liveness
from bridge.edge.nova_conductor import NovaConductor
from bridge.edge.nova_rpc import IncomingRpc, nova_error
from bridge.intake import Intake, about_instance
from bridge.presence import Presence
from proto.errors import FaultCode, Stale, Unavailable
from proto.messages import Fault, Rpc
from proto.operations import Operation, Verb

LOG = logging.getLogger(__name__)

PATIENCE = 50.0  # s; nova-api gives up after 60
# What nova-api turns into a clean HTTP error (Nova 34, api/openstack/compute): 409 and 400.
FAILURES = {
    Verb.SET_ADMIN_PASSWORD: "InstancePasswordSetFailed",
    Verb.ATTACH_INTERFACE: "AttachInterfaceNotSupported",
}
IN_USE = "PortInUse"  # 409


class AwaitedCalls:
    """The CALLs with an effect to the hosts of one owned site."""

    def __init__(self, site: str, intake: Intake, presence: Presence, conductor: NovaConductor) -> None:
        self._site = site
        self._conductor = conductor
        self._intake = intake
        self._presence = presence
        self._waiting: dict[str, asyncio.Future[tuple[Fault | None, Any]]] = {}

    async def answer(self, call: IncomingRpc, row: Operation) -> Any:
        """Return the result, or raise Nova's own exception: at once for a silent site, after PATIENCE s at the latest.

        A call that ran out of time expires in the site; if it was carried out after all, its outcome is shown above.
        """
        if self._presence.liveness is not Liveness.ONLINE:
            await self._free(call, row)
            raise nova_error(FAILURES[row.verb], f"site {self._site} does not answer now")
        waiting = self._waiting[call.rpc_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._intake.store(call)
                fault, result = await waiting
        except TimeoutError as error:
            raise nova_error(
                FAILURES[row.verb], f"site {self._site} did not carry it out within {PATIENCE:.0f} s"
            ) from error
        finally:
            del self._waiting[call.rpc_id]
        if fault is not None:
            in_use = row.verb is Verb.ATTACH_INTERFACE and fault.code is FaultCode.CONFLICT
            raise nova_error(IN_USE if in_use else FAILURES[row.verb], fault.message)
        return result

    async def _free(self, call: IncomingRpc, row: Operation) -> None:
        """Take back the task_state that nova-api saved before it called: nothing was begun."""
        if None in row.begun:
            return
        rpc = about_instance(call, time.time())
        try:
            await self._conductor.save_instance(rpc.context, rpc.uuid, {"task_state": None}, row.begun)
        except (Stale, Unavailable) as error:
            LOG.info("instance=%s %s: %s", rpc.uuid, call.method, error)

    def ended(self, rpc: Rpc, fault: Fault | None, result: Any = None) -> None:
        """Tell who waits for this RPC how it ended; the first word counts, and nobody may be waiting."""
        waiting = self._waiting.get(rpc.rpc_id)
        if waiting is not None and not waiting.done():
            waiting.set_result((fault, result))
