"""Bridges sharing sites over a real etcd: needs the program etcd."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from bridge import owned_site, owner, ownership
from bridge.core import keys
from bridge.core.records import LiveBridge, SiteSpec
from bridge.edge.etcd_store import EtcdStore, OwnershipLost
from bridge.owner import Ownership, share_sites
from deploy.embedded.servers import EtcdServer
from proto import codec
from proto.messages import SiteHost
from tests.servers.etcd import etcd_server, etcd_store, kill, private_etcd, start_again

__all__ = ["etcd_server", "etcd_store", "private_etcd"]


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times small enough for tests; the relations between them stay."""
    monkeypatch.setattr(owner, "TTL", 3)
    monkeypatch.setattr(ownership, "SAFETY", 1.0)
    monkeypatch.setattr(owner, "LOOK", 0.1)
    monkeypatch.setattr(owner, "TAKEN_WITHIN", 0.5)
    monkeypatch.setattr(owner, "JOIN_SETTLES", 0.3)
    monkeypatch.setattr(owned_site, "FIRST_PAUSE", 0.05)
    yield


def spec(site: str, epoch: int = 1) -> SiteSpec:
    return SiteSpec(site, [SiteHost(site, "az")], "key", "U1", epoch)


class Bridge:
    """One bridge's share of the sites, and what it did."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.running: dict[str, tuple[SiteSpec, Ownership]] = {}
        self.starts: list[str] = []
        self.beating: set[str] = set()
        self.fail_once: set[str] = set()
        self.task: asyncio.Task[None] | None = None
        self.store: EtcdStore | None = None

    async def run_site(self, spec: SiteSpec, ownership: Ownership) -> None:
        assert spec.site not in self.running
        self.starts.append(spec.site)
        if spec.site in self.fail_once:
            self.fail_once.remove(spec.site)
            raise RuntimeError("boom")
        self.running[spec.site] = (spec, ownership)
        try:
            await asyncio.Event().wait()
        finally:
            del self.running[spec.site]

    def start(self, store: EtcdStore) -> None:
        self.store = store
        self.task = asyncio.create_task(
            share_sites(store, self.name, self.run_site, lambda spec: self.beating.add(spec.site), self.beating.discard)
        )

    async def terminate(self) -> None:
        """What SIGTERM does."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


@asynccontextmanager
async def bridge(server: EtcdServer, name: str) -> AsyncIterator[Bridge]:
    store = await EtcdStore.connect([server.url])
    running = Bridge(name)
    running.start(store)
    try:
        yield running
    finally:
        await running.terminate()
        await store.close()


async def until(condition: Callable[[], object], timeout: float = 10) -> None:
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


async def test_two_bridges_share_and_the_one_that_stays_takes_over_at_once(
    etcd_server: EtcdServer, etcd_store: EtcdStore
) -> None:
    sites = {f"s{number}" for number in range(20)}
    for site in sites:
        await etcd_store.put(keys.spec(site), codec.to_json(spec(site)))
    async with bridge(etcd_server, "one") as one, bridge(etcd_server, "two") as two:
        await until(lambda: one.running.keys() | two.running.keys() == sites)
        assert not one.running.keys() & two.running.keys()
        theirs = set(one.running)
        began = time.monotonic()
        await one.terminate()
        assert one.running == {}
        await until(lambda: two.running.keys() == sites)
        assert time.monotonic() - began < 1
        assert two.beating == sites and one.beating == theirs


async def test_sites_are_spread_evenly_and_a_join_moves_only_what_must_move(
    etcd_server: EtcdServer, etcd_store: EtcdStore
) -> None:
    sites = {f"s{number}" for number in range(12)}
    for site in sites:
        await etcd_store.put(keys.spec(site), codec.to_json(spec(site)))
    async with bridge(etcd_server, "one") as one:
        await until(lambda: one.running.keys() == sites)
        async with bridge(etcd_server, "two") as two:
            await until(lambda: len(two.running) == 6)
            async with bridge(etcd_server, "three") as three:
                await until(lambda: len(three.running) == 4)
                await asyncio.sleep(1)
                assert [len(each.running) for each in (one, two, three)] == [4, 4, 4]
                assert not one.running.keys() & two.running.keys() | two.running.keys() & three.running.keys()
                assert len(one.starts) + len(two.starts) + len(three.starts) == 12 + 6 + 4
                assert one.beating >= one.running.keys() and one.beating.isdisjoint(three.running)
                (announced, _) = await etcd_store.list(keys.BRIDGES)
                said = [codec.from_json(stored.value, LiveBridge) for stored in announced]
                assert sum(each.given for each in said) == 10 and sum(each.taken for each in said) == 22
            await until(lambda: len(one.running) == len(two.running) == 6)
            assert one.running.keys() | two.running.keys() == sites


async def test_a_site_that_a_bridge_with_less_lets_lie_is_anybodys(
    etcd_server: EtcdServer, etcd_store: EtcdStore
) -> None:
    lease = await etcd_store.grant(60)
    await etcd_store.put(keys.bridge(f"{lease.id:x}"), codec.to_json(LiveBridge("asleep", 1.0)), lease=lease.id)
    async with bridge(etcd_server, "one") as one:
        for site in ("a", "b"):
            await etcd_store.put(keys.spec(site), codec.to_json(spec(site)))
        await until(lambda: one.running.keys() == {"a", "b"})
        await asyncio.sleep(1)
        assert sorted(one.starts) == ["a", "b"]  # and nothing is given to the one that slept
    await lease.revoke()


