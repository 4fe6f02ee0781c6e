"""The turns of a site's operations: few stand at its door, more are with it, and what is urgent waits for none."""

import asyncio
from typing import Any

import pytest

from bridge import stages
from bridge.core.records import SiteSpec
from bridge.flight import Flight
from bridge.publisher import Superseded
from bridge.stages import Stages
from proto.messages import Rpc
from proto.operations import BY_VERB, Verb

NOBODY: Any = None


class Site:
    """Operations that hold their turn until they are told to end."""

    def __init__(self) -> None:
        self.stages = Stages(SiteSpec("paris", [], "key", "U1"), NOBODY, NOBODY, NOBODY)
        self.flights: dict[str, Flight] = {}
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def ask(self, *names: str, verb: Verb = Verb.CREATE) -> None:
        """Begin one for each name; its first letter names the project."""
        for name in names:
            self.flights[name] = Flight(Rpc(name, "paris", "m", name, {"project_id": name[0]}, {}, 0.0))
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._work(name, verb))
        await settle()

    async def _work(self, name: str, verb: Verb) -> None:
        async with self.stages.turn(self.flights[name], BY_VERB[verb]):
            self.inside.append(name)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "DOOR", 2)
    monkeypatch.setattr(stages.streams, "SITE_WINDOW", 4)


async def test_what_the_site_has_begun_with_stands_at_its_door_no_more() -> None:
    site = Site()
    await site.ask("a1", "a2", "a3", "a4", "b1")
    assert site.inside == ["a1", "a2"]
    site.flights["a1"].taken()
    site.flights["a1"].taken()  # told twice: still one place
    await settle()
    assert site.inside == ["a1", "a2", "a3"]
    site.flights["a2"].taken()
    await settle()
    assert len(site.inside) == 4  # the window is full
    await site.end("a1")
    site.flights["a3"].taken()
    await settle()
    assert "b1" in site.inside


async def test_what_is_urgent_waits_for_nothing() -> None:
    site = Site()
    await site.ask("a1", "a2", "a3", "a4", "a5")
    await site.ask("b1", verb=Verb.STOP)
    await site.ask("b2", verb=Verb.DETACH_INTERFACE)
    assert site.inside == ["a1", "a2", "b1", "b2"]


async def test_a_silent_site_is_given_as_many_as_the_window_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "DOOR_LIMIT", 0.01)
    site = Site()
    await site.ask("a1", "a2", "a3", "a4", "a5")
    await asyncio.sleep(0.1)
    assert site.inside == ["a1", "a2", "a3", "a4"]


async def test_who_is_deleted_while_it_waits_costs_no_place() -> None:
    site = Site()
    await site.ask("a1", "a2", "a3", "b1")
    site.flights["a3"].superseded.set()
    with pytest.raises(Superseded):
        await site.tasks["a3"]
    await site.end("a1")
    await site.end("a2")
    assert site.inside == ["a1", "a2", "b1"]
    await site.ask("c1")
    assert site.inside[-1] == "c1"
