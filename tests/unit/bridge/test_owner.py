"""What one bridge does about owner keys that are another's; etcd is in memory, and time virtual."""

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.core import keys
from bridge.core.records import Owner, SiteSpec
from bridge.owner import share_sites
from bridge.ownership import Ownership
from proto import codec
from proto.messages import SiteHost
from tests.fakes.clock import Clock, run
from tests.fakes.etcd import FakeEtcd, FakeEtcdStore

SPEC = SiteSpec("paris", [SiteHost("paris", "az")], "key", "U1")
ANOTHERS = codec.to_json(Owner("two", since=0.0))
A_WHILE = 3.0  # virtual s: longer than a look, shorter than a site may lie free


class LateStore(FakeEtcdStore):
    """Another bridge is quicker: ``before_claim`` happens right before an owner key is put."""

    def __init__(self, etcd: FakeEtcd, before_claim: Callable[[], Any]) -> None:
        super().__init__(etcd)
        self._before_claim = before_claim

    async def put(self, key: str, value: bytes, **options: Any) -> int:
        """As EtcdStore.put."""
        if key == keys.owner("paris"):
            self._before_claim()
        return await super().put(key, value, **options)


class Sharing:
    """A bridge that shares the sites, and the ownerships with which it ran paris."""

    def __init__(self, store: FakeEtcdStore) -> None:
        self.running: list[Ownership] = []
        self._store: Any = store

    async def run_site(self, _spec: SiteSpec, ownership: Ownership) -> None:
        """Work until cancelled."""
        self.running.append(ownership)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.running.remove(ownership)

    async def during(self, story: Callable[[], Any]) -> None:
        """Have the bridge at work while a story is told."""
        work = asyncio.create_task(share_sites(self._store, "one", self.run_site))
        try:
            await story()
        finally:
            work.cancel()
            await asyncio.wait({work})


def test_a_site_that_another_bridge_was_quicker_to_claim_is_left_to_it() -> None:
    async def main() -> None:
        etcd = FakeEtcd()
        etcd.write(keys.spec("paris"), codec.to_json(SPEC), 0)
        bridge = Sharing(LateStore(etcd, lambda: etcd.write(keys.owner("paris"), ANOTHERS, 99)))

        async def story() -> None:
            await asyncio.sleep(A_WHILE)
            assert not bridge.running and etcd.keys[keys.owner("paris")].value == ANOTHERS

        await bridge.during(story)

    run(Clock(), main)


def test_a_bridge_stops_when_the_owner_key_is_another_s() -> None:
    async def main() -> None:
        etcd = FakeEtcd()
        etcd.write(keys.spec("paris"), codec.to_json(SPEC), 0)
        bridge = Sharing(etcd.store())

        async def story() -> None:
            await asyncio.sleep(A_WHILE)
            (ownership,) = bridge.running
            etcd.write(keys.owner("paris"), ANOTHERS, 99)
            await asyncio.sleep(A_WHILE)
            assert not bridge.running and not ownership.valid()

        await bridge.during(story)

    run(Clock(), main)
