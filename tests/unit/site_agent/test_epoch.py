"""Which life of its site an agent works for, and that it begins nothing while it cannot know."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from proto import codec
from proto.errors import FaultCode, Stale, Unavailable
from proto.messages import Command, Fault, Reply
from proto.operations import Verb
from site_agent.epoch import TRUSTED, Epoch
from tests.fakes import clock


class Bridge:
    """Says which epoch it is, or nothing while it is away."""

    def __init__(self) -> None:
        self.reply: Reply | None = Reply(epoch=2)

    async def request(self, _subject: str, _data: bytes, _timeout: float) -> bytes:
        if self.reply is None:
            raise Unavailable("nobody answers")
        return codec.encode(self.reply)


def command(epoch: int) -> Command:
    return Command("paris", "u", 7, epoch, Verb.STOP, 0.0, None, "req-1")


def play(story: Callable[[Bridge, Epoch], Awaitable[None]]) -> None:
    async def main() -> None:
        bridge: Any = Bridge()
        epoch = Epoch("paris", 2, bridge)
        runner = asyncio.create_task(epoch.run())
        await story(bridge, epoch)
        runner.cancel()

    clock.run(clock.Clock(), main)


def test_nothing_is_begun_before_a_bridge_was_heard_of() -> None:
    epoch = Epoch("paris", 2, SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        epoch.check(command(2))
    with pytest.raises(Stale):
        epoch.check(command(1))
    with pytest.raises(Unavailable):
        epoch.check(command(3))
    assert epoch.number == 2


def test_nothing_is_begun_a_minute_after_the_link_was_cut() -> None:
    async def story(bridge: Bridge, epoch: Epoch) -> None:
        await epoch.trusted()
        epoch.check(command(2))
        bridge.reply = None
        await asyncio.sleep(TRUSTED + 15)
        with pytest.raises(Unavailable):
            epoch.check(command(2))
        waiting = asyncio.create_task(epoch.trusted())
        await asyncio.sleep(5)
        assert not waiting.done()
        bridge.reply = Reply(epoch=3)
        await asyncio.sleep(10)
        assert waiting.done()
        with pytest.raises(Stale):
            epoch.check(command(2))
        epoch.check(command(3))

    play(story)


def test_a_command_of_a_later_life_is_proof_of_it_and_it_is_never_taken_back() -> None:
    async def story(_bridge: Bridge, epoch: Epoch) -> None:
        await epoch.trusted()
        epoch.check(command(5))
        await asyncio.sleep(20)
        assert epoch.number == 5
        with pytest.raises(Stale):
            epoch.check(command(4))

    play(story)


def test_an_older_bridge_that_knows_no_such_question_is_heard_and_a_broken_one_is_not() -> None:
    async def story(bridge: Bridge, epoch: Epoch) -> None:
        bridge.reply = Reply(fault=Fault(FaultCode.UNSUPPORTED, "nobody here answers epoch"))
        await asyncio.sleep(TRUSTED + 15)
        epoch.check(command(2))
        bridge.reply = Reply(fault=Fault(FaultCode.REJECTED, "no"))
        await asyncio.sleep(TRUSTED + 15)
        with pytest.raises(Unavailable):
            epoch.check(command(2))

    play(story)
