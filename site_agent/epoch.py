"""Which life of its site the agent works for: asked of the bridge again and again, and never taken back."""

import asyncio
import logging
import time

from proto import codec, subjects
from proto.errors import CascadeError, FaultCode, Stale, Unavailable
from proto.jetstream import JetStream
from proto.messages import Ask, Command, Reply
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

ASK_INTERVAL = 10.0  # s
ASK_TIMEOUT = 5.0  # s
RETRY = 1.0  # s between two asks that nobody answers
TRUSTED = 60.0  # s without an answer after which nothing is begun any more: the site may have been given up


class Epoch:
    """The epoch of one site as one agent process knows it; begins with that of the bundle.

    An operator who gives the site up raises it, and then the site's instances may be made elsewhere: so an agent that
    has not heard of its bridge for a minute begins nothing, and once it hears of a new epoch it drops what is older.
    """

    def __init__(self, site: str, epoch: int, road: JetStream) -> None:
        self.number = epoch
        self._site = site
        self._road = road
        self._heard_at = float("-inf")  # monotonic s
        self._heard = asyncio.Event()

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            answered = await self._ask()
            await asyncio.sleep(ASK_INTERVAL if answered else RETRY)

    async def trusted(self) -> None:
        """Wait until a bridge was heard of lately."""
        while not self._is_trusted():
            self._heard.clear()
            await self._heard.wait()

    def check(self, command: Command) -> None:
        """Raise Stale for a command of an earlier life, Unavailable while the present one is not known."""
        if command.epoch < self.number:
            raise Stale(f"for epoch {command.epoch} of the site, this is {self.number}")
        if not self._is_trusted():
            raise Unavailable(
                f"no bridge was heard of for {TRUSTED:.0f} s: the site may have been given up", ASK_TIMEOUT
            )
        self._learn(command.epoch)  # only bridges can publish commands

    def heard(self, epoch: int, at: float) -> None:
        """Take a bridge's word of monotonic ``at``; 0 = it does not say."""
        self._learn(epoch)
        self._heard_at = max(self._heard_at, at)
        self._heard.set()

    async def _ask(self) -> bool:
        ask = Ask(self._site, QueryName.EPOCH)
        asked_at = time.monotonic()
        try:
            data = await self._road.request(subjects.ask(self._site, ask.verb), codec.encode(ask), ASK_TIMEOUT)
            reply = codec.decode(data, Reply)
        except CascadeError as error:
            LOG.debug("site=%s which epoch it is, nobody says: %s", self._site, error)
            return False
        if reply.fault is not None and reply.fault.code is not FaultCode.UNSUPPORTED:
            return False
        self.heard(reply.epoch, asked_at)
        return True

    def _learn(self, epoch: int) -> None:
        if epoch > self.number:
            LOG.warning("site=%s epoch %d: commands of before are dropped", self._site, epoch)
            self.number = epoch

    def _is_trusted(self) -> bool:
        return time.monotonic() - self._heard_at <= TRUSTED
