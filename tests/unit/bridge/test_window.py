"""The window of a site: bounded, fair between projects, and no place is lost."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bridge.window import Window


class Site:
    """Tasks that take places and hold them until told to leave."""

    def __init__(self, size: int) -> None:
        self.window = Window(size)
        self.entered: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def enter(self, *names: str) -> None:
        """Let each enter for the project that its first letter names."""
        for name in names:
            self.tasks[name] = asyncio.create_task(self._enter(name))
        await settle()

    async def _enter(self, name: str) -> None:
        await self.window.enter(name[0])
        self.entered.append(name)

    async def leave(self, times: int = 1) -> None:
        for _ in range(times):
            self.window.leave()
            await settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_its_size_are_in() -> None:
    site = Site(2)
    await site.enter("a1", "a2", "a3")
    assert site.entered == ["a1", "a2"]
    await site.leave()
    assert site.entered == ["a1", "a2", "a3"]


async def test_a_burst_waits_behind_itself() -> None:
    site = Site(1)
    await site.enter("a0", "a1", "a2", "a3", "a4", "b1", "c1", "b2")
    await site.leave(7)
    assert site.entered == ["a0", "a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_one_project_keeps_its_order() -> None:
    site = Site(1)
    await site.enter("a0", "a1", "a2", "a3")
    await site.leave(3)
    assert site.entered == ["a0", "a1", "a2", "a3"]


async def test_who_gives_up_waiting_costs_no_place() -> None:
    site = Site(1)
    await site.enter("a0", "a1", "b1")
    await site.cancel("a1")
    await site.leave()
    assert site.entered == ["a0", "b1"]
    await site.leave()
    await site.enter("c1")
    assert site.entered == ["a0", "b1", "c1"]


async def test_who_gives_up_in_the_moment_of_entering_gives_the_place_back() -> None:
    site = Site(1)
    await site.enter("a0", "a1", "b1")
    site.window.leave()  # a1 has the place but has not run yet
    await site.cancel("a1")
    assert site.entered == ["a0", "b1"]


@given(st.lists(st.sampled_from(["enter a", "enter b", "enter c", "leave", "cancel", "leave and cancel"]), max_size=30))
def test_places_are_neither_lost_nor_made(steps: list[str]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    site, left, size = Site(2), 0, 2
    for number, step in enumerate(steps):
        inside = len(site.entered) - left
        waiting = [name for name, task in site.tasks.items() if not task.done()]
        if step.startswith("enter"):
            await site.enter(f"{step[-1]}{number}")
        if "leave" in step and inside:
            site.window.leave()
            left += 1
        if "cancel" in step and waiting:
            await site.cancel(waiting[0])
        await settle()
        inside = len(site.entered) - left
        waiting = [name for name, task in site.tasks.items() if not task.done()]
        assert 0 <= inside <= size
        assert inside == size or not waiting
