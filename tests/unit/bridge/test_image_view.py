"""`cascade image list`: rows of what is there, of what is on its way, and of a site that does not say."""

import time
from typing import Any

from bridge.core import keys
from bridge.core.inventory import LastStatus
from bridge.core.records import Owner, SiteSpec
from bridge.edge.etcd_store import Stored
from bridge.operator import image_view
from proto import codec, subjects
from proto.errors import FaultCode, Unavailable
from proto.messages import Direction, Fault, ImageTransfer, Query, Reply, SiteImage, TransferState

NOW = 1_795_000_000.0
MIB = 1024**2
MOVING = ImageTransfer(
    "img-1", "debian", 200 * MIB, 84 * MIB, 3.5 * MIB, Direction.DOWN, TransferState.CARRYING, NOW - 30
)
PAUSED = ImageTransfer(
    "snap-1", "s", 10 * MIB, 0, 0.0, Direction.UP, TransferState.PAUSED, NOW, "the link to the bridge is cut"
)
HELD = SiteImage("below", "img-2", "cirros", "active", 20 * MIB, "sha512", "ab", "raw", "bare", NOW - 60)


class Context:
    """etcd with three sites, and a road on which one answers, one is silent and one has trouble."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        for site in ("lyon", "oslo", "paris"):
            self.keys[keys.spec(site)] = codec.to_json(SiteSpec(site, [], "", ""))
            self.keys[keys.owner(site)] = codec.to_json(Owner("b", NOW))
        status = LastStatus("paris", "a", NOW, NOW, {}, {}, 0, transfers=[MOVING, PAUSED], received_at=time.time() - 2)
        self.keys[keys.alive("paris")] = codec.to_json(status)

    async def store(self) -> Any:
        return self

    async def road(self) -> Any:
        return self

    async def get(self, key: str) -> Stored | None:
        return Stored(key, self.keys[key], 1, 0) if key in self.keys else None

    async def list(self, prefix: str) -> tuple[list[Stored], int]:
        return [Stored(key, value, 1, 0) for key, value in self.keys.items() if key.startswith(prefix)], 1

    async def count(self, *_: str) -> int:
        return 0

    async def request(self, subject: str, data: bytes, _timeout: float) -> bytes:
        site = codec.decode(data, Query).site
        assert subject == subjects.query(site, "images")
        if site == "oslo":
            raise Unavailable("no answer")
        fault = Fault(FaultCode.SITE_SILENT, "glance: 503") if site == "lyon" else None
        return codec.encode(Reply(fault=fault, images=[] if fault else [HELD]))


async def test_rows_tell_what_is_there_on_its_way_and_not_told() -> None:
    context: Any = Context()
    rows = await image_view.rows(context)
    shown = [(row["site"], row.get("image"), row["state"], row.get("percent"), row.get("mib_s")) for row in rows]
    assert shown == [
        ("lyon", None, "silent", None, None),
        ("oslo", None, "silent", None, None),
        ("paris", "img-1", "carrying", 42, 3.5),
        ("paris", "snap-1", "paused", 0, None),
        ("paris", "img-2", "carried", 100, None),
    ]
    assert rows[0]["trouble"] == "glance: 503"
    assert rows[3]["trouble"] == "the link to the bridge is cut" and rows[3]["direction"] == "up"
