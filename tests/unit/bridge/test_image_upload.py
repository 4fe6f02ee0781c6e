"""Snapshots on their way up: resumed, checked, stored into nova-api's image, and cleaned up when they fail."""

import asyncio
import hashlib
from typing import Any

import pytest

from bridge.image_upload import ImageUploads
from bridge.pace import Pace
from proto import codec, subjects
from proto.errors import FaultCode, Refused, Unavailable
from proto.messages import Direction, Fault, Query, Reply, SiteImage, TransferState
from tests.fakes import clock
from tests.fakes.glance import FakeGlance
from tests.fakes.process import Process
from tests.fakes.road import Road
from tests.fakes.spool import Disk, FakeSpool

CONTENT = bytes(range(256)) * 8192  # 2 MiB: four chunks
HASH = hashlib.sha512(CONTENT).hexdigest()
TAKEN = SiteImage("below", "snap-1", "cascade-snap-1", "active", len(CONTENT), "sha512", HASH, "qcow2", "bare", 0.0)


class Link:
    """A bridge's uploads, and a site that answers their queries."""

    def __init__(self) -> None:
        self.road = Road()
        self.disk = Disk()
        self.glance = FakeGlance()
        self.glance.begin_snapshot("srv")
        self.images = [TAKEN]
        self.content = CONTENT
        self.asked: list[tuple[str, int]] = []
        self.dies_at: int | None = None

    async def start(self) -> None:
        await self.road.link(Process("agent")).subscribe(subjects.query_filter("paris"), self._answer)

    def uploads(self, rate: float = 0.0) -> ImageUploads:
        road: Any = self.road.link(Process("bridge"))
        glance: Any = self.glance
        spool: Any = FakeSpool(self.disk)
        return ImageUploads("paris", road, glance, spool, Pace(rate))

    async def _answer(self, _subject: str, data: bytes) -> bytes:
        query = codec.decode(data, Query)
        self.asked.append((query.verb, query.offset))
        if query.verb == "image_chunk":
            if query.offset == self.dies_at:
                return codec.encode(Reply(fault=Fault(FaultCode.SITE_SILENT, "glance is away")))
            return codec.encode(Reply(data=self.content[query.offset : query.offset + (query.length or 0)]))
        if query.verb == "snapshot_discard":
            self.images = []
        return codec.encode(Reply(images=self.images))


def play(story: Any) -> None:
    async def main() -> None:
        link = Link()
        await link.start()
        await story(link)

    clock.run(clock.Clock(), main)


def test_a_snapshot_goes_into_the_image_that_nova_api_made() -> None:
    async def story(link: Link) -> None:
        uploads = link.uploads()
        assert not await uploads.finished("snap-1")
        await uploads.store("snap-1", "project-1", await uploads.carry("snap-1"))
        assert await uploads.finished("snap-1")
        image = link.glance.images["snap-1"]
        assert (image["disk_format"], image["container_format"], image["owner_id"]) == ("qcow2", "bare", "project-1")
        assert (image["image_state"], image["image_location"]) == ("available", "snapshot")
        assert link.glance.content["snap-1"] == CONTENT
        assert link.disk.files == {}

    play(story)


def test_a_bridge_that_died_goes_on_where_it_stopped() -> None:
    async def story(link: Link) -> None:
        link.dies_at = 1024 * 1024
        first = link.uploads()
        carrying = asyncio.ensure_future(first.carry("snap-1"))
        await asyncio.sleep(60)
        [shown] = first.shown()
        assert (shown.direction, shown.state, shown.carried) == (Direction.UP, TransferState.PAUSED, 1024 * 1024)
        carrying.cancel()
        await asyncio.wait({carrying})
        link.dies_at = None
        link.asked.clear()
        await link.uploads().carry("snap-1")
        assert [offset for verb, offset in link.asked if verb == "image_chunk"] == [1024 * 1024, 1536 * 1024]

    play(story)


@pytest.mark.parametrize("status", ["saving", "queued"])
def test_what_the_site_has_not_finished_is_waited_for(status: str) -> None:
    async def story(link: Link) -> None:
        link.images = [SiteImage("below", "snap-1", "", status, 0, "", "", "raw", "bare", 0.0)]
        with pytest.raises(Unavailable, match=status):
            await link.uploads().carry("snap-1")

    play(story)


def test_a_snapshot_that_left_no_image_or_arrives_damaged_is_refused() -> None:
    async def story(link: Link) -> None:
        link.content = CONTENT[:-1] + b"?"
        with pytest.raises(Refused, match="another hash"):
            await link.uploads().carry("snap-1")
        assert link.disk.files == {}
        link.images = []
        with pytest.raises(Refused, match="left no image"):
            await link.uploads().carry("snap-1")

    play(story)


def test_a_full_store_above_leaves_no_part() -> None:
    async def story(link: Link) -> None:
        link.glance.refuse_uploads = Refused(FaultCode.QUOTA, "Image storage media is full")
        uploads = link.uploads()
        with pytest.raises(Refused, match="full"):
            await uploads.store("snap-1", "project-1", await uploads.carry("snap-1"))
        assert link.disk.files == {}

    play(story)


def test_what_failed_is_deleted_above_and_in_the_site_and_what_is_finished_stays() -> None:
    async def story(link: Link) -> None:
        uploads = link.uploads()
        await uploads.discard("snap-1")
        assert "snap-1" not in link.glance.images and link.images == []
        await uploads.discard("snap-1")
        await uploads.discard("img-1")
        assert "img-1" in link.glance.images

    play(story)


def test_a_rate_limit_holds_upwards_too() -> None:
    async def story(link: Link) -> None:
        began = asyncio.get_running_loop().time()
        await link.uploads(rate=1024 * 1024).carry("snap-1")
        assert 1.4 <= asyncio.get_running_loop().time() - began < 3

    play(story)
