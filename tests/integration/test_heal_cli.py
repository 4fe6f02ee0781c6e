"""`cascade heal` and `cascade quarantine` on real NATS and etcd; the bridge that they ask is a small fake."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.core import keys
from bridge.core.records import Braked, Quarantined, SiteSpec
from deploy.embedded.servers import NatsServer
from proto import codec, subjects
from proto.errors import FaultCode
from proto.messages import Fault, PlannedStep, Query, Reply, ServerState, SiteHost
from tests.integration.test_cascade_cli import Cascade, cascade
from tests.servers.etcd import etcd_server
from tests.servers.nats import connect_bridge, nats_server

__all__ = ["cascade", "etcd_server", "nats_server"]

UUID = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01"
ENTRY = Quarantined(UUID, ServerState("srv-1", "active", None, 1, "ACTIVE"), "nobody knows it", 1.0, 7)
STEPS = [PlannedStep(f"i{number}", "missing", "its server is gone", braked=number == 2) for number in range(3)]


class Bridge:
    """Answers the orders about paris in a thread of its own, two steps of a plan at a time."""

    def __init__(self, nats: NatsServer) -> None:
        self._nats = nats
        self.asked: list[Query] = []
        self.fault: Fault | None = None
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._ready.wait(10)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        road = await connect_bridge(self._nats)
        await road.subscribe(subjects.order_filter("paris"), self._answer)
        await road.count("none", "none")  # the subscription is there once an answer to something later is
        self._ready.set()
        await self._over.wait()
        await road.close()

    async def _answer(self, _subject: str, data: bytes) -> bytes:
        query = codec.decode(data, Query)
        self.asked.append(query)
        if self.fault is not None:
            return codec.encode(Reply(fault=self.fault))
        if query.verb.startswith("quarantine"):
            return codec.encode(Reply(text=f"{query.server_id} done"))
        left = [step for step in STEPS if step.uuid > query.marker]
        return codec.encode(Reply(steps=left[:2], marker=left[1].uuid if len(left) > 2 else ""))

    def end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()


@pytest.fixture
def bridge(cascade: Cascade, nats_server: NatsServer) -> Iterator[Bridge]:
    spec = SiteSpec("paris", [SiteHost("paris", "az")], "", "")
    cascade.put(spec=("paris", spec), brake=("paris", Braked(1.0, 12, 100)))
    cascade.etcd(lambda store: store.put(keys.quarantined("paris", "srv-1"), codec.to_json(ENTRY)))
    running = Bridge(nats_server)
    yield running
    running.end()


def test_a_plan_is_shown_whole(cascade: Cascade, bridge: Bridge) -> None:
    rows = cascade.json("heal", "paris", "--dry-run", code=1)  # something waits for an approval
    assert [(row["uuid"], row["braked"]) for row in rows] == [("i0", False), ("i1", False), ("i2", True)]
    assert [(query.verb, query.dry_run, query.marker) for query in bridge.asked] == [
        ("heal", True, ""),
        ("heal", True, "i1"),
    ]
    cascade.run("heal", "paris", code=1)
    cascade.run("heal", "approve", "paris", code=1)
    assert [query.verb for query in bridge.asked[2:]] == ["heal", "heal", "heal_approve", "heal"]
    assert "@" in bridge.asked[-2].asked_by
    assert cascade.json("site", "show", "paris")["braked_actions"] == 12


@pytest.mark.parametrize("words", [["a", "b", "c"], ["reject", "paris"], ["approve", "paris", "--dry-run"]])
def test_what_is_no_order_is_wrong_usage(cascade: Cascade, bridge: Bridge, words: list[str]) -> None:
    cascade.run("heal", *words, code=2)
    assert bridge.asked == []


def test_a_quarantined_server_is_shown_and_decided_about(cascade: Cascade, bridge: Bridge) -> None:
    (row,) = cascade.json("quarantine", "list")
    assert (row["uuid"], row["site"], row["server"], row["why"]) == (UUID, "paris", "srv-1", "nobody knows it")
    assert cascade.json("quarantine", "show", UUID)["generation"] == 7
    for what in ("adopt", "return", "purge"):
        assert cascade.run("quarantine", what, UUID) == "paris: srv-1 done\n"
    assert [query.verb for query in bridge.asked] == ["quarantine_adopt", "quarantine_return", "quarantine_purge"]
    cascade.run("quarantine", "purge", "srv-9", code=1)
    assert "no server of srv-9 is in quarantine" in cascade.errors


def test_what_cannot_be_done_is_one_clear_line(cascade: Cascade, bridge: Bridge) -> None:
    bridge.fault = Fault(FaultCode.CONFLICT, "nothing waits for an approval")
    cascade.run("heal", "approve", "paris", code=1)
    assert cascade.errors == "cascade: nothing waits for an approval\n"
    bridge.end()
    cascade.run("heal", "paris", code=1)
    assert "the bridge of paris does not answer" in cascade.errors
    cascade.run("heal", "lyon", code=1)
    assert "there is no site lyon" in cascade.errors


def test_policies_are_set_and_shown(cascade: Cascade, bridge: Bridge) -> None:
    cascade.run("site", "set", "paris", "--policy", "missing=rebuild", "--policy", "drift=enforce")
    shown: dict[str, Any] = cascade.json("site", "show", "paris")["policies"]
    assert shown == {"missing": "rebuild", "drift": "enforce", "orphans": "keep", "fenced": "quarantine"}
    cascade.run("site", "set", "paris", "--policy", "missing=perhaps", code=2)