async def test_a_site_is_run_when_added_again_when_changed_and_stopped_when_removed(
    etcd_server: EtcdServer, etcd_store: EtcdStore
) -> None:
    async with bridge(etcd_server, "one") as one:
        await etcd_store.put(keys.spec("paris"), codec.to_json(spec("paris")))
        await etcd_store.put(keys.instance("paris", "i1"), b"noise")
        await until(lambda: "paris" in one.running)
        _, first = one.running["paris"]
        assert first.valid() and first.guard == (keys.owner("paris"), first.revision)
        await etcd_store.put(keys.instance("paris", "i1"), b"{}", guard=first.guard)
        await etcd_store.put(keys.spec("paris"), codec.to_json(spec("paris", epoch=2)))
        await until(lambda: one.running.get("paris", (None,))[0] == spec("paris", epoch=2))
        _, second = one.running["paris"]
        assert second.valid() and not first.valid() and second.revision > first.revision
        with pytest.raises(OwnershipLost):
            first.check()
        with pytest.raises(OwnershipLost):
            await etcd_store.put(keys.instance("paris", "i1"), b"{}", guard=first.guard)
        await etcd_store.delete_prefix(keys.site("paris"))
        await until(lambda: not one.running and not one.beating)
        assert await etcd_store.get(keys.owner("paris")) is None


async def test_a_site_that_fails_is_run_again_and_disturbs_no_other(
    etcd_server: EtcdServer, etcd_store: EtcdStore
) -> None:
    for site in ("good", "bad"):
        await etcd_store.put(keys.spec(site), codec.to_json(spec(site)))
    store = await EtcdStore.connect([etcd_server.url])
    one = Bridge("one")
    one.fail_once.add("bad")
    one.start(store)
    await until(lambda: one.running.keys() == {"good", "bad"})
    assert sorted(one.starts) == ["bad", "bad", "good"]
    await one.terminate()
    await store.close()


async def test_a_site_whose_owner_key_is_taken_away_is_stopped_and_its_heart_beats_until_another_is_seen(
    etcd_server: EtcdServer, etcd_store: EtcdStore
) -> None:
    await etcd_store.put(keys.spec("paris"), codec.to_json(spec("paris")))
    async with bridge(etcd_server, "one") as one:
        await until(lambda: "paris" in one.running)
        _, ownership = one.running["paris"]
        await etcd_store.put(keys.owner("paris"), b'{"bridge": "two", "since": 1.0}')
        await until(lambda: "paris" not in one.running)
        assert not ownership.valid()
        await until(lambda: "paris" not in one.beating)
        await etcd_store.delete(keys.owner("paris"))
        await until(lambda: "paris" in one.running and "paris" in one.beating)


async def test_a_lost_lease_stops_everything_but_the_heartbeat_and_is_got_again(
    private_etcd: EtcdServer,
) -> None:
    store = await EtcdStore.connect([private_etcd.url])
    await store.put(keys.spec("paris"), codec.to_json(spec("paris")))
    async with bridge(private_etcd, "one") as one:
        await until(lambda: "paris" in one.running)
        _, ownership = one.running["paris"]
        kill(private_etcd)
        began = time.monotonic()
        await until(lambda: not ownership.valid())
        assert time.monotonic() - began < owner.TTL - 1.0 + 0.5
        assert "paris" in one.running
        await until(lambda: "paris" not in one.running)
        assert time.monotonic() - began < owner.TTL + 0.5
        assert "paris" in one.beating
        await asyncio.to_thread(start_again, private_etcd)
        await until(lambda: "paris" in one.running, timeout=20)
        assert one.running["paris"][1].valid() and "paris" in one.beating
    await store.close()


async def test_a_short_restart_of_etcd_changes_no_owner(private_etcd: EtcdServer) -> None:
    store = await EtcdStore.connect([private_etcd.url])
    async with bridge(private_etcd, "one") as one, bridge(private_etcd, "two") as two:
        for number in range(6):
            await store.put(keys.spec(f"s{number}"), codec.to_json(spec(f"s{number}")))
        await until(lambda: len(one.running) + len(two.running) == 6)
        starts = len(one.starts) + len(two.starts)
        kill(private_etcd)
        await asyncio.to_thread(start_again, private_etcd)
        await asyncio.sleep(4)
        assert len(one.running) + len(two.running) == 6
        assert len(one.starts) + len(two.starts) == starts
        assert all(ownership.valid() for _, ownership in [*one.running.values(), *two.running.values()])
    await store.close()


async def test_a_bridge_that_dies_loses_its_sites_within_the_ttl(
    etcd_server: EtcdServer, etcd_store: EtcdStore
) -> None:
    await etcd_store.put(keys.spec("paris"), codec.to_json(spec("paris")))
    async with bridge(etcd_server, "two") as two:
        await until(lambda: "paris" in two.running)
        async with bridge(etcd_server, "one") as one:
            assert two.store is not None
            await two.store._leases.close()  # no keep-alive any more, as after kill -9
            two.store.grant = lambda _ttl: asyncio.Event().wait()  # type: ignore[assignment,method-assign]
            began = time.monotonic()
            await until(lambda: "paris" in one.running)
            assert time.monotonic() - began < owner.TTL + 2
            await until(lambda: "paris" not in two.beating)
