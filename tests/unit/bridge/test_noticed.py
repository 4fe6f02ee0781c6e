"""Names and metadata that tenants change without an RPC, on their way to a site."""

import asyncio
from typing import Any

import msgspec
import pytest

from bridge.core.names import LARGEST, MOST, Known, Look, of_api, portions, telling
from bridge.noticed import NOT_YET, OVERLAP, RESYNC, Noticed, ServerWatch
from proto import codec
from proto.errors import Unavailable
from proto.messages import Query, Reply
from proto.specs import ServerNames
from tests.fakes.clock import Clock, run

DOCUMENT: dict[str, Any] = {
    "id": "u1",
    "name": "web",
    "description": None,
    "metadata": {"role": "front"},
    "OS-EXT-STS:vm_state": "active",
    "OS-EXT-STS:task_state": None,
    "OS-EXT-SRV-ATTR:host": "paris",
    "OS-EXT-SRV-ATTR:hostname": "web",
    "OS-SRV-USG:launched_at": "2026-11-22T10:00:00.000000",
}


def known(uuid: str = "u1", name: str = "web", launched_at: str = "1", host: str = "paris", **fields: Any) -> Known:
    """What an instance is called."""
    names = ServerNames(uuid, name, None, None, {})
    return Known(msgspec.structs.replace(names, **fields), launched_at, host)


class Above:
    """The cascading cloud's servers; ``changed`` is what the next look shows."""

    def __init__(self) -> None:
        self.servers: list[Known] = []
        self.changed: list[Known] = []
        self.asked: list[float] = []
        self.date = 1000.0

    async def changed_since(self, moment: float) -> Look:
        self.asked.append(moment)
        changed, self.changed = self.changed, []
        return Look(changed, self.date)

    async def on_host(self, host: str) -> Look:
        return Look([server for server in self.servers if server.host == host], self.date)


class Road:
    """A site that is told; ``undone`` is what it answers."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.undone: dict[str, str] = {}
        self.silent = False

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        if self.silent:
            raise Unavailable("nobody listens")
        self.told += [names.name for names in codec.decode(data, Query).servers]
        return codec.encode(Reply(undone=self.undone))


def play(story: Any) -> None:
    """Run a story with a watch and one site, on virtual time."""
    clock = Clock()

    async def main() -> None:
        above, road = Above(), Road()
        watch = ServerWatch(above)
        link: Any = road
        tasks = [asyncio.ensure_future(work) for work in (watch.run(), Noticed("paris", ["paris"], watch, link).run())]
        await story(above, road)
        for task in tasks:
            task.cancel()

    run(clock, main)


def test_an_entry_of_the_api_is_read() -> None:
    names = ServerNames("u1", "web", None, "web", {"role": "front"})
    assert of_api(DOCUMENT) == Known(names, "2026-11-22T10:00:00.000000", "paris")


@pytest.mark.parametrize("state", ["building", "deleted", "soft-delete", "shelved_offloaded"])
def test_what_has_no_server_is_left_out(state: str) -> None:
    assert of_api({**DOCUMENT, "OS-EXT-STS:vm_state": state}) is None


def test_what_is_being_deleted_is_left_out() -> None:
    assert of_api({**DOCUMENT, "OS-EXT-STS:task_state": "deleting"}) is None


def test_a_message_holds_so_many_servers_and_bytes() -> None:
    assert [len(portion) for portion in portions([known().names] * (MOST + 1))] == [MOST, 1]
    large = known(metadata={"key": "x" * (LARGEST // 2)}).names
    assert [len(portion) for portion in portions([large] * 3)] == [1, 1, 1]
    assert list(portions([])) == []


def test_a_change_is_told_once_and_one_of_another_site_is_not() -> None:
    async def story(above: Above, road: Road) -> None:
        above.servers = [known()]
        await asyncio.sleep(1)
        assert road.told == ["web"], "at take-over the site is told of all"
        above.changed = [known(name="api"), known("u2", "other", host="oslo")]
        await asyncio.sleep(10)
        above.changed = [known(name="api")]  # the overlap shows it again
        await asyncio.sleep(10)
        assert road.told == ["web", "api"]

    play(story)


def test_what_a_guest_made_anew_may_have_brought_is_told_again() -> None:
    async def story(above: Above, road: Road) -> None:
        above.servers = [known()]
        await asyncio.sleep(1)
        above.changed = [known(launched_at="2")]
        await asyncio.sleep(10)
        assert road.told == ["web", "web"]

    play(story)


def test_what_a_site_could_not_take_is_told_again_later() -> None:
    async def story(above: Above, road: Road) -> None:
        road.undone = {"u1": "Quota exceeded"}
        above.servers = [known()]
        await asyncio.sleep(NOT_YET - 5)
        assert road.told == ["web"]
        road.undone = {}
        await asyncio.sleep(NOT_YET)
        assert road.told == ["web", "web"]

    play(story)


def test_a_silent_site_hears_it_when_it_is_back() -> None:
    async def story(above: Above, road: Road) -> None:
        road.silent = True
        above.servers = [known()]
        await asyncio.sleep(60)
        road.silent = False
        await asyncio.sleep(10)
        assert road.told == ["web"]

    play(story)


def test_what_no_change_showed_the_full_look_finds() -> None:
    async def story(above: Above, road: Road) -> None:
        above.servers = [known(metadata={"role": "front"})]
        await asyncio.sleep(1)
        above.servers = [known()]  # an item was deleted: Nova does not count that as a change
        await asyncio.sleep(RESYNC + 10)
        assert road.told == ["web", "web"]

    play(story)


def test_the_watermark_is_the_other_clock_and_reaches_back() -> None:
    async def story(above: Above, _road: Road) -> None:
        await asyncio.sleep(5)
        above.date = 2000.0
        await asyncio.sleep(5)
        assert above.asked[1] == 1000.0 - OVERLAP and above.asked[-1] == 2000.0 - OVERLAP

    play(story)


def test_a_site_is_told_which_metadata_the_tenant_removed() -> None:
    told = known(metadata={"role": "front", "tier": "1"})
    assert telling(known(metadata={"role": "back"}), told) == known(metadata={"role": "back"}, gone=["tier"]).names
    assert telling(known(metadata={"role": "back"}), None).gone == []
