"""EtcdStore against a real etcd: needs the program etcd."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc.aio
import pytest

from bridge.edge import etcd_watch
from bridge.edge.etcd_channel import Endpoint, messages
from bridge.edge.etcd_store import Change, Conflict, EtcdStore, LeaseLost, OwnershipLost, Stored, Synced
from deploy.embedded import servers
from deploy.embedded.servers import EtcdServer
from proto.errors import Misconfigured, Unavailable
from tests.fakes.etcd import FakeEtcd
from tests.servers.etcd import etcd_server, etcd_store, kill, private_etcd, start_again

__all__ = ["etcd_server", "etcd_store", "private_etcd"]


@pytest.fixture
async def private_store(private_etcd: EtcdServer) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.connect([private_etcd.url])
    yield store
    await store.close()


async def compact(server: EtcdServer, revision: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        request = messages.CompactionRequest(revision=revision, physical=True)
        await messages.KVStub(channel).Compact(request)


@pytest.fixture(params=["real", "fake"])
def any_store(request: pytest.FixtureRequest) -> EtcdStore:
    """The real store, and the fake that scenario tests use: both must pass the same tests."""
    if request.param == "fake":
        return FakeEtcd().store()  # type: ignore[return-value]
    return request.getfixturevalue("etcd_store")


class Mirror:
    """Follows a watch and keeps the state that its reader would believe in."""

    def __init__(self, store: EtcdStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self.state: dict[str, bytes] = {}
        self.changes: list[Change] = []
        self.synced = asyncio.Event()
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Mirror":
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _follow(self) -> None:
        async with aclosing(self._store.watch(self._prefix)) as changes:
            async for change in changes:
                if isinstance(change, Synced):
                    self.synced.set()
                    continue
                self.changes.append(change)
                if change.stored:
                    self.state[change.key] = change.stored.value
                else:
                    del self.state[change.key]
                async with self._moved:
                    self._moved.notify_all()

    async def becomes(self, wanted: dict[str, bytes], timeout: float = 15) -> None:
        async with asyncio.timeout(timeout), self._moved:
            await self._moved.wait_for(lambda: self.state == wanted)


async def state_of(store: EtcdStore, prefix: str) -> dict[str, bytes]:
    return {one.key: one.value for one in (await store.list(prefix))[0]}


# -- reading and writing ------------------------------------------------------------------------------------------


async def test_what_is_put_is_got(any_store: EtcdStore) -> None:
    assert await any_store.get("/a") is None
    revision = await any_store.put("/a", b"1")
    assert await any_store.get("/a") == Stored("/a", b"1", revision, revision)
    newer = await any_store.put("/a", b"2")
    assert await any_store.get("/a") == Stored("/a", b"2", newer, revision)
    await any_store.delete("/a")
    await any_store.delete("/a")
    assert await any_store.get("/a") is None


async def test_a_put_that_expects_another_revision_is_a_conflict(any_store: EtcdStore) -> None:
    revision = await any_store.put("/a", b"1", expected=0)
    with pytest.raises(Conflict, match="expected revision 0, found revision"):
        await any_store.put("/a", b"2", expected=0)
    newer = await any_store.put("/a", b"2", expected=revision)
    with pytest.raises(Conflict):
        await any_store.put("/a", b"3", expected=revision)
    with pytest.raises(Conflict):
        await any_store.delete("/a", expected=revision)
    with pytest.raises(Conflict, match="found nothing"):
        await any_store.put("/b", b"1", expected=7)
    await any_store.delete("/a", expected=newer)


async def test_a_repeated_put_whose_answer_was_lost_succeeds(any_store: EtcdStore) -> None:
    revision = await any_store.put("/a", b"1", expected=0)
    assert await any_store.put("/a", b"1", expected=0) == revision
    await any_store.delete("/a", expected=revision)
    await any_store.delete("/a", expected=revision)


async def test_a_guard_that_was_replaced_stops_every_write(any_store: EtcdStore) -> None:
    guard = ("/owner", await any_store.put("/owner", b"me", expected=0))
    await any_store.put("/owner", b"me again")  # still the same life of the key
    revision = await any_store.put("/a", b"1", expected=0, guard=guard)
    await any_store.delete("/owner")
    for _ in range(2):
        with pytest.raises(OwnershipLost):
            await any_store.put("/a", b"2", expected=revision, guard=guard)
        with pytest.raises(OwnershipLost):
            await any_store.put("/a", b"1", expected=0, guard=guard)
        with pytest.raises(OwnershipLost):
            await any_store.delete("/a", guard=guard)
        await any_store.put("/owner", b"another")
    assert (await any_store.get("/a")) == Stored("/a", b"1", revision, revision)


async def test_a_list_of_many_pages_is_of_one_revision(any_store: EtcdStore) -> None:
    wanted = {f"/many/{number:05}": b"v" * 100 for number in range(1234)}
    await asyncio.gather(*(any_store.put(key, value) for key, value in wanted.items()))
    await any_store.put("/manz", b"")
    stored, revision = await any_store.list("/many/")
    assert {one.key: one.value for one in stored} == wanted
    assert [one.key for one in stored] == sorted(wanted)
    assert revision >= max(one.revision for one in stored)
    assert await any_store.count("/many/") == 1234
    assert await any_store.delete_prefix("/many/") == 1234
    assert (await any_store.list("/many/"))[0] == []


def test_endpoints() -> None:
    assert Endpoint.parse("10.0.0.1:2379") == Endpoint("10.0.0.1:2379", secure=False)
    assert Endpoint.parse("https://etcd1") == Endpoint("etcd1:2379", secure=True)
    assert Endpoint.parse("http://[::1]:9") == Endpoint("[::1]:9", secure=False)
    for wrong in ("ftp://x", "http://x:y", "http://", "http://x/path"):
        with pytest.raises(Misconfigured, match="not of the form"):
            Endpoint.parse(wrong)


async def test_no_etcd_is_one_clear_line() -> None:
    began = time.monotonic()
    with pytest.raises(Misconfigured, match=r"cannot reach etcd at http://127.0.0.1:1: .*check \[etcd\] endpoints"):
        await EtcdStore.connect(["http://127.0.0.1:1"])
    assert time.monotonic() - began < 8
    with pytest.raises(Misconfigured, match="cannot read /nowhere"):
        await EtcdStore.connect(["https://127.0.0.1:1"], ca_file="/nowhere")


async def test_a_member_that_is_away_is_passed_over(etcd_server: EtcdServer) -> None:
    store = await EtcdStore.connect(["http://127.0.0.1:1", etcd_server.url])
    await store.put("/over", b"1")
    async with Mirror(store, "/over") as mirror:
        await mirror.becomes({"/over": b"1"})
    await store.delete_prefix("/over")
    await store.close()


async def test_calls_wait_for_a_short_restart_and_fail_after_a_long_one(
    private_etcd: EtcdServer, private_store: EtcdStore
) -> None:
    kill(private_etcd)
    writing = asyncio.create_task(private_store.put("/a", b"1", expected=0))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(start_again, private_etcd)
    revision = await writing
    assert await private_store.get("/a") == Stored("/a", b"1", revision, revision)
    kill(private_etcd)
    with pytest.raises(Unavailable, match="etcd: get /a"):
        await private_store.get("/a")


# -- watching -----------------------------------------------------------------------------------------------------


async def test_a_watch_tells_what_is_there_and_then_what_changes(any_store: EtcdStore) -> None:
    etcd_store = any_store
    await etcd_store.put("/w/a", b"1")
    async with aclosing(etcd_store.watch("/w/", only=lambda key: not key.endswith("/noise"))) as watch:
        first = await anext(watch)
        assert isinstance(first, Change) and first.stored and first.stored.value == b"1"
        assert isinstance(await anext(watch), Synced)
        await etcd_store.put("/w/noise", b"")
        await etcd_store.put("/x", b"")
        revision = await etcd_store.put("/w/b", b"2")
        assert await anext(watch) == Change("/w/b", Stored("/w/b", b"2", revision, revision), revision)
        await etcd_store.delete("/w/a")
        assert await anext(watch) == Change("/w/a", None, revision + 1)


async def test_a_watch_survives_three_kills(private_etcd: EtcdServer, private_store: EtcdStore) -> None:
    other = await EtcdStore.connect([private_etcd.url])
    async with Mirror(private_store, "/w/") as mirror:
        await mirror.synced.wait()
        for round_ in range(3):
            await other.put("/w/a", f"before {round_}".encode())
            kill(private_etcd)
            await asyncio.to_thread(start_again, private_etcd)
            await other.put("/w/b", f"after {round_}".encode())
            await other.delete("/w/a")
            await mirror.becomes({"/w/b": f"after {round_}".encode()})
    await other.close()


async def test_a_watch_lists_again_when_its_revision_was_compacted(
    private_etcd: EtcdServer, private_store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await EtcdStore.connect([private_etcd.url])
    lists = 0
    original = private_store.list

    async def counted(prefix: str) -> tuple[list[Stored], int]:
        nonlocal lists
        lists += 1
        return await original(prefix)

    monkeypatch.setattr(private_store, "list", counted)
    await other.put("/w/gone", b"1")
    await other.put("/w/kept", b"1")
    async with Mirror(private_store, "/w/") as mirror:
        await mirror.synced.wait()
        kill(private_etcd)  # the watch now asks in vain, every 50 ms to 2 s
        await asyncio.to_thread(start_again_and_change, private_etcd, other, asyncio.get_running_loop())
        await mirror.becomes({"/w/kept": b"1", "/w/new": b"1"})
    assert lists == 2
    assert [change.key for change in mirror.changes[2:]] == ["/w/gone", "/w/new"]
    await other.close()


def start_again_and_change(server: EtcdServer, store: EtcdStore, loop: asyncio.AbstractEventLoop) -> None:
    """Change and compact on another port, where the watch cannot see it, and come back."""
    aside = EtcdServer(server.directory, server.port + 1, server.peer_port)
    servers.start_etcd(aside.directory, aside.port, aside.peer_port)

    async def change() -> None:
        hidden = await EtcdStore.connect([aside.url])
        await hidden.delete("/w/gone")
        revision = await hidden.put("/w/new", b"1")
        await hidden.close()
        await compact(aside, revision)

    asyncio.run_coroutine_threadsafe(change(), loop).result()
    servers.stop([aside])
    start_again(server)


async def test_a_watch_notices_that_etcd_was_restored_from_a_backup(
    private_etcd: EtcdServer, private_store: EtcdStore
) -> None:
    for number in range(20):
        await private_store.put("/w/a", str(number).encode())
    async with Mirror(private_store, "/w/") as mirror:
        await mirror.synced.wait()
        kill(private_etcd)
        (private_etcd.directory / "data").rename(private_etcd.directory / "lost")
        await asyncio.to_thread(start_again, private_etcd)
        await private_store.put("/w/b", b"restored")
        await mirror.becomes({"/w/b": b"restored"})


async def test_a_catching_up_watch_broken_in_the_middle_loses_nothing(
    private_etcd: EtcdServer, private_store: EtcdStore
) -> None:
    async with Mirror(private_store, "/w/") as mirror:
        await mirror.synced.wait()
        other = await EtcdStore.connect([private_etcd.url])
        for start in range(0, 3000, 500):
            await asyncio.gather(*(other.put(f"/w/{n:04}", b"x" * 200) for n in range(start, start + 500)))
            if start == 1500:
                kill(private_etcd)
                await asyncio.to_thread(start_again, private_etcd)
        await mirror.becomes({f"/w/{n:04}": b"x" * 200 for n in range(3000)}, timeout=30)
        await other.close()


class Proxy:
    """A TCP proxy that can fall silent without closing, as a machine that lost its network."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._silent: set[asyncio.StreamWriter] = set()
        self._pumps: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self.connections = 0

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open = (writer, inner_writer)
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            self._pumps.append(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if sink not in self._silent:
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()

    def fall_silent(self) -> None:
        """Swallow whatever the connection that is open now carries; new ones work."""
        self._silent.update(self._open)

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        for pump in self._pumps:
            pump.cancel()
        await asyncio.wait(self._pumps)
        self._server.close()
        await self._server.wait_closed()


async def test_a_half_open_connection_is_noticed_and_replaced(
    etcd_server: EtcdServer, etcd_store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_watch, "IDLE", 0.5)
    async with Proxy(etcd_server.port) as proxy:
        store = await EtcdStore.connect([proxy.url])
        async with Mirror(store, "/w/") as mirror:
            await mirror.synced.wait()
            await asyncio.sleep(3)  # idle, but answering to progress requests
            await etcd_store.put("/w/a", b"1")
            await mirror.becomes({"/w/a": b"1"}, timeout=1)
            assert proxy.connections == 1
            proxy.fall_silent()
            await etcd_store.put("/w/a", b"2")
            await mirror.becomes({"/w/a": b"2"}, timeout=25)
        await store.close()


# -- leases -------------------------------------------------------------------------------------------------------


async def test_a_revoked_lease_takes_its_keys(any_store: EtcdStore) -> None:
    lease = await any_store.grant(5)
    told: list[str] = []
    lease.on_lost(lambda: told.append("lost"))
    revision = await any_store.put("/l", b"1", expected=0, lease=lease.id)
    assert await any_store.get("/l") == Stored("/l", b"1", revision, revision, lease.id)
    await lease.refresh()
    async with aclosing(any_store.watch("/l")) as watch:
        await anext(watch)
        assert isinstance(await anext(watch), Synced)
        await lease.revoke()
        assert await anext(watch) == Change("/l", None, revision + 1)
    assert told == ["lost"] and lease.lost.is_set()
    with pytest.raises(LeaseLost):
        await any_store.put("/l", b"1", lease=lease.id)
    with pytest.raises(LeaseLost):
        await lease.refresh()


async def test_a_lease_is_kept_and_a_revoked_one_takes_its_keys(etcd_store: EtcdStore) -> None:
    lease = await etcd_store.grant(2)
    await etcd_store.put("/l", b"1", lease=lease.id)
    granted_at = lease.confirmed_at
    await asyncio.sleep(3)
    assert await etcd_store.get("/l") is not None
    assert lease.confirmed_at > granted_at + 2
    assert not lease.lost.is_set()
    await lease.revoke()
    await lease.revoke()
    assert await etcd_store.get("/l") is None
    assert lease.lost.is_set()
    with pytest.raises(LeaseLost):
        await etcd_store.put("/l", b"1", lease=lease.id)


async def test_a_lease_that_etcd_dropped_is_lost_at_the_next_beat(
    etcd_store: EtcdStore, etcd_server: EtcdServer
) -> None:
    lease = await etcd_store.grant(5)
    told: list[str] = []
    lease.on_lost(lambda: told.append("lost"))
    other = await EtcdStore.connect([etcd_server.url])
    channel = other._channels.current()
    await messages.LeaseStub(channel).LeaseRevoke(messages.LeaseRevokeRequest(ID=lease.id))
    await other.close()
    async with asyncio.timeout(3):
        await lease.lost.wait()
    assert told == ["lost"]


async def test_a_lease_is_lost_by_our_own_clock_when_etcd_is_away(
    private_etcd: EtcdServer, private_store: EtcdStore
) -> None:
    lease = await private_store.grant(2)
    kill(private_etcd)
    async with asyncio.timeout(4):
        await lease.lost.wait()
    assert time.monotonic() - lease.confirmed_at >= lease.ttl


async def test_a_lease_survives_a_short_restart(private_etcd: EtcdServer, private_store: EtcdStore) -> None:
    leases = [await private_store.grant(6) for _ in range(50)]
    kill(private_etcd)
    await asyncio.to_thread(start_again, private_etcd)
    await asyncio.sleep(7)
    assert not any(lease.lost.is_set() for lease in leases)


async def test_a_lease_that_is_not_kept_lives_by_refresh_only(etcd_store: EtcdStore) -> None:
    lease = await etcd_store.grant(1, kept=False)
    await etcd_store.put("/l", b"1", lease=lease.id)
    for _ in range(3):
        await asyncio.sleep(0.6)
        await lease.refresh()
    assert await etcd_store.get("/l") is not None
    await asyncio.sleep(3)
    with pytest.raises(LeaseLost):
        await lease.refresh()
    assert await etcd_store.get("/l") is None
