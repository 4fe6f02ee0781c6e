"""Asks for chunks: who gets them, when, and how fast."""

import asyncio
from typing import Any

import pytest

from bridge import asks as asks_module
from bridge.asks import HOLDING, MAX_CHUNK, Asks
from bridge.edge.cloud_session import Answer
from bridge.edge.glance import Glance
from bridge.flight import Flight, Flights
from bridge.pace import Pace
from proto import codec
from proto.errors import FaultCode, Refused
from proto.messages import Ask, Reply
from tests.fakes import clock
from tests.unit.bridge import cases

MIB = 1024**2


class Above:
    """A Glance that has one image."""

    async def chunk(self, image_id: str, offset: int, length: int) -> bytes:
        return bytes(length)


def make(rate: float = 0.0, wanted: str = "img-1") -> Asks:
    flights = Flights()
    flight = Flight(cases.rpc("build_and_run_instance"))
    flight.image_id = wanted
    flights.begin(flight)
    above: Any = Above()
    nobody: Any = None
    return Asks("paris", 3, above, nobody, flights, Pace(rate))


async def chunk(asks: Asks, agent: str = "a", length: int = MAX_CHUNK, image: str = "img-1") -> Reply:
    ask = Ask("paris", "image_chunk", image_id=image, length=length, agent=agent)
    return codec.decode(await asks.answer("", codec.encode(ask)), Reply)


def code(reply: Reply) -> FaultCode | None:
    return reply.fault.code if reply.fault else None


def test_only_what_a_boot_wants_is_sent() -> None:
    async def story() -> None:
        asks = make()
        assert len((await chunk(asks)).data) == MAX_CHUNK
        assert code(await chunk(asks, image="img-2")) is FaultCode.EXPIRED
        assert code(await chunk(asks, length=MAX_CHUNK + 1)) is FaultCode.REJECTED

    clock.run(clock.Clock(), story)


def test_one_agent_of_a_site_carries_an_image() -> None:
    async def story() -> None:
        asks = make()
        await chunk(asks, "a")
        assert code(await chunk(asks, "b")) is FaultCode.CONFLICT
        await asyncio.sleep(HOLDING + 1)
        assert code(await chunk(asks, "b")) is None
        assert code(await chunk(asks, "a")) is FaultCode.CONFLICT

    clock.run(clock.Clock(), story)


def test_the_rate_limit_spaces_chunks_out_and_keeps_nobody_too_long() -> None:
    async def story() -> None:
        loop, asks = asyncio.get_running_loop(), make(rate=0.25 * MIB)  # a chunk every 2 s
        began = loop.time()
        answers = await asyncio.gather(*(chunk(asks) for _ in range(asks_module.AT_ONCE)))
        assert [code(answer) for answer in answers].count(None) == 6
        assert code(answers[-1]) is FaultCode.SITE_SILENT
        assert loop.time() - began == pytest.approx(asks_module.LONGEST_WAIT)

    clock.run(clock.Clock(), story)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer(206, None, {}, b"1234"), b"1234"),
        (Answer(200, None, {}, b"0000123400"), b"1234"),
        (Answer(200, None, {}, b""), "ignores Range"),
        (Answer(404, None), "deleted above"),
    ],
)
async def test_what_glance_above_makes_of_a_range(answer: Answer, what: bytes | str) -> None:
    class Session:
        async def call(self, *_: Any, **options: Any) -> Answer:
            assert options["most"] == 4
            return answer

    session: Any = Session()
    if isinstance(what, bytes):
        assert await Glance(session).chunk("img-1", 4, 4) == what
        return
    with pytest.raises(Refused, match=what):
        await Glance(session).chunk("img-1", 4, 4)
