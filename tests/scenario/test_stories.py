"""Fault stories as text: steps, four dashes, and what must have happened. ``make rewrite`` writes the latter anew."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.fakes.clock import Clock, run
from tests.scenario import invariants
from tests.scenario.steps import do
from tests.scenario.world import World

HERE = Path(__file__).parent
REWRITE = "CASCADE_REWRITE" in os.environ
WAY = 0.005  # virtual s between a program and the world outside
RULE = "----"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    told = tell(text)
    if REWRITE:
        path.write_text(told, encoding="utf-8")
    assert told == text or REWRITE


def tell(text: str) -> str:
    """Return the story with the output that its steps have now."""
    random.seed(0)  # the order in which a bridge claims sites
    clock = Clock()
    told: list[str] = []

    async def main() -> None:
        world = World(clock, lambda: asyncio.sleep(WAY))
        for part in text.strip().split("\n\n"):
            told.append(await _part(world, part.split("\n")))
        await world.end()

    run(clock, main)
    return "\n\n".join(told) + "\n"


async def _part(world: World, lines: list[str]) -> str:
    steps = lines[: lines.index(RULE)] if RULE in lines else lines
    orders = [line for line in steps if not line.startswith("#")]
    if not orders:
        return "\n".join(steps)
    for order in orders:
        await do(world, order)
        invariants.check(world)
    if not orders[-1].startswith(("wait", "show")):
        await world.settle()
        invariants.check(world)
    return "\n".join([*steps, RULE, *world.teller.take()])
